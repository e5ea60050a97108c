//! A second parser of a board's lines, as plain as can be: it splits at every dash, as most scripts do, and joins again
//! what a dash of a number has parted. It shares nothing with the one in src and is slow.

use std::collections::HashMap;

/// What a line says: name, unit and value of each quantity, and the causes of what was refused.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub values: Vec<(String, String, f64)>,
    pub refused: Vec<&'static str>,
}

/// Reads lines by their labels.
#[derive(Default)]
pub struct Reference {
    /// Of each label that nobody knows, in how many lines it had which unit.
    units: HashMap<String, HashMap<String, u32>>,
}

impl Reference {
    pub fn read(&mut self, line: &[u8]) -> Said {
        let mut said = Said::default();
        let Some(line) = without_noise(line) else {
            return nothing("undecodable_bytes");
        };
        if is_blank(line) {
            return said;
        }
        let mut fields: Vec<&str> = line.split('-').collect();
        if fields.len() == 1 || fields.iter().all(|field| is_blank(field)) {
            return nothing("garbled_line");
        }
        while let Some(place) = fields.iter().position(|field| !is_blank(field)) {
            fields.drain(..place);
            let label = fields.remove(0).trim_ascii();
            let value = value(&mut fields);
            if value != Err("empty_value") && !is_label(label) {
                return nothing("garbled_line");
            }
            match value.and_then(|(number, unit)| self.quantity(label, number, &unit)) {
                Ok(value) if said.values.iter().any(|(name, ..)| *name == value.0) => {
                    said.refused.push("repeated_quantity");
                }
                Ok(value) => said.values.push(value),
                Err(cause) => said.refused.push(cause),
            }
        }
        said
    }

    fn quantity(&mut self, label: &str, number: f64, unit: &str) -> Result<(String, String, f64), &'static str> {
        let is_fahrenheit = ["F", "f", "°F", "℉", "degF"].contains(&unit);
        let (name, own_unit, units, least, most): (_, _, &[&str], _, _) = match label.to_ascii_lowercase().as_str() {
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
        if number < least || number > most {
            return Err("out_of_range");
        }
        Ok((name.to_owned(), own_unit.to_owned(), number))
    }
}

/// The line, without what stands in its first field before the text begins.
fn without_noise(line: &[u8]) -> Option<&str> {
    let is_clean = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => !text.bytes().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()),
        Err(_) => false,
    };
    if is_clean(line) {
        return std::str::from_utf8(line).ok();
    }
    let first = line.split(|byte| *byte == b'-').next().expect("always one");
    let start = (0..=first.len()).find(|start| is_clean(&first[*start..])).expect("nothing is clean");
    std::str::from_utf8(&line[start..]).ok().filter(|text| !is_blank(text))
}

fn is_label(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !text.chars().any(char::is_control) && text.trim() == text
}

fn nothing(cause: &'static str) -> Said {
    Said { values: Vec::new(), refused: vec![cause] }
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Takes the fields of the next value.
fn value(fields: &mut Vec<&str>) -> Result<(f64, String), &'static str> {
    let mut text = if fields.is_empty() { String::new() } else { fields.remove(0).trim_ascii_start().to_owned() };
    let next = fields.first().copied().unwrap_or("");
    let begins_a_number = next.starts_with(|c: char| c.is_ascii_digit())
        || next.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let word = next.split([' ', '\r']).next().unwrap_or("").to_lowercase();
    if text.is_empty() && (begins_a_number || ["nan", "inf", "infinity"].contains(&word.as_str())) {
        text = format!("-{}", fields.remove(0));
    }
    let next = fields.first().copied().unwrap_or("");
    let mantissa = text.strip_suffix(['e', 'E']).unwrap_or("");
    if is_number(mantissa, "") && next.starts_with(|c: char| c.is_ascii_digit()) {
        text = format!("{text}-{}", fields.remove(0));
    }
    // The longest beginning that is a number.
    let number = (0..=text.len()).rev().filter_map(|end| text.get(..end)).find(|begin| is_number(begin, "eE"));
    let Some(number) = number else {
        return Err(if is_blank(&text) { "empty_value" } else { "not_a_number" });
    };
    let unit = text[number.len()..].trim();
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
