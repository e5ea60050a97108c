//! Splits a line into label-value pairs.
//!
//! ```text
//! line  = pair *("-" pair) ["-" rest]
//! pair  = label "-" value
//! label = text without a dash, optional spaces and invisible characters around it; unless read by position, dashes
//!         before it are skipped
//! rest  = text without a dash, possibly empty
//! value = *space number *space [unit]
//! number = ["+" / "-"] (1*digit ["." *digit] / "." 1*digit) [("e" / "E") ["+" / "-"] 1*digit]
//! unit  = text without a dash, as in 5.5C, 60%, 415 ppm
//! ```

use super::Refusal;
use crate::quantity::{MAX_UNIT_BYTES, trim_label};

/// One label and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// Without surrounding spaces and invisible characters; possibly empty.
    pub label: &'a str,
    /// A number with its unit.
    pub value: Result<Value<'a>, Refusal>,
}

/// A number and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value<'a> {
    /// Finite.
    pub number: f64,
    /// The text after the number, without surrounding spaces; possibly empty.
    pub unit: &'a str,
}

/// The pairs of a line; see [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
    by_position: bool,
}

/// The pairs of a line. `by_position`: a label may be empty, because only its position counts.
#[must_use]
pub fn pairs(line: &str, by_position: bool) -> Pairs<'_> {
    Pairs { rest: line, by_position }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let skipped = self.rest.bytes().take_while(|byte| *byte == b'-' || byte.is_ascii_whitespace()).count();
        let start = &self.rest[skipped..];
        if start.is_empty() {
            return None;
        }
        let text = if self.by_position { self.rest } else { start };
        let (label, after_dash) = split_at_dash(text, 0).unwrap_or((text, ""));
        let (value, rest) = value(after_dash.trim_ascii_start());
        self.rest = rest;
        Some(Pair { label: trim_label(label), value })
    }
}

/// Splits at the first dash at or after byte `from`.
fn split_at_dash(text: &str, from: usize) -> Option<(&str, &str)> {
    let dash = from + text.as_bytes()[from..].iter().position(|byte| *byte == b'-')?;
    Some((&text[..dash], &text[dash + 1..]))
}

/// Parses the value at the start of `text`; returns it and the text after the dash that ends it.
fn value(text: &str) -> (Result<Value<'_>, Refusal>, &str) {
    let length = number_length(text.as_bytes());
    // Dashes inside a number do not end the value.
    let from = length.max(usize::from(is_signed_non_number(text)));
    let (whole, rest) = split_at_dash(text, from).unwrap_or((text, ""));
    if length == 0 {
        let is_empty = whole.trim_ascii().is_empty();
        return (Err(if is_empty { Refusal::Empty } else { Refusal::NotANumber }), rest);
    }
    let (number, unit) =
        (&whole[..length], if length == whole.len() { "" } else { trim_label(whole[length..].trim()) });
    let value = number.parse().map_err(|_| Refusal::NotANumber).and_then(|number: f64| {
        check_unit(unit)?;
        if number.is_finite() { Ok(Value { number, unit }) } else { Err(Refusal::OutOfRange) }
    });
    (value, rest)
}

/// Length of the number at the start of the text, in bytes; 0 without a number.
fn number_length(text: &[u8]) -> usize {
    let digits = |from: usize| from + text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is = |offset: usize, one_of: &[u8]| text.get(offset).is_some_and(|byte| one_of.contains(byte));
    let start = usize::from(is(0, b"+-"));
    let mut end = digits(start);
    let mut count = end - start;
    if is(end, b".") {
        let fraction = digits(end + 1);
        count += fraction - end - 1;
        end = fraction;
    }
    if count == 0 {
        return 0;
    }
    // C's %g and Python's repr write very large and very small values like this.
    if is(end, b"eE") {
        let exponent = end + 1 + usize::from(is(end + 1, b"+-"));
        if digits(exponent) > exponent {
            return digits(exponent);
        }
    }
    end
}

/// C prints a sign before `nan` and `inf`, too.
fn is_signed_non_number(text: &str) -> bool {
    let word = text.strip_prefix('-').and_then(|rest| rest.split(['-', ' ', '\r']).next());
    word.is_some_and(|word| ["nan", "inf", "infinity"].iter().any(|non_number| word.eq_ignore_ascii_case(non_number)))
}

fn check_unit(unit: &str) -> Result<(), Refusal> {
    let Some(first) = unit.chars().next() else { return Ok(()) };
    // 23,5 and 1.2.3 and 12:30 are not a number with a unit: taking half of one would give a wrong reading.
    if first.is_ascii() && !first.is_ascii_alphabetic() && first != '%' {
        return Err(Refusal::NotANumber);
    }
    // Units contain the digits 2 and 3, as in m3 and gH2O. Other digits come from 0x1F or a garbled number.
    let odd =
        |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER || (c.is_ascii_digit() && c != '2' && c != '3');
    if unit.len() > MAX_UNIT_BYTES || unit.contains(odd) { Err(Refusal::Unit) } else { Ok(()) }
}
