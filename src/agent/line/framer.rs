//! Splits bytes into lines.

/// The longest line that a board may send, in bytes, without its line ending (LF or CRLF).
pub const MAX_LINE_BYTES: usize = 256;

/// A line, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its line ending.
    Whole(&'a [u8]),
    /// The rest of a line whose start was missed.
    Tail(&'a [u8]),
    /// The first [`MAX_LINE_BYTES`] bytes of a longer line. The rest, up to the next newline, is skipped.
    TooLong(&'a [u8]),
}

/// Splits a stream of bytes, in chunks of any size, into lines.
#[derive(Debug)]
pub struct Framer {
    /// The start of the current line, from earlier chunks. Never longer than [`MAX_LINE_BYTES`] and a CR.
    partial: Vec<u8>,
    /// The start of the current line was missed.
    starts_midway: bool,
    /// The current line was too long and has been reported.
    is_skipping: bool,
}

impl Framer {
    /// `starts_midway`: the first bytes may be the rest of a line whose start was missed.
    #[must_use]
    pub fn new(starts_midway: bool) -> Framer {
        Framer { partial: Vec::with_capacity(MAX_LINE_BYTES + 1), starts_midway, is_skipping: false }
    }

    /// Takes the next bytes and passes each completed line to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.end_line(&bytes[start..end], &mut each);
            start = end + 1;
        }
        self.add(&bytes[start..], &mut each);
    }

    /// The start of the current, unfinished line.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Whether the current line was too long and its rest is being skipped.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.is_skipping
    }

    fn end_line(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if !self.partial.is_empty() {
            self.add(bytes, each);
        }
        let (starts_midway, is_skipping) =
            (std::mem::take(&mut self.starts_midway), std::mem::take(&mut self.is_skipping));
        if !is_skipping {
            // Do not copy a line that is complete in one chunk.
            let line = if self.partial.is_empty() { bytes } else { &self.partial };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            each(match line.get(..MAX_LINE_BYTES) {
                Some(start) if line.len() > MAX_LINE_BYTES => Line::TooLong(start),
                _ if starts_midway => Line::Tail(line),
                _ => Line::Whole(line),
            });
        }
        self.partial.clear();
    }

    fn add(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if self.is_skipping {
            return;
        }
        let free = MAX_LINE_BYTES + 1 - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(free)]);
        if bytes.len() > free {
            each(Line::TooLong(&self.partial[..MAX_LINE_BYTES]));
            self.partial.clear();
            self.is_skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `bytes` in chunks of `size`, as text.
    fn framed(starts_midway: bool, bytes: &[u8], size: usize) -> Vec<String> {
        let (mut framer, mut lines) = (Framer::new(starts_midway), Vec::new());
        for chunk in bytes.chunks(size) {
            framer.push(chunk, |line| {
                let (kind, line) = match line {
                    Line::Whole(line) => ("whole", line),
                    Line::Tail(line) => ("tail", line),
                    Line::TooLong(line) => ("long", line),
                };
                assert!(line.len() <= MAX_LINE_BYTES);
                lines.push(format!("{kind} {}", String::from_utf8_lossy(line).replace('x', "")));
            });
            assert!(framer.partial().len() <= MAX_LINE_BYTES + 1);
        }
        lines
    }

    #[test]
    fn lines_are_whole_in_any_chunking_and_long_ones_dropped() {
        let bytes = [b"rest of one\nt-1\r\n\n".as_slice(), b"e", &[b'x'; 1000], b"\nh-2\n"].concat();
        for size in 1..=bytes.len() {
            assert_eq!(framed(true, &bytes, size), ["tail rest of one", "whole t-1", "whole ", "long e", "whole h-2"]);
        }
    }

    #[test]
    fn lines_of_256_bytes_are_accepted_and_of_257_refused() {
        for end in ["\n", "\r\n"] {
            for size in [1, 100, 1000] {
                let line = |length| [&vec![b'x'; length], end.as_bytes()].concat();
                assert_eq!(framed(false, &line(MAX_LINE_BYTES), size), ["whole "]);
                assert_eq!(framed(false, &line(MAX_LINE_BYTES + 1), size), ["long "]);
            }
        }
    }

    #[test]
    fn endless_line_with_a_missed_start_is_reported() {
        assert_eq!(framed(true, &[b'x'; 1000], 7), ["long "]);
    }
}
