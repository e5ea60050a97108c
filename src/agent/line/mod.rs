//! A board's bytes to readings. Pure: bytes in, values out.
//!
//! Bytes become lines (`framer.rs`), a line label-value pairs joined by dashes, as in `t-25-h-60` (`pairs.rs`), and a
//! label with its value a quantity in its unit (`labels.rs`). Whatever is no reading is refused with its cause.
//!
//! Each change of the grammar must also be made in the second parser, `tests/lines/reference.rs`, which the tests compare
//! with this one.

mod framer;
mod labels;
mod pairs;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use framer::{Framer, LONGEST, Line};
use labels::Labels;
use pairs::pairs;

use crate::config;
use crate::quantity::{Quantity, is_label};

/// Why a line, or one pair of it, gave no reading. Each is counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The rest of a line whose beginning was missed.
    Tail,
    /// More than [`LONGEST`] bytes without a newline.
    TooLong,
    /// Not UTF-8, and more than noise before the line.
    Undecodable,
    /// Not label-value pairs, or fewer than the port's `fields`; nothing of the line is believed.
    Garbled,
    /// A label with nothing behind it.
    Empty,
    /// A value that is no number, `nan` and `inf` among them.
    NotANumber,
    /// A unit that the quantity does not have.
    Unit,
    /// A value that the quantity cannot have.
    OutOfRange,
    /// A quantity for the second time in one line.
    Repeated,
}

impl Refusal {
    /// The identifier it is counted under; [`fmt::Display`] words it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Tail => "cut_line",
            Refusal::TooLong => "line_too_long",
            Refusal::Undecodable => "undecodable_bytes",
            Refusal::Garbled => "garbled_line",
            Refusal::Empty => "empty_value",
            Refusal::NotANumber => "not_a_number",
            Refusal::Unit => "unknown_unit",
            Refusal::OutOfRange => "out_of_range",
            Refusal::Repeated => "repeated_quantity",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// Reads one port's lines.
#[derive(Debug)]
pub struct Parser {
    fields: Vec<String>,
    labels: Labels,
    /// Of the line at hand; kept for its memory.
    refusals: Vec<Refusal>,
}

impl Parser {
    /// `fields`: the n-th pair of a line is this quantity, whatever its label, and a line has at least that many; empty:
    /// the labels decide. `configured`: what the configuration says of quantities.
    #[must_use]
    pub fn new(fields: &[String], configured: &[config::Quantity]) -> Parser {
        Parser { fields: fields.to_vec(), labels: Labels::new(configured), refusals: Vec::new() }
    }

    /// Adds the quantities of a line with their values, each once, to `values`, and gives what was refused. Of a line
    /// that is [`Refusal::Undecodable`] or [`Refusal::Garbled`] nothing is believed.
    pub fn parse(&mut self, line: &[u8], values: &mut Vec<(Arc<Quantity>, f64)>) -> &[Refusal] {
        let start = values.len();
        self.refusals.clear();
        if let Err(refusal) = self.read(line, start, values) {
            values.truncate(start);
            self.refusals.clear();
            self.refusals.push(refusal);
        }
        &self.refusals
    }

    fn read(&mut self, line: &[u8], start: usize, values: &mut Vec<(Arc<Quantity>, f64)>) -> Result<(), Refusal> {
        let by_place = !self.fields.is_empty();
        // Looked at to the end, because many bytes at once are faster than stopping at one.
        let has_control = line.iter().fold(false, |found, byte| found | byte.is_ascii_control());
        let clean = std::str::from_utf8(line).ok().filter(|_| !has_control);
        let line = clean.map_or_else(|| behind_noise(line, by_place), |line| Ok(Cow::Borrowed(line)))?;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let most = if by_place { self.fields.len() } else { LONGEST };
        let mut count = 0;
        for pair in pairs(&line, by_place).take(most) {
            let label = self.fields.get(count).map_or(pair.label, String::as_str);
            count += 1;
            match pair.value.and_then(|value| self.labels.read(label, value)) {
                Err(Refusal::Garbled) => return Err(Refusal::Garbled),
                // A label without a value may end a line; anywhere else labels and values are out of step.
                Err(refusal) if refusal != Refusal::Empty && !is_label(label) => return Err(Refusal::Garbled),
                Err(refusal) => self.refusals.push(refusal),
                Ok((quantity, _)) if values[start..].iter().any(|(other, _)| other.name == quantity.name) => {
                    self.refusals.push(Refusal::Repeated);
                }
                Ok(value) => values.push(value),
            }
        }
        let least = self.fields.len().max(1);
        let is_word = values.len() == start && !line.contains('-');
        if count < least || is_word { Err(Refusal::Garbled) } else { Ok(()) }
    }
}

/// What a plug or a board that starts may put before a line, apart from bytes that are no UTF-8.
fn is_noise(byte: u8) -> bool {
    byte.is_ascii_control() && !byte.is_ascii_whitespace()
}

/// The line behind the last noise in its first label. With noise elsewhere it can only be read by place, where labels in
/// another encoding do no harm.
fn behind_noise(line: &[u8], by_place: bool) -> Result<Cow<'_, str>, Refusal> {
    let label = line.iter().position(|byte| *byte == b'-').map_or(line, |dash| &line[..dash]);
    let (mut start, mut end) = (0, 0);
    for chunk in label.utf8_chunks() {
        if let Some(noise) = chunk.valid().bytes().rposition(is_noise) {
            start = end + noise + 1;
        }
        end += chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() && !by_place {
            start = end;
        }
    }
    let rest = &line[start..];
    match std::str::from_utf8(rest) {
        // With nothing behind it, the noise is all there was.
        Ok(text) if start == 0 || !text.trim_ascii().is_empty() => Ok(Cow::Borrowed(text)),
        Err(_) if by_place => Ok(String::from_utf8_lossy(rest)),
        _ => Err(Refusal::Undecodable),
    }
}
