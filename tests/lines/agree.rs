//! That the parser and the reference agree; panics when they do not.

use watchpost::agent::line::{Framer, LONGEST, Line, Parser};

use crate::reference::{self, Said};

/// What the parser says of a line.
pub fn said(parser: &mut Parser, line: &[u8]) -> Said {
    let mut refused = Vec::new();
    let values = parser.parse(line, |refusal| refused.push(refusal.name()));
    let values = values.iter().map(|(quantity, value)| (quantity.name.to_string(), quantity.unit.to_string(), *value));
    Said { values: values.collect(), refused }
}

/// Both read the line; gives how many values and refusals it has.
pub fn on_line(parser: &mut Parser, line: &[u8]) -> (usize, usize) {
    let said = said(parser, line);
    assert_eq!(said, reference::read(line), "{:?}", String::from_utf8_lossy(line));
    (said.values.len(), said.refused.len())
}

/// Cuts the bytes into chunks of these sizes, in turn, and compares each line with what stands between two newlines.
pub fn on_bytes(bytes: &[u8], sizes: impl IntoIterator<Item = usize>) {
    let ends = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut expected = bytes[..ends].split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
    let mut framer = Framer::new(false);
    let mut parser = Parser::new(&[], &[]);
    let (mut rest, mut sizes) = (bytes, sizes.into_iter());
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        framer.push(&rest[..size], |line| {
            // Behind the last newline only a line that is too long already is told of.
            let whole = expected.next().unwrap_or(&bytes[ends..]);
            let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
            match line {
                Line::Whole(line) => assert_eq!(line, whole),
                Line::TooLong(start) => assert!(start == &whole[..LONGEST] && whole.len() > LONGEST),
                Line::Tail(_) => panic!("not midway"),
            }
            if let Line::Whole(line) = line {
                on_line(&mut parser, line);
            }
        });
        rest = &rest[size..];
    }
    assert_eq!(expected.next(), None, "a line is missing");
}
