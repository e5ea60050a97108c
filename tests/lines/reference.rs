//! A second, deliberately simple parser of a board's lines. It splits at every dash, as most scripts do, and rejoins
//! numbers that contain a dash. It is slow and shares no code with `src/agent/line`, so a mistake in one of them shows
//! as a difference.
//!
//! Each change of the grammar there must be made here, too.

use std::collections::HashMap;

/// A parsed line: name, unit and value of each quantity, and the causes of refusals.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    pub values: Vec<(String, String, f64)>,
    pub refused: Vec<&'static str>,
}

/// Reads lines by their labels.
#[derive(Default)]
pub struct Reference {
    /// For each unknown label, the number of lines per unit.
    units: HashMap<String, HashMap<String, u32>>,
}

impl Reference {
    pub fn read(&mut self, line: &[u8]) -> Parsed {
        let mut parsed = Parsed::default();
        let Some(line) = without_noise(line) else {
            return refused("undecodable_bytes");
        };
        if is_blank(line) {
            return parsed;
        }
        let mut fields: Vec<&str> = line.split('-').collect();
        if fields.len() == 1 || fields.iter().all(|field| is_blank(field)) {
            return refused("garbled_line");
        }
        while let Some(index) = fields.iter().position(|field| !is_blank(field)) {
            fields.drain(..index);
            let label = without_invisible(fields.remove(0));
            let value = value(&mut fields);
            if value != Err("empty_value") && !is_label(label) {
                return refused("garbled_line");
            }
            match value.and_then(|(number, unit)| self.quantity(label, number, &unit)) {
                Ok(value) if parsed.values.iter().any(|(name, ..)| *name == value.0) => {
                    parsed.refused.push("repeated_quantity");
                }
                Ok(value) => parsed.values.push(value),
                Err(cause) => parsed.refused.push(cause),
            }
        }
        parsed
    }

    fn quantity(&mut self, label: &str, number: f64, unit: &str) -> Result<(String, String, f64), &'static str> {
        let is_fahrenheit = ["F", "f", "°F", "℉", "degF"].contains(&unit);
        let (name, own_unit, units, min, max): (_, _, &[&str], _, _) = match label.to_ascii_lowercase().as_str() {
            "t" | "temp" | "temperature" | "wendu" | "温度" => {
                ("temperature", "°C", &["C", "c", "°C", "℃", "°", "degC"], -273.15, 3000.0)
            }
            "h" | "hum" | "humidity" | "shidu" | "湿度" => {
                ("humidity", "%RH", &["%", "%RH", "RH", "%rh", "rH"], 0.0, 100.0)
            }
            "mq2" => ("mq2", "", &[], 0.0, 65535.0),
            "mq9" => ("mq9", "", &[], 0.0, 65535.0),
            "light" | "l" | "lux" | "lihgt" => ("light", unit, &["lx", "lux"], 0.0, 200_000.0),
            _ => {
                let units = self.units.entry(label.to_owned()).or_default();
                *units.entry(unit.to_owned()).or_default() += 1;
                if units.values().any(|lines| *lines > units[unit]) {
                    return Err("unknown_unit");
                }
                return Ok((label.to_owned(), unit.to_owned(), number));
            }
        };
        let converted = name == "temperature" && is_fahrenheit;
        let number = if converted { (number - 32.0) / 1.8 } else { number };
        if !(converted || unit.is_empty() || units.contains(&unit)) {
            return Err("unknown_unit");
        }
        if number < min || number > max {
            return Err("out_of_range");
        }
        Ok((name.to_owned(), own_unit.to_owned(), number))
    }
}

/// Returns the line without the noise before the text of its first field.
fn without_noise(line: &[u8]) -> Option<&str> {
    let is_clean = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => !text.bytes().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()),
        Err(_) => false,
    };
    if is_clean(line) {
        return std::str::from_utf8(line).ok();
    }
    let first = line.split(|byte| *byte == b'-').next().expect("at least one field");
    let start = (0..=first.len()).find(|start| is_clean(&first[*start..])).expect("an empty slice is clean");
    std::str::from_utf8(&line[start..]).ok().filter(|text| !is_blank(text))
}

fn is_label(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !text.chars().any(char::is_control) && text.trim() == text
}

/// Removes zero-width characters, direction marks and byte order marks from both ends, and ASCII white space.
fn without_invisible(mut text: &str) -> &str {
    const INVISIBLE: &str = "\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\
        \u{202e}\u{feff}";
    let is_removed = |c: char| {
        INVISIBLE.contains(c) || ('\u{2060}'..='\u{206f}').contains(&c) || [' ', '\t', '\r', '\n', '\u{c}'].contains(&c)
    };
    while let Some(rest) = text.strip_prefix(is_removed).or(text.strip_suffix(is_removed)) {
        text = rest;
    }
    text
}

fn refused(cause: &'static str) -> Parsed {
    Parsed { values: Vec::new(), refused: vec![cause] }
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Removes the fields of the next value; returns its number and unit.
fn value(fields: &mut Vec<&str>) -> Result<(f64, String), &'static str> {
    let mut text = if fields.is_empty() { String::new() } else { fields.remove(0).trim_ascii_start().to_owned() };
    let next = fields.first().copied().unwrap_or("");
    let starts_a_number = next.starts_with(|c: char| c.is_ascii_digit())
        || next.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let word = next.split([' ', '\r']).next().unwrap_or("").to_lowercase();
    if text.is_empty() && (starts_a_number || ["nan", "inf", "infinity"].contains(&word.as_str())) {
        text = format!("-{}", fields.remove(0));
    }
    let next = fields.first().copied().unwrap_or("");
    let mantissa = text.strip_suffix(['e', 'E']).unwrap_or("");
    if is_number(mantissa, "") && next.starts_with(|c: char| c.is_ascii_digit()) {
        text = format!("{text}-{}", fields.remove(0));
    }
    // The longest prefix that is a number.
    let number = (0..=text.len()).rev().filter_map(|end| text.get(..end)).find(|prefix| is_number(prefix, "eE"));
    let Some(number) = number else {
        return Err(if is_blank(&text) { "empty_value" } else { "not_a_number" });
    };
    let unit = without_invisible(text[number.len()..].trim());
    if unit.starts_with(|c: char| c.is_ascii() && !c.is_ascii_alphabetic() && c != '%') {
        return Err("not_a_number");
    }
    if unit.len() > 16 || unit.chars().any(|c| c.is_control() || "01456789\u{fffd}".contains(c)) {
        return Err("unknown_unit");
    }
    let number: f64 = number.parse().expect("a number");
    if number.is_infinite() { Err("out_of_range") } else { Ok((number, unit.to_owned())) }
}

fn is_number(text: &str, letters: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c) || letters.contains(c)) && text.parse::<f64>().is_ok()
}
