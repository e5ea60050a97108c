//! Turns a board's bytes into readings. Pure: bytes in, values out.
//!
//! `framer.rs` splits bytes into lines. `pairs.rs` splits a line into label-value pairs joined by dashes, as in
//! `t-25-h-60`. `labels.rs` maps a label and its value to a quantity in its unit. Everything else is refused with a
//! cause.
//!
//! tests/lines/ has a second, independent parser (`reference.rs`) that must learn each change of the grammar.

mod framer;
mod labels;
mod pairs;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use framer::{Framer, Line, MAX_LINE_BYTES};
use labels::Labels;
use pairs::{Value, pairs};

use crate::config;
use crate::quantity::{Quantity, is_label};

/// Why a line, or one pair of it, gave no reading. Counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The rest of a line whose start was missed.
    Tail,
    /// More than [`MAX_LINE_BYTES`] bytes without a newline.
    TooLong,
    /// Not UTF-8, apart from noise before the line.
    Undecodable,
    /// Not label-value pairs, or fewer than the port's `fields`; the whole line is discarded.
    Garbled,
    /// A label without a value.
    Empty,
    /// A value that is not a number, including `nan` and `inf`.
    NotANumber,
    /// A unit that the quantity does not have.
    Unit,
    /// A value that the quantity cannot have.
    OutOfRange,
    /// The second value of a quantity in one line.
    Repeated,
}

impl Refusal {
    /// The counter's identifier; [`fmt::Display`] words it.
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

/// Parses one port's lines.
#[derive(Debug)]
pub struct Parser {
    fields: Vec<String>,
    labels: Labels,
    /// Refusals of the current line; kept to reuse its memory.
    refusals: Vec<Refusal>,
}

impl Parser {
    /// `fields`: the n-th pair of a line is this quantity, whatever its label, and a line needs at least this many
    /// pairs. If empty, the labels decide. `configured`: the configured quantities.
    #[must_use]
    pub fn new(fields: &[String], configured: &[config::Quantity]) -> Parser {
        Parser { fields: fields.to_vec(), labels: Labels::new(configured), refusals: Vec::new() }
    }

    /// Adds the quantities of a line to `values`, each once, and returns the refusals. A line that is
    /// [`Refusal::Undecodable`] or [`Refusal::Garbled`] adds nothing.
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
        let Parser { fields, labels, refusals } = self;
        let by_position = !fields.is_empty();
        // No early exit: checking many bytes at once is faster.
        let has_control = line.iter().fold(false, |found, byte| found | byte.is_ascii_control());
        let clean = std::str::from_utf8(line).ok().filter(|_| !has_control);
        let line = clean.map_or_else(|| skip_noise(line, by_position), |line| Ok(Cow::Borrowed(line)))?;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let max_pairs = if by_position { fields.len() } else { MAX_LINE_BYTES };
        let mut count = 0;
        let in_step = pairs(&line, by_position).take(max_pairs).all(|pair| {
            let label = fields.get(count).map_or(pair.label, String::as_str);
            count += 1;
            match read_pair(labels, label, pair.value) {
                Ok(None) => return false,
                Ok(Some((quantity, _))) if values[start..].iter().any(|(other, _)| other.name == quantity.name) => {
                    refusals.push(Refusal::Repeated);
                }
                Ok(Some(value)) => values.push(value),
                Err(refusal) => refusals.push(refusal),
            }
            true
        });
        let has_all_fields = count >= fields.len().max(1);
        let is_one_word = values.len() == start && !line.contains('-');
        if in_step && has_all_fields && !is_one_word { Ok(()) } else { Err(Refusal::Garbled) }
    }
}

/// Reads one pair. `None` when its label cannot be one, so that labels and values are out of step.
fn read_pair(
    labels: &mut Labels,
    label: &str,
    value: Result<Value<'_>, Refusal>,
) -> Result<Option<(Arc<Quantity>, f64)>, Refusal> {
    match value {
        Ok(value) => labels.read(label, value),
        // A line may end with text that has no value.
        Err(refusal) if refusal == Refusal::Empty || is_label(label) => Err(refusal),
        Err(_) => Ok(None),
    }
}

/// Bytes that plugging in or a starting board may put before a line, besides invalid UTF-8.
fn is_noise(byte: u8) -> bool {
    byte.is_ascii_control() && !byte.is_ascii_whitespace()
}

/// The line after the last noise in its first label. A line with noise elsewhere is only readable by position, because
/// invalid text in labels does not matter there.
fn skip_noise(line: &[u8], by_position: bool) -> Result<Cow<'_, str>, Refusal> {
    let label = line.iter().position(|byte| *byte == b'-').map_or(line, |dash| &line[..dash]);
    let (mut start, mut end) = (0, 0);
    for chunk in label.utf8_chunks() {
        if let Some(noise) = chunk.valid().bytes().rposition(is_noise) {
            start = end + noise + 1;
        }
        end += chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() && !by_position {
            start = end;
        }
    }
    let rest = &line[start..];
    match std::str::from_utf8(rest) {
        // If nothing follows the noise, the line was only noise.
        Ok(text) if start == 0 || !text.trim_ascii().is_empty() => Ok(Cow::Borrowed(text)),
        Err(_) if by_position => Ok(String::from_utf8_lossy(rest)),
        _ => Err(Refusal::Undecodable),
    }
}
