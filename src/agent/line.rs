//! A board's bytes to readings. Pure: bytes in, values out.
//!
//! A line is label-value pairs joined by dashes, ended by LF or CRLF: `t-25-h-60`, `mq2-312-light-540-mq9-120`. A
//! value may be negative or decimal and may carry a unit: `t--5.5C-h-60%`.

use std::borrow::Cow;

use crate::reading::Quantity;

/// The longest line a board may send, without its end.
pub const LONGEST: usize = 256;

/// Why a line, or one pair of it, gave no reading. Each is counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// More than [`LONGEST`] bytes without a newline.
    #[error("line too long")]
    TooLong,
    /// Not UTF-8; a wrong baud rate looks like this.
    #[error("undecodable bytes")]
    Undecodable,
    /// Not label-value pairs; nothing of the line is believed.
    #[error("garbled line")]
    Garbled,
    /// A label with nothing behind it.
    #[error("empty value")]
    Empty,
    /// A value that is no number, `nan` and `inf` among them.
    #[error("not a number")]
    NotANumber,
    /// A unit that the quantity does not have.
    #[error("unknown unit")]
    Unit,
    /// A value that the quantity cannot have.
    #[error("out of range")]
    OutOfRange,
    /// A quantity for the second time in one line.
    #[error("repeated quantity")]
    Repeated,
    /// One label more than a port may bring.
    #[error("too many quantities")]
    TooMany,
}

/// Cuts bytes into lines.
#[derive(Debug)]
pub struct Framer {
    line: Vec<u8>,
    /// Everything up to the next newline belongs to a line that is not taken.
    skipping: bool,
}

impl Framer {
    /// `midway`: the first bytes may be the rest of a line whose beginning was missed; it is skipped.
    #[must_use]
    pub fn new(midway: bool) -> Framer {
        Framer { line: Vec::with_capacity(LONGEST), skipping: midway }
    }

    /// Takes the next bytes in any chunking, and gives each line that they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Result<&[u8], Refusal>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&rest[..end], &mut each);
            if !self.skipping {
                each(Ok(&self.line));
            }
            self.line.clear();
            self.skipping = false;
            rest = &rest[end + 1..];
        }
        self.extend(rest, &mut each);
    }

    fn extend(&mut self, bytes: &[u8], each: &mut impl FnMut(Result<&[u8], Refusal>)) {
        if self.skipping {
            return;
        }
        // One more for the CR.
        if self.line.len() + bytes.len() > LONGEST + 1 {
            self.line.clear();
            self.skipping = true;
            each(Err(Refusal::TooLong));
        } else {
            self.line.extend_from_slice(bytes);
        }
    }
}

/// One label with its value, as the line has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// Without the spaces around it.
    pub label: &'a str,
    /// Finite.
    pub value: f64,
    /// What stands behind the number, without spaces.
    pub unit: &'a str,
}

/// The pairs of a line. After [`Refusal::Garbled`] or [`Refusal::Undecodable`] nothing of the line holds; any other
/// refusal is of one pair.
pub fn pairs(line: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, Refusal>> {
    let (mut rest, mut failed) = match std::str::from_utf8(line) {
        Ok(text) => (text, None),
        Err(_) => ("", Some(Refusal::Undecodable)),
    };
    std::iter::from_fn(move || {
        if let Some(refusal) = failed.take() {
            return Some(Err(refusal));
        }
        if rest.trim_matches([' ', '\t', '\r', '-']).is_empty() {
            return None;
        }
        let pair = next_pair(&mut rest);
        if pair == Err(Refusal::Garbled) {
            rest = "";
        }
        Some(pair)
    })
}

/// Bytes; the longest usual one, "µg/m³", has eight.
const LONGEST_UNIT: usize = 16;

fn next_pair<'a>(rest: &mut &'a str) -> Result<Pair<'a>, Refusal> {
    let (label, behind) = rest.split_once('-').ok_or(Refusal::Garbled)?;
    let label = label.trim();
    if !label.contains(char::is_alphabetic) || label.contains(char::is_control) {
        return Err(Refusal::Garbled);
    }
    // A second dash is a sign where a number follows it, else it ends an empty value.
    let value_start = behind.trim_start();
    let signed = value_start
        .strip_prefix('-')
        .is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
    let sign = usize::from(signed);
    let end = value_start[sign..].find('-').map_or(value_start.len(), |dash| dash + sign);
    *rest = value_start.get(end + 1..).unwrap_or("");
    let value = value_start[..end].trim();
    if value.is_empty() {
        return Err(Refusal::Empty);
    }
    let number_end = value[sign..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(value.len(), |i| i + sign);
    let (number, unit) = value.split_at(number_end);
    let value = number.parse().map_err(|_| Refusal::NotANumber)?;
    let unit = unit.trim();
    // No unit begins as an exponent does, and a number that is cut at one would be a wrong reading.
    if unit.starts_with(['e', 'E']) && unit[1..].starts_with(|c: char| c.is_ascii_digit() || c == '+') {
        return Err(Refusal::NotANumber);
    }
    if unit.len() > LONGEST_UNIT || unit.contains(char::is_control) {
        return Err(Refusal::Unit);
    }
    Ok(Pair { label, value, unit })
}

/// Labels of quantities that no table of ours names, which one port may bring: garbled lines must not fill memory.
const MOST_OTHERS: usize = 64;

/// Turns pairs into quantities: by their place in the line where the port's `fields` say so, else by their label.
#[derive(Debug)]
pub struct Labels {
    fields: Vec<String>,
    others: Vec<Quantity>,
}

impl Labels {
    /// `fields`: the n-th pair of a line is this quantity.
    #[must_use]
    pub fn new(fields: &[String]) -> Labels {
        Labels { fields: fields.to_vec(), others: Vec::new() }
    }

    /// The quantity of the `index`-th pair of a line, and its value in the quantity's unit.
    ///
    /// # Errors
    /// When the unit or the value cannot be of this quantity.
    pub fn quantity(&mut self, index: usize, pair: Pair<'_>) -> Result<(Quantity, f64), Refusal> {
        let label = self.fields.get(index).map_or(pair.label, String::as_str);
        let Some(quantity) = known(label) else {
            let quantity = other(&mut self.others, label, pair.unit)?;
            return Ok((quantity, pair.value));
        };
        let value = in_unit(&quantity, pair)?;
        if possible(&quantity, value) { Ok((quantity, value)) } else { Err(Refusal::OutOfRange) }
    }
}

/// A quantity that no table of ours names, as the line has it.
fn other(others: &mut Vec<Quantity>, name: &str, unit: &str) -> Result<Quantity, Refusal> {
    if let Some(seen) = others.iter().find(|other| other.name == name && other.unit == unit) {
        return Ok(seen.clone());
    }
    if others.len() == MOST_OTHERS {
        return Err(Refusal::TooMany);
    }
    let quantity = Quantity { name: Cow::Owned(name.to_owned()), unit: Cow::Owned(unit.to_owned()) };
    others.push(quantity.clone());
    Ok(quantity)
}

/// The quantity that a usual label means.
fn known(label: &str) -> Option<Quantity> {
    Some(match label {
        "t" | "T" | "temp" | "temperature" | "wendu" | "温度" => Quantity::TEMPERATURE,
        "h" | "H" | "hum" | "humidity" | "shidu" | "湿度" => Quantity::HUMIDITY,
        "mq2" | "MQ2" => Quantity::MQ2,
        "mq9" | "MQ9" => Quantity::MQ9,
        "light" | "l" | "L" | "lux" | "lihgt" => Quantity::LIGHT,
        _ => return None,
    })
}

fn in_unit(quantity: &Quantity, pair: Pair<'_>) -> Result<f64, Refusal> {
    match (quantity.name.as_ref(), pair.unit) {
        (_, "")
        | ("temperature", "C" | "c" | "°C" | "℃" | "°")
        | ("humidity", "%" | "%RH" | "RH" | "%rh")
        | ("light", "lx" | "lux") => Ok(pair.value),
        ("temperature", "F" | "f" | "°F" | "℉") => Ok((pair.value - 32.0) / 1.8),
        _ => Err(Refusal::Unit),
    }
}

/// Whether the quantity can have this value at all: temperatures end at absolute zero and where no sensor of this kind
/// reaches, humidity is a share, counts are those of a converter of at most 16 bits.
fn possible(quantity: &Quantity, value: f64) -> bool {
    match quantity.name.as_ref() {
        "temperature" => (-273.15..=3000.0).contains(&value),
        "humidity" => (0.0..=100.0).contains(&value),
        "mq2" | "mq9" | "light" => (0.0..=65_535.0).contains(&value),
        _ => value.is_finite(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Result<(String, f64), Refusal>> {
        let mut labels = Labels::new(&[]);
        let one = |(index, pair): (usize, Result<Pair<'_>, Refusal>)| {
            pair.and_then(|pair| labels.quantity(index, pair)).map(|(q, value)| (q.name.into_owned(), value))
        };
        pairs(line.as_bytes()).enumerate().map(one).collect()
    }

    fn good(line: &str) -> Vec<(String, f64)> {
        read(line).into_iter().map(|pair| pair.unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }

    fn expected(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn the_lines_of_the_boards_in_use() {
        let climate = expected(&[("temperature", 25.0), ("humidity", 60.0)]);
        assert_eq!(good("t-25-h-60"), climate);
        assert_eq!(good("t-25-h-60\r"), climate);
        assert_eq!(good(" t - 25 - h - 60 "), climate);
        assert_eq!(good("t-25-h-60-"), climate);
        let gas = expected(&[("mq2", 312.0), ("light", 540.0), ("mq9", 120.0)]);
        assert_eq!(good("mq2-312-light-540-mq9-120"), gas);
        let chinese = expected(&[("temperature", 23.5), ("humidity", 61.0), ("mq2", 88.0)]);
        assert_eq!(good("温度-23.5-湿度-61-mq2-88"), chinese);
    }

    #[test]
    fn negative_and_decimal_values_and_units() {
        assert_eq!(good("t--5.5C-h-60%"), expected(&[("temperature", -5.5), ("humidity", 60.0)]));
        assert_eq!(good("t-77F"), expected(&[("temperature", 25.0)]));
        assert_eq!(good("co2-415ppm"), expected(&[("co2", 415.0)]));
    }

    #[test]
    fn a_field_that_no_table_names_takes_the_lines_unit() {
        let mut labels = Labels::new(&["co2".to_owned()]);
        let pair = pairs(b"x-415ppm").next().expect("a pair").expect("a good one");
        let (quantity, value) = labels.quantity(0, pair).expect("a reading");
        assert_eq!((&*quantity.name, &*quantity.unit, value), ("co2", "ppm", 415.0));
    }

    #[test]
    fn one_bad_value_costs_one_reading_and_a_garbled_line_all() {
        let humidity = || Ok(("humidity".to_owned(), 60.0));
        assert_eq!(read("t-nan-h-60"), [Err(Refusal::NotANumber), humidity()]);
        assert_eq!(read("t--h-60"), [Err(Refusal::Empty), humidity()]);
        assert_eq!(read("t-9999-h-60"), [Err(Refusal::OutOfRange), humidity()]);
        assert_eq!(read("t-5kg-h-60"), [Err(Refusal::Unit), humidity()]);
        assert_eq!(read("co2-4.2e3ppm-h-60"), [Err(Refusal::NotANumber), humidity()]);
        assert_eq!(read("co2-4\u{7}-h-60"), [Err(Refusal::Unit), humidity()]);
        assert_eq!(read("h-60-25"), [humidity(), Err(Refusal::Garbled)]);
        assert_eq!(read("hello"), [Err(Refusal::Garbled)]);
        assert_eq!(pairs(b"t-\xff\xfe").collect::<Vec<_>>(), [Err(Refusal::Undecodable)]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn lines_come_whole_out_of_any_chunking_and_an_endless_one_is_dropped() {
        let bytes = [b"rest of one\nt-1\r\n".as_slice(), &[b'x'; 1000], b"\nh-2\n"].concat();
        for chunk in 1..bytes.len() {
            let (mut framer, mut lines) = (Framer::new(true), Vec::new());
            for part in bytes.chunks(chunk) {
                framer.push(part, |line| lines.push(line.map(<[u8]>::to_vec)));
            }
            assert_eq!(lines, [Ok(b"t-1\r".to_vec()), Err(Refusal::TooLong), Ok(b"h-2".to_vec())]);
        }
    }
}
