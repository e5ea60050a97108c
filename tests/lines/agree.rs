//! That the parser and the reference agree; panics when they do not.

use watchpost::agent::line::{Framer, Line, MAX_LINE_BYTES, Parser};

use crate::reference::{Reference, Said};

/// What the parser says of a line.
pub fn said(parser: &mut Parser, line: &[u8]) -> Said {
    let mut values = Vec::new();
    let refused = parser.parse(line, &mut values).iter().map(|refusal| refusal.name()).collect();
    let values = values.iter().map(|(quantity, value)| (quantity.name.to_string(), quantity.unit.to_string(), *value));
    Said { values: values.collect(), refused }
}

/// Both read lines by their labels, one after the other.
pub struct Both {
    parser: Parser,
    reference: Reference,
}

impl Both {
    pub fn new() -> Both {
        Both { parser: Parser::new(&[], &[]), reference: Reference::default() }
    }

    /// Gives how many values and refusals the line has.
    pub fn read(&mut self, line: &[u8]) -> (usize, usize) {
        let said = said(&mut self.parser, line);
        assert_eq!(said, self.reference.read(line), "{:?}", String::from_utf8_lossy(line));
        (said.values.len(), said.refused.len())
    }
}

/// The parser forgets the labels that it met if they are many, and with them what their units were.
pub const LINES: usize = 12;

/// Cuts the bytes into chunks of these sizes, in turn, and compares each line with what stands between two newlines.
pub fn on_bytes(bytes: &[u8], sizes: impl IntoIterator<Item = usize>) {
    let ends = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut expected = bytes[..ends].split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
    let mut framer = Framer::new(false);
    let (mut both, mut lines) = (Both::new(), 0);
    let (mut rest, mut sizes) = (bytes, sizes.into_iter());
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        framer.push(&rest[..size], |line| {
            // Behind the last newline only a line that is too long already is told of.
            let whole = expected.next().unwrap_or(&bytes[ends..]);
            let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
            match line {
                Line::Whole(line) => assert_eq!(line, whole),
                Line::TooLong(start) => assert!(start == &whole[..MAX_LINE_BYTES] && whole.len() > MAX_LINE_BYTES),
                Line::Tail(_) => panic!("not midway"),
            }
            if let Line::Whole(line) = line {
                lines += 1;
                if lines % LINES == 0 || line.len() > 100 {
                    both = Both::new();
                }
                both.read(line);
            }
        });
        rest = &rest[size..];
    }
    assert_eq!(expected.next(), None, "a line is missing");
}
