//! Errors of the operating system, without numbers.

use std::borrow::Cow;

const NUMBER: &str = " (os error ";

/// Removes what Rust adds to the system's words: `No such file or directory (os error 2)`.
#[must_use]
pub fn without_numbers(text: &str) -> Cow<'_, str> {
    let mut parts = text.split(NUMBER);
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return text.into();
    }
    let others = parts.map(|part| part.split_once(')').map_or(part, |(_, rest)| rest));
    std::iter::once(first).chain(others).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn numbers_are_removed_and_words_kept() {
        let (none, full) = (io::Error::from_raw_os_error(2), io::Error::from_raw_os_error(28));
        let text = without_numbers(&format!("a (b): {none}; c: {full} (d)")).into_owned();
        assert_eq!(text, "a (b): No such file or directory; c: No space left on device (d)");
        assert_eq!(without_numbers("the disk is full"), "the disk is full");
        assert_eq!(without_numbers(&none.to_string()), "No such file or directory");
    }
}
