//! A second parser of a board's lines, as plain as can be: it splits at every dash, as most scripts do, and joins again
//! what a dash of a number has parted. It shares nothing with the one in src and is slow.

/// What a line says: name, unit and value of each quantity, and the causes of what was refused.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub values: Vec<(String, String, f64)>,
    pub refused: Vec<&'static str>,
}

/// Reads a line by its labels.
pub fn read(line: &[u8]) -> Said {
    let Ok(line) = std::str::from_utf8(line) else {
        return nothing("undecodable bytes", Said::default());
    };
    let mut said = Said::default();
    if is_blank(line) {
        return said;
    }
    let mut fields: Vec<&str> = line.split('-').collect();
    if fields.iter().all(|field| is_blank(field)) {
        return nothing("garbled line", said);
    }
    while !fields.iter().all(|field| is_blank(field)) {
        let label = fields.remove(0).trim_ascii();
        if fields.is_empty() {
            return nothing("garbled line", said);
        }
        match value(&mut fields).and_then(|(number, unit)| quantity(label, number, &unit)) {
            Ok(value) if said.values.iter().any(|(name, ..)| *name == value.0) => {
                said.refused.push("repeated quantity");
            }
            Ok(value) => said.values.push(value),
            Err("garbled line") => return nothing("garbled line", said),
            Err(cause) => said.refused.push(cause),
        }
    }
    said
}

fn nothing(cause: &'static str, mut said: Said) -> Said {
    said.values.clear();
    said.refused.push(cause);
    said
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Takes the fields of the next value.
fn value(fields: &mut Vec<&str>) -> Result<(f64, String), &'static str> {
    let mut text = fields.remove(0).trim_ascii_start().to_owned();
    let next = fields.first().copied().unwrap_or("");
    let begins_a_number = next.starts_with(|c: char| c.is_ascii_digit())
        || next.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let word = next.split([' ', '\r']).next().unwrap_or("").to_lowercase();
    if text.is_empty() && (begins_a_number || word == "nan" || word == "inf") {
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
        return Err(if is_blank(&text) { "empty value" } else { "not a number" });
    };
    let unit = text[number.len()..].trim_ascii();
    if unit.starts_with(|c: char| c.is_ascii() && !c.is_ascii_alphabetic() && c != '%') {
        return Err("not a number");
    }
    if unit.len() > 16 || unit.chars().any(|c| c.is_control() || "01456789".contains(c)) {
        return Err("unknown unit");
    }
    let number: f64 = number.parse().expect("a number");
    if number.is_infinite() { Err("out of range") } else { Ok((number, unit.to_owned())) }
}

fn is_number(text: &str, letters: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c) || letters.contains(c)) && text.parse::<f64>().is_ok()
}

fn quantity(label: &str, number: f64, unit: &str) -> Result<(String, String, f64), &'static str> {
    if !label.chars().any(char::is_alphabetic) || label.chars().any(char::is_control) {
        return Err("garbled line");
    }
    let is_fahrenheit = ["F", "f", "°F", "℉", "degF"].contains(&unit);
    let (name, own_unit, units, least, most): (_, _, &[&str], _, _) = match label.to_ascii_lowercase().as_str() {
        "t" | "temp" | "temperature" | "wendu" | "温度" => {
            ("temperature", "°C", &["C", "c", "°C", "℃", "°", "degC"], -273.15, 3000.0)
        }
        "h" | "hum" | "humidity" | "shidu" | "湿度" => {
            ("humidity", "%RH", &["%", "%RH", "RH", "%rh", "rH"], 0.0, 100.0)
        }
        "mq2" => ("mq2", unit, &[], 0.0, 65535.0),
        "mq9" => ("mq9", unit, &[], 0.0, 65535.0),
        "light" | "l" | "lux" | "lihgt" => ("light", unit, &[], 0.0, 200_000.0),
        _ => (label, unit, &[], f64::MIN, f64::MAX),
    };
    let converted = name == "temperature" && is_fahrenheit;
    let number = if converted { (number - 32.0) / 1.8 } else { number };
    if !(converted || unit.is_empty() || unit == own_unit || units.contains(&unit)) {
        return Err("unknown unit");
    }
    if number < least || number > most {
        return Err("out of range");
    }
    Ok((name.to_owned(), own_unit.to_owned(), number))
}
