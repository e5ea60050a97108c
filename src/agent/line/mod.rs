//! A board's bytes to readings. Pure: bytes in, values out.
//!
//! Bytes become lines (`framer.rs`), a line label-value pairs joined by dashes, as in `t-25-h-60` (`pairs.rs`), and a
//! label with its value a quantity in its unit (`labels.rs`). Whatever is no reading is refused with its cause.

mod framer;
mod labels;
mod pairs;

use std::fmt;
use std::sync::Arc;

pub use framer::{Framer, LONGEST, Line};
pub use labels::Labels;
pub use pairs::{Pair, Pairs, Value, pairs};

use crate::config;
use crate::quantity::Quantity;

/// Why a line, or one pair of it, gave no reading. Each is counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The rest of a line whose beginning was missed.
    Tail,
    /// More than [`LONGEST`] bytes without a newline.
    TooLong,
    /// Not UTF-8.
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
    /// The name it is counted under.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Tail => "cut line",
            Refusal::TooLong => "line too long",
            Refusal::Undecodable => "undecodable bytes",
            Refusal::Garbled => "garbled line",
            Refusal::Empty => "empty value",
            Refusal::NotANumber => "not a number",
            Refusal::Unit => "unknown unit",
            Refusal::OutOfRange => "out of range",
            Refusal::Repeated => "repeated quantity",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads one port's lines.
#[derive(Debug)]
pub struct Parser {
    fields: Vec<String>,
    labels: Labels,
    /// Of all lines since [`Parser::clear`].
    values: Vec<(Arc<Quantity>, f64)>,
}

impl Parser {
    /// `fields`: the n-th pair of a line is this quantity, whatever its label, and a line has at least that many; empty:
    /// the labels decide. `configured`: what the configuration says of quantities.
    #[must_use]
    pub fn new(fields: &[String], configured: &[config::Quantity]) -> Parser {
        Parser { fields: fields.to_vec(), labels: Labels::new(configured), values: Vec::new() }
    }

    /// The quantities of a line with their values, each once. What is refused is told to `refused`; nothing of a line
    /// that is [`Refusal::Undecodable`] or [`Refusal::Garbled`] is believed.
    pub fn parse(&mut self, line: &[u8], mut refused: impl FnMut(Refusal)) -> &[(Arc<Quantity>, f64)] {
        let start = self.values.len();
        if let Err(refusal) = self.read(line, start, &mut refused) {
            self.values.truncate(start);
            refused(refusal);
        }
        &self.values[start..]
    }

    /// What all lines have said since [`Parser::clear`], in their order.
    #[must_use]
    pub fn values(&self) -> &[(Arc<Quantity>, f64)] {
        &self.values
    }

    /// Forgets what the lines have said.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    fn read(&mut self, line: &[u8], start: usize, refused: &mut impl FnMut(Refusal)) -> Result<(), Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| Refusal::Undecodable)?;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let (most, least) = if self.fields.is_empty() { (LONGEST, 1) } else { (self.fields.len(), self.fields.len()) };
        let mut count = 0;
        for pair in pairs(line).take(most) {
            let label = self.fields.get(count).map_or(pair.label, String::as_str);
            count += 1;
            match pair.value.and_then(|value| self.labels.read(label, value)) {
                Err(Refusal::Garbled) => return Err(Refusal::Garbled),
                Err(refusal) => refused(refusal),
                Ok((quantity, _)) if self.values[start..].iter().any(|(other, _)| other.name == quantity.name) => {
                    refused(Refusal::Repeated);
                }
                Ok(value) => self.values.push(value),
            }
        }
        if count < least { Err(Refusal::Garbled) } else { Ok(()) }
    }
}
