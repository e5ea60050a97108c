//! Errors about keys, values and tables, in the words of someone who writes a configuration file.

use serde::de::DeserializeOwned;

use super::error::Fault;
use super::toml_syntax;

/// Tables in double brackets, because a file can have several.
const REPEATABLE: [&str; 3] = ["serial", "camera", "link"];

/// Required keys, each with a value to copy.
const EXAMPLES: [(&str, &str); 5] = [
    ("name", "\"door\""),
    ("source", "\"/dev/video0\""),
    ("port", "\"/dev/ttyUSB0\""),
    ("pattern", "\"pair\""),
    ("secret_key_file", "\"/etc/watchpost/pi.key_secret\""),
];

/// Parses a file.
///
/// # Errors
/// When the text is not TOML, or its keys and values are not those of `T`.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let table: Result<toml::Table, _> = toml::from_str(text);
    if let Err(error) = table {
        let place = Place::of(text, &error);
        let what =
            if error.message() == "duplicate key" { place.duplicate() } else { toml_syntax::describe(error.message()) };
        return Err(Fault { span: error.span(), key: "", what });
    }
    toml::from_str(text).map_err(|error| {
        let what = Place::of(text, &error).describe(error.message());
        Fault { span: error.span(), key: "", what }
    })
}

/// Where an error is.
struct Place<'a> {
    line: &'a str,
    /// The line up to the error.
    before: &'a str,
    /// The line from the error on.
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, error: &toml::de::Error) -> Place<'a> {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        Place { line: text[start..end].trim(), before: &text[start..at], rest: &text[at..end] }
    }

    /// The key whose value is wrong, if it is on the same line.
    fn key(&self) -> Option<&'a str> {
        let (left, _) = self.before.rsplit_once('=')?;
        left.trim_end().rsplit([' ', '{', ',', '.']).next().filter(|key| !key.is_empty())
    }

    /// The first part of a table's or key's name that starts the line.
    fn first_name(&self) -> &'a str {
        let name = self.line.trim_start_matches('[');
        name.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next().unwrap_or(name)
    }

    fn describe(&self, message: &str) -> String {
        if let Some(rest) = message.strip_prefix("unknown field ") {
            unknown_key(&quoted(rest))
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            unknown_value(&quoted(rest))
        } else if let Some(rest) = message.strip_prefix("missing field ") {
            missing_key(rest.trim_matches('`'))
        } else if message.contains("socket address syntax") {
            "not an address; write for example \"127.0.0.1:8080\"".to_owned()
        } else if message.starts_with("wanted string or table") {
            self.wrong_type(self.rest, "a string")
        } else {
            let types = ["invalid type: ", "invalid value: ", "invalid length "];
            let rest = types.iter().find_map(|start| message.strip_prefix(start));
            match rest.and_then(|rest| rest.rsplit_once(", expected ")) {
                Some((found, expected)) => self.wrong_type(found, expected),
                // Our own values say what is wrong with them.
                None => message.to_owned(),
            }
        }
    }

    fn wrong_type(&self, found: &str, expected: &str) -> String {
        if let Some(what) = self.wrong_brackets(found, expected) {
            return what;
        }
        let is_table = expected.starts_with("struct") || expected == "a map";
        let (kind, advice) = match expected {
            "f64" => ("a number", "write it without quotes, as in 2.5".to_owned()),
            "u32" | "u64" | "i64" => ("a whole number", "write it without quotes, as in 80".to_owned()),
            "a boolean" => ("true or false", "write one of them, without quotes".to_owned()),
            "a sequence" => ("a list", "write for example [\"door\"]".to_owned()),
            "socket address" => ("an address", "write for example \"127.0.0.1:8080\"".to_owned()),
            _ if is_table => ("a table", self.table_advice()),
            _ => ("text", "write it in quotes".to_owned()),
        };
        let key = self.key().map(|key| format!("`{key}`: ")).unwrap_or_default();
        format!("{key}expected {kind}, found {}; {advice}", self.found(found))
    }

    /// The remedy for a table with too few or too many brackets.
    fn wrong_brackets(&self, found: &str, expected: &str) -> Option<String> {
        let name = self.first_name();
        let header = self.line.split_inclusive(']').take_while(|part| !part.contains('#')).collect::<String>();
        match (REPEATABLE.contains(&name), self.line.starts_with("[[")) {
            (true, false) if self.line.starts_with('[') && header.contains('.') => {
                Some(format!("{header} belongs to a [[{name}]] table; write [[{name}]] above it"))
            }
            (true, false) if found == "map" && expected == "a sequence" => {
                Some(format!("[{name}] is a table; write [[{name}]], because there can be several"))
            }
            (true, false) if expected == "a sequence" && self.key() == Some(name) => {
                Some(format!("`{name}` is not a value; write a [[{name}]] table"))
            }
            (_, true) if name == "quantity" => {
                Some("[[quantity]] has no name; write a table for each quantity, as in [quantity.temperature]".into())
            }
            (_, true) if header.contains("curve") => {
                Some("[[link.curve]] has two brackets; write [link.curve], because a link has one".to_owned())
            }
            (false, true) => {
                Some(format!("[[{name}]] has two brackets; write [{name}], because there can be only one"))
            }
            _ => None,
        }
    }

    fn table_advice(&self) -> String {
        match self.key() {
            Some("curve") => "write a table, [link.curve], after the link's other keys".to_owned(),
            Some(key @ ("web" | "history" | "record" | "spool")) => format!("write [{key}] and its keys below it"),
            _ => "write for example [quantity.temperature] and its keys below it".to_owned(),
        }
    }

    fn found(&self, found: &str) -> String {
        let number = found.trim_start_matches("integer ").trim_start_matches("floating point ");
        match found.split(' ').next().unwrap_or(found) {
            "integer" | "floating" => number.trim_end_matches(" as i128").trim_matches('`').to_owned(),
            "boolean" => found.trim_start_matches("boolean ").trim_matches('`').to_owned(),
            "string" => "text in quotes".to_owned(),
            "map" if self.rest.starts_with(|c: char| c.is_ascii_digit()) => "a date".to_owned(),
            "map" => "a table".to_owned(),
            "sequence" | "0" => "a list".to_owned(),
            _ => self.rest.split(['#', ',', ']', '}']).next().unwrap_or_default().trim().to_owned(),
        }
    }

    fn duplicate(&self) -> String {
        let name = self.first_name();
        if !self.line.starts_with('[') {
            return format!("`{name}` is already set above; remove one of the two lines");
        }
        if REPEATABLE.contains(&name) {
            return format!("[{name}] and [[{name}]] do not go together; write [[{name}]] everywhere");
        }
        format!("{} is already written above; move its keys there", self.line)
    }
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&&str| strsim::damerau_levenshtein(wrong, name);
    known.iter().min_by_key(distance).filter(|name| distance(name) <= 2).copied()
}

fn unknown_key(words: &[&str]) -> String {
    let [wrong, known @ ..] = words else { return "unknown key".to_owned() };
    let list = known.join(", ");
    match nearest(wrong, known) {
        Some(name) => format!("unknown key `{wrong}`; did you mean `{name}`? (the keys here: {list})"),
        None => format!("unknown key `{wrong}`; the keys here are {list}"),
    }
}

fn unknown_value(words: &[&str]) -> String {
    let [wrong, known @ ..] = words else { return "unknown value".to_owned() };
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(wrong, known) {
        Some(name) => format!("unknown value `{wrong}`; did you mean `{name}`? (the values here: {list})"),
        None => format!("unknown value `{wrong}`; the values here are {list}"),
    }
}

fn missing_key(key: &str) -> String {
    let example = EXAMPLES.iter().find(|(name, _)| *name == key).map_or("…", |(_, example)| *example);
    format!("missing key `{key}`; add for example `{key} = {example}`")
}
