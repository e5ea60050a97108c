//! An error in a configuration file: its place, the reason and the remedy.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::redaction::without_passwords;

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

/// An error in a text whose file is not known yet: a byte range and the words.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Option<Range<usize>>,
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl Fault {
    /// An error in the value of `key`, in the table that `span` covers.
    pub(super) fn of(key: &'static str, span: Range<usize>, what: String) -> Fault {
        Fault { span: Some(span), key, what }
    }

    /// An error of the file as a whole.
    pub(super) fn of_file(what: &str) -> Fault {
        Fault { span: None, key: "", what: what.to_owned() }
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
        what: format!("cannot be read: {e}; name another file with `--config FILE`"),
    })
}

/// Finds the line of `key` in the table that starts at byte `start`, or of the table itself.
fn place_of(text: &str, start: usize, key: &str) -> Place {
    let first = text[..start.min(text.len())].matches('\n').count();
    let mut table = text.lines().enumerate().skip(first);
    let head = table.next().unwrap_or((first, ""));
    let (index, line) = table
        .take_while(|(_, line)| !line.trim_start().starts_with('['))
        .find(|(_, line)| line.split('=').next().is_some_and(|left| !key.is_empty() && left.trim() == key))
        .unwrap_or(head);
    Place { line: index + 1, text: without_passwords(line.trim_end()) }
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
