//! Checks that the parser and the reference agree; panics if they differ.

use watchpost::agent::line::{Framer, LONGEST, Line, Parser};

use crate::reference::{Parsed, Reference};

/// Parses a line with the parser under test.
pub fn parse(parser: &mut Parser, line: &[u8]) -> Parsed {
    let mut values = Vec::new();
    let refused = parser.parse(line, &mut values).iter().map(|refusal| refusal.name()).collect();
    let values = values.iter().map(|(quantity, value)| (quantity.name.to_string(), quantity.unit.to_string(), *value));
    Parsed { values: values.collect(), refused }
}

/// The parser under test and the reference, which read the same lines by their labels.
pub struct Both {
    parser: Parser,
    reference: Reference,
}

impl Both {
    pub fn new() -> Both {
        Both { parser: Parser::new(&[], &[]), reference: Reference::default() }
    }

    /// Compares both for a line; returns how many values and refusals it has.
    pub fn read(&mut self, line: &[u8]) -> (usize, usize) {
        let parsed = parse(&mut self.parser, line);
        assert_eq!(parsed, self.reference.read(line), "{:?}", String::from_utf8_lossy(line));
        (parsed.values.len(), parsed.refused.len())
    }
}

/// Lines per parser: it forgets labels and their units after too many different ones, which the reference does not.
pub const LINES_PER_PARSER: usize = 12;

/// Feeds the bytes in chunks of these sizes, and compares each line with the bytes between two newlines.
pub fn on_bytes(bytes: &[u8], sizes: impl IntoIterator<Item = usize>) {
    let ends = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut expected = bytes[..ends].split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
    let mut framer = Framer::new(false);
    let (mut both, mut lines) = (Both::new(), 0);
    let (mut rest, mut sizes) = (bytes, sizes.into_iter());
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        framer.push(&rest[..size], |line| {
            // After the last newline, the framer reports a line only if it is already too long.
            let whole = expected.next().unwrap_or(&bytes[ends..]);
            let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
            match line {
                Line::Whole(line) => assert_eq!(line, whole),
                Line::TooLong(start) => assert!(start == &whole[..LONGEST] && whole.len() > LONGEST),
                Line::Tail(_) => panic!("a tail, although the first line is complete"),
            }
            if let Line::Whole(line) = line {
                lines += 1;
                if lines % LINES_PER_PARSER == 0 || line.len() > 100 {
                    both = Both::new();
                }
                both.read(line);
            }
        });
        rest = &rest[size..];
    }
    assert_eq!(expected.next(), None, "a line is missing");
}
