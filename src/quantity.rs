//! The quantities that boards measure: built-in ones, and the form of labels and units.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// A quantity and its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Its name in message headers, in the configuration and on the page.
    pub name: Arc<str>,
    /// Its unit; empty for raw counts.
    pub unit: Arc<str>,
    /// Whether the configuration or [`KNOWN`] names it. Otherwise it may be a garbled label.
    pub listed: bool,
}

/// A quantity that needs no configuration.
#[derive(Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Its unit; empty for raw counts.
    pub unit: &'static str,
    /// Other units that boards may write.
    pub line_units: &'static [&'static str],
    /// The labels that boards use, in any case.
    pub labels: &'static [&'static str],
    /// The range of possible values.
    pub range: RangeInclusive<f64>,
}

/// Temperatures start at absolute zero and stop where no such sensor reaches. Humidity is a percentage. A converter's
/// counts have at most 16 bits. Sunlight has 120,000 lx.
pub const KNOWN: [Known; 5] = [
    Known {
        name: "temperature",
        unit: "°C",
        line_units: &["°F"],
        labels: &["temperature", "t", "temp", "wendu", "温度"],
        range: -273.15..=3_000.0,
    },
    Known {
        name: "humidity",
        unit: "%RH",
        line_units: &[],
        labels: &["humidity", "h", "hum", "shidu", "湿度"],
        range: 0.0..=100.0,
    },
    // Raw counts of an MQ-2 (gas and smoke) and an MQ-9 (carbon monoxide and flammable gas).
    Known { name: "mq2", unit: "", line_units: &[], labels: &["mq2"], range: 0.0..=65_535.0 },
    Known { name: "mq9", unit: "", line_units: &[], labels: &["mq9"], range: 0.0..=65_535.0 },
    Known {
        name: "light",
        unit: "",
        line_units: &["lx"],
        labels: &["light", "l", "lux", "lihgt"],
        range: 0.0..=200_000.0,
    },
];

/// The built-in quantity with this label.
#[must_use]
pub fn known(label: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.labels.iter().any(|usual| usual.eq_ignore_ascii_case(label)))
}

/// Maximum length of a quantity's name and of a label. A line of a board has no more.
pub const MAX_NAME_BYTES: usize = 256;

/// Whether a text can be a label: at least one letter, no dash, no control character, no surrounding spaces, and at most
/// [`MAX_NAME_BYTES`].
#[must_use]
pub fn is_label(text: &str) -> bool {
    let has_form = text.contains(char::is_alphabetic) && !text.contains(|c: char| c == '-' || c.is_control());
    has_form && text == text.trim() && text.len() <= MAX_NAME_BYTES
}

/// Whether nobody can see a character: zero-width characters, byte order marks and marks of the writing direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
        || matches!(c, '\u{2060}'..='\u{206f}')
}

/// Removes ASCII white space and invisible characters from both ends of a board's label. Control characters stay,
/// because they show that bytes were damaged.
#[must_use]
pub fn trim_label(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || is_invisible(c))
}

/// Removes white space, invisible characters and control characters from both ends of a received text.
#[must_use]
pub fn trim_text(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Whether this is a built-in quantity in a unit that it has.
#[must_use]
pub fn is_built_in(name: &str, unit: &str) -> bool {
    let has_unit = |known: &Known| {
        let unit = usual_unit(unit);
        unit.is_empty() || unit == known.unit || known.line_units.contains(&unit)
    };
    known(name).is_some_and(has_unit)
}

/// Maps the many spellings of a unit to the usual one.
#[must_use]
pub fn usual_unit(unit: &str) -> &str {
    match unit {
        "C" | "c" | "℃" | "°" | "degC" => "°C",
        "F" | "f" | "℉" | "degF" => "°F",
        "%" | "RH" | "%rh" | "rH" => "%RH",
        "lux" => "lx",
        other => other,
    }
}

/// Maximum length of a unit. The longest usual one, "µg/m³", has eight bytes.
pub const MAX_UNIT_BYTES: usize = 16;
