//! Takes the JPEGs out of a Motion JPEG stream (`multipart/x-mixed-replace`), whose bytes arrive in pieces.
//!
//! Few cameras write such a stream as RFC 2046 says. So a JPEG is found by its own markers: it is complete as soon as its
//! end arrives, long before the next boundary does. Boundaries and lengths only help where the markers do not suffice.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem;

use super::jpeg_end::JpegEnd;
use crate::frame::MAX_JPEG_BYTES;

/// Longer lines between pictures are discarded.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// The start of a JPEG: the marker SOI, and the first byte of the next marker. Never part of text.
const START: [u8; 3] = [0xff, 0xd8, 0xff];

/// A picture is larger than [`MAX_JPEG_BYTES`]; nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sends pictures that are too large: the limit is 6 MiB")]
pub(super) struct TooLarge;

/// A parser. Holds at most one picture and the last bytes that were added.
pub(super) struct Multipart {
    buffer: BytesMut,
    state: State,
    /// The boundary without its leading dashes, which some cameras leave out and others write twice. Empty if unknown.
    boundary: Vec<u8>,
    /// Whether the stream contains boundaries. Then a JPEG outside a part is something else: a preview, for example.
    has_boundaries: bool,
    /// Whether a part has begun.
    is_in_part: bool,
    head: Head,
    /// Whether the lengths of earlier parts were right.
    lengths_are_right: bool,
}

enum State {
    /// Lines between pictures.
    Text,
    /// A JPEG, how far it was searched for its end and for a boundary.
    Jpeg(JpegEnd, usize),
    /// Bytes that do not matter: as many as the number says if there is one, and none after a boundary.
    Skip(Option<usize>),
}

/// The header fields of a part that matter.
#[derive(Default)]
struct Head {
    length: Option<usize>,
    /// Whether its type is neither an image nor unknown.
    is_foreign: bool,
}

impl Multipart {
    /// A parser for a stream with this boundary, as its header states it. Empty if it does not.
    pub(super) fn new(boundary: &str) -> Multipart {
        let boundary = without_dashes(boundary.trim().as_bytes()).to_vec();
        Multipart {
            buffer: BytesMut::new(),
            state: State::Text,
            boundary,
            has_boundaries: false,
            is_in_part: true,
            head: Head::default(),
            lengths_are_right: false,
        }
    }

    /// Adds bytes of the stream. Call [`Multipart::next`] until it returns nothing before you add more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next complete JPEG.
    ///
    /// # Errors
    /// When a picture is too large. The stream cannot be read further then.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLarge> {
        loop {
            let has_progress = match self.state {
                State::Text => self.read_text()?,
                State::Skip(left) => self.skip(left),
                State::Jpeg(..) => match self.read_jpeg()? {
                    Some(jpeg) => return Ok(Some(jpeg)),
                    None => false,
                },
            };
            if !has_progress {
                return Ok(None);
            }
        }
    }

    /// Reads a line, or up to the start of a JPEG. False when neither is there yet.
    fn read_text(&mut self) -> Result<bool, TooLarge> {
        let end = memchr::memchr(b'\n', &self.buffer).map(|at| at + 1);
        let piece = &self.buffer[..end.unwrap_or(self.buffer.len())];
        if let Some(start) = memmem::find(piece, &START) {
            if self.is_in_part || !self.has_boundaries {
                self.check_length()?;
                self.buffer.advance(start);
                self.state = State::Jpeg(JpegEnd::default(), 0);
            } else {
                self.buffer.advance(start + START.len());
            }
            return Ok(true);
        }
        let Some(end) = end else {
            if self.buffer.len() > MAX_LINE_BYTES {
                self.buffer.advance(self.buffer.len() - START.len());
            }
            return Ok(false);
        };
        let line = self.buffer.split_to(end);
        self.read_line(line.trim_ascii())?;
        Ok(true)
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), TooLarge> {
        if line.is_empty() {
            if self.head.is_foreign {
                self.state = State::Skip(self.head.length);
                self.end_part();
                return Ok(());
            }
            return self.check_length();
        }
        let is_known = !self.boundary.is_empty() && without_dashes(line).starts_with(&self.boundary);
        if is_known || line.starts_with(b"--") {
            if !is_known {
                self.boundary = without_dashes(line).to_vec();
            }
            (self.has_boundaries, self.is_in_part, self.head) = (true, true, Head::default());
        } else if let Some((name, value)) = header(line) {
            if name.eq_ignore_ascii_case("content-length") {
                self.head.length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("content-type") {
                self.head.is_foreign = is_foreign(value);
            }
        }
        Ok(())
    }

    /// Refuses a picture that is too large before any of it is kept.
    fn check_length(&self) -> Result<(), TooLarge> {
        if self.head.length.is_some_and(|length| length > MAX_JPEG_BYTES) { Err(TooLarge) } else { Ok(()) }
    }

    fn end_part(&mut self) {
        (self.is_in_part, self.head) = (false, Head::default());
    }

    /// Returns the JPEG at the start of the buffer if it is complete.
    fn read_jpeg(&mut self) -> Result<Option<Bytes>, TooLarge> {
        let State::Jpeg(jpeg_end, searched) = &mut self.state else { return Ok(None) };
        let end = jpeg_end.find(&self.buffer);
        let arrived = end.unwrap_or(self.buffer.len());
        // The start of a boundary may have arrived with the last bytes.
        let from = searched.saturating_sub(2 * self.boundary.len() + 8);
        *searched = arrived;
        if let Some(at) = boundary_in(&self.buffer[from..arrived], &self.boundary) {
            return Ok(Some(self.take_jpeg(from + at, 0)));
        }
        let length = self.head.length;
        if let Some(end) = end.filter(|end| *end <= MAX_JPEG_BYTES) {
            self.lengths_are_right = length == Some(end);
            return Ok(Some(self.take_jpeg(end, length.map_or(0, |length| length.saturating_sub(end)))));
        }
        if let Some(length) = length
            && self.has_ended_at(length)
        {
            return Ok(Some(self.take_jpeg(length, 0)));
        }
        if self.buffer.len() > MAX_JPEG_BYTES { Err(TooLarge) } else { Ok(None) }
    }

    /// Whether a JPEG without an end marker ends at the stated length. Forgets a length that is wrong.
    fn has_ended_at(&mut self, length: usize) -> bool {
        let Some(after) = self.buffer.get(length..) else { return false };
        if !self.lengths_are_right && after.len() < 2 {
            return false;
        }
        let is_followed = after.starts_with(b"\r\n") || after.starts_with(b"\n") || after.starts_with(b"--");
        if !self.lengths_are_right && !is_followed {
            self.head.length = None;
            return false;
        }
        self.lengths_are_right = true;
        true
    }

    /// Takes a JPEG of this length, after which the part has `left` more bytes.
    fn take_jpeg(&mut self, length: usize, left: usize) -> Bytes {
        self.end_part();
        self.state = if left > 0 { State::Skip(Some(left)) } else { State::Text };
        self.buffer.split_to(length).freeze()
    }

    /// Skips bytes. False when the next bytes have not arrived.
    fn skip(&mut self, left: Option<usize>) -> bool {
        let count = left.unwrap_or(usize::MAX).min(self.buffer.len());
        if let Some(at) = boundary_in(&self.buffer, &self.boundary) {
            self.buffer.advance(at);
            self.state = State::Text;
        } else if left == Some(count) {
            self.buffer.advance(count);
            self.state = State::Text;
        } else {
            // The last bytes may be the start of a boundary.
            let count = count.saturating_sub(2 * self.boundary.len() + 8);
            self.buffer.advance(count);
            self.state = State::Skip(left.map(|left| left - count));
            return false;
        }
        true
    }
}

fn without_dashes(line: &[u8]) -> &[u8] {
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    &line[dashes..]
}

fn header(line: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    Some((name.trim(), value.trim()))
}

/// Whether a part of this type is no picture.
fn is_foreign(content_type: &str) -> bool {
    let kind = content_type.split('/').next().unwrap_or_default().to_ascii_lowercase();
    matches!(kind.as_str(), "audio" | "text" | "video" | "message" | "multipart")
}

/// Where the line break before a boundary starts.
fn boundary_in(bytes: &[u8], boundary: &[u8]) -> Option<usize> {
    if boundary.is_empty() {
        return None;
    }
    memmem::find_iter(bytes, boundary).find_map(|at| {
        let dashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'-').count();
        let before = bytes[..at - dashes].strip_suffix(b"\n")?;
        Some(before.strip_suffix(b"\r").unwrap_or(before).len())
    })
}

#[cfg(test)]
mod tests;
