//! Bytes to lines.

/// The longest line a board may send, in bytes, without its end (LF or CRLF).
pub const LONGEST: usize = 256;

/// What ended in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    /// The rest of a line whose beginning was missed.
    Tail(&'a [u8]),
    /// The first [`LONGEST`] bytes of a line that is longer; what follows, up to the next newline, is left out.
    TooLong(&'a [u8]),
}

/// Cuts bytes that come in any chunking into lines.
#[derive(Debug)]
pub struct Framer {
    /// What came of the line at hand, when it began in an earlier chunk. Never longer than [`LONGEST`] and a CR.
    begun: Vec<u8>,
    /// The beginning of the line at hand was missed.
    midway: bool,
    /// The line at hand was too long and is told of already.
    skipping: bool,
}

impl Framer {
    /// `midway`: the first bytes may be the rest of a line whose beginning was missed.
    #[must_use]
    pub fn new(midway: bool) -> Framer {
        Framer { begun: Vec::with_capacity(LONGEST + 1), midway, skipping: false }
    }

    /// Takes the next bytes, and gives each line that they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.end(&bytes[start..end], &mut each);
            start = end + 1;
        }
        self.keep(&bytes[start..], &mut each);
    }

    /// What came of a line that has no end yet.
    #[must_use]
    pub fn begun(&self) -> &[u8] {
        &self.begun
    }

    /// Whether a line goes on that was too long already.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    fn end(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if !self.begun.is_empty() {
            self.keep(bytes, each);
        }
        let (midway, skipping) = (std::mem::take(&mut self.midway), std::mem::take(&mut self.skipping));
        if !skipping {
            // A line that lies in one chunk is not copied.
            let line = if self.begun.is_empty() { bytes } else { &self.begun };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            each(match line.get(..LONGEST) {
                Some(start) if line.len() > LONGEST => Line::TooLong(start),
                _ if midway => Line::Tail(line),
                _ => Line::Whole(line),
            });
        }
        self.begun.clear();
    }

    fn keep(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if self.skipping {
            return;
        }
        let room = LONGEST + 1 - self.begun.len();
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            each(Line::TooLong(&self.begun[..LONGEST]));
            self.begun.clear();
            self.skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames `bytes` in chunks of `size`; returns each line's kind and text.
    fn framed(midway: bool, bytes: &[u8], size: usize) -> Vec<String> {
        let (mut framer, mut lines) = (Framer::new(midway), Vec::new());
        for chunk in bytes.chunks(size) {
            framer.push(chunk, |line| {
                let (kind, line) = match line {
                    Line::Whole(line) => ("whole", line),
                    Line::Tail(line) => ("tail", line),
                    Line::TooLong(line) => ("long", line),
                };
                assert!(line.len() <= LONGEST);
                lines.push(format!("{kind} {}", String::from_utf8_lossy(line).replace('x', "")));
            });
            assert!(framer.begun().len() <= LONGEST + 1);
        }
        lines
    }

    #[test]
    fn lines_do_not_depend_on_chunks_and_endless_one_is_dropped() {
        let bytes = [b"rest of one\nt-1\r\n\n".as_slice(), b"e", &[b'x'; 1000], b"\nh-2\n"].concat();
        for size in 1..=bytes.len() {
            assert_eq!(framed(true, &bytes, size), ["tail rest of one", "whole t-1", "whole ", "long e", "whole h-2"]);
        }
    }

    #[test]
    fn longest_accepted_line_has_256_bytes() {
        for end in ["\n", "\r\n"] {
            for size in [1, 100, 1000] {
                let line = |length| [&vec![b'x'; length], end.as_bytes()].concat();
                assert_eq!(framed(false, &line(LONGEST), size), ["whole "]);
                assert_eq!(framed(false, &line(LONGEST + 1), size), ["long "]);
            }
        }
    }

    #[test]
    fn endless_line_without_its_start_is_reported() {
        assert_eq!(framed(true, &[b'x'; 1000], 7), ["long "]);
    }
}
