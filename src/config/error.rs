//! An error in a configuration file: which file, which line, what is wrong and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct Error {
    file: PathBuf,
    place: Option<Place>,
    what: String,
}

#[derive(Debug)]
struct Place {
    line: usize,
    text: String,
}

/// What is wrong, before it is known in which file: a byte range of the text and the words.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Option<Range<usize>>,
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl Fault {
    /// A fault of `key` in the table that `span` covers.
    pub(super) fn of(key: &'static str, span: Range<usize>, what: String) -> Fault {
        Fault { span: Some(span), key, what }
    }

    /// A fault of the file as a whole.
    pub(super) fn of_file(what: &str) -> Fault {
        Fault { span: None, key: "", what: what.to_owned() }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Fault {
        Fault { span: error.span(), key: "", what: in_our_words(error.message()) }
    }
}

impl Error {
    pub(super) fn in_file(file: &Path, text: &str, fault: Fault) -> Error {
        let place = fault.span.map(|span| place_of(text, span.start, fault.key));
        Error { file: file.to_owned(), place, what: fault.what }
    }
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| Error {
        file: path.to_owned(),
        place: None,
        what: format!("cannot be read: {e}; `--config FILE` names another"),
    })
}

/// The line of `key` in the table that starts at byte `start`, or of the table itself.
fn place_of(text: &str, start: usize, key: &str) -> Place {
    let first = text[..start.min(text.len())].matches('\n').count();
    let mut table = text.lines().enumerate().skip(first);
    let head = table.next().unwrap_or((first, ""));
    let (index, line) = table
        .take_while(|(_, line)| !line.trim_start().starts_with('['))
        .find(|(_, line)| line.split('=').next().is_some_and(|left| !key.is_empty() && left.trim() == key))
        .unwrap_or(head);
    Place { line: index + 1, text: line.trim_end().to_owned() }
}

/// Serde speaks of fields; a person sees keys. An unknown one gets the nearest known one as a suggestion.
fn in_our_words(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return in_tomls_words(message);
    };
    let quoted: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let [wrong, known @ ..] = quoted.as_slice() else { return message.to_owned() };
    let nearest = known.iter().min_by_key(|name| strsim::damerau_levenshtein(wrong, name));
    let list = known.join(", ");
    match nearest {
        Some(name) if strsim::damerau_levenshtein(wrong, name) <= 2 => {
            format!("unknown key `{wrong}`; did you mean `{name}`? (the keys here: {list})")
        }
        _ => format!("unknown key `{wrong}`; the keys here are {list}"),
    }
}

/// Serde speaks of Rust's types; a person writes TOML.
fn in_tomls_words(message: &str) -> String {
    let message = message.replace("missing field", "missing key").replace("unknown variant", "unknown value");
    let instead = [
        ("map, expected a sequence", "write the table's name in double brackets, as in [[link]]"),
        ("expected struct CurveTable", "write a table, [link.curve], behind the link's other keys"),
        ("expected struct", "write a table, as in [quantity.temperature]"),
        ("expected a sequence", "write a list, as in [\"door\"]"),
        ("expected f64", "write a number without quotes"),
        ("expected u32", "write a whole number without quotes"),
        ("expected i64", "write a whole number without quotes"),
        ("expected a string", "write it in quotes"),
        ("expected a boolean", "write true or false"),
        ("must be quoted", "text stands in quotes; true and false do not"),
        ("socket address", "write for example \"127.0.0.1:8080\""),
    ];
    match instead.iter().find(|(words, _)| message.contains(words)) {
        // The names of our structs are nobody's business.
        Some((_, instead)) => format!("{}; {instead}", message.split(", expected struct").next().unwrap_or_default()),
        None => message,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "{}: {}", self.file.display(), self.what),
            Some(Place { line, text }) => {
                write!(f, "{}, line {line}: {}\n  {line:>4} | {text}", self.file.display(), self.what)
            }
        }
    }
}

impl std::error::Error for Error {}
