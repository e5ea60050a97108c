//! The segments before and after the entropy-coded data (B.1.1.4).

use super::{Fault, marker};

pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// The offset of its marker.
    pub(super) offset: usize,
    /// The bytes after its length.
    pub(super) body: &'a [u8],
}

pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Segments<'a>, Fault> {
        if bytes.starts_with(&[0xff, marker::SOI]) { Ok(Segments { bytes, offset: 2 }) } else { Err(Fault::NotJpeg) }
    }

    /// The offset of the next segment.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes from the next segment on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    pub(super) fn skip(&mut self, length: usize) {
        self.offset += length;
    }

    /// Skips to the next marker that can start a segment, past fill bytes of 0xFF (B.1.1.2). Some cameras leave a few
    /// bytes between segments, and libjpeg skips them, too.
    pub(super) fn skip_garbage(&mut self) {
        let rest = self.rest();
        let starts_segment = |byte| !matches!(byte, 0 | marker::TEM | marker::RST0..=marker::RST7 | 0xff);
        let mut markers = memchr::memchr_iter(0xff, rest);
        let garbage = markers.find(|offset| rest.get(offset + 1).copied().is_none_or(starts_segment));
        self.skip(garbage.unwrap_or(rest.len()));
    }

    /// Reads the next segment, or the marker EOI, which has no body.
    pub(super) fn read(&mut self) -> Result<Segment<'a>, Fault> {
        let offset = self.offset;
        let (marker, rest) = match self.rest() {
            [] | [0xff] => return Err(Fault::Truncated),
            [0xff, ..marker::SOF0 | marker::RST0..=marker::SOI, ..] | [..0xff, ..] => {
                return Err(Fault::Damaged("bytes outside any segment"));
            }
            &[_, marker, ref rest @ ..] => (marker, rest),
        };
        let length = if marker == marker::EOI { 0 } else { length(marker, rest)? };
        let segment = rest.get(..length).ok_or(Fault::Truncated)?;
        self.offset = offset + 2 + length;
        Ok(Segment { marker, offset, body: segment.get(2..).unwrap_or_default() })
    }
}

/// The length field of a segment, which includes its own two bytes.
fn length(marker: u8, rest: &[u8]) -> Result<usize, Fault> {
    let &[high, low, ..] = rest else { return Err(Fault::Truncated) };
    match u16::from_be_bytes([high, low]) {
        // libjpeg accepts this where the segment's content does not matter.
        0 | 1 if marker >= marker::APP0 => Ok(2),
        0 | 1 => Err(Fault::Damaged("a segment without a length")),
        length => Ok(length.into()),
    }
}
