//! Checks the JPEGs that cameras make. A scan finds frames that lost a packet on the bus without decoding them, and
//! costs as much as two to four copies. Section numbers refer to ITU-T T.81.

mod header;
mod marker;
mod segments;
mod standard;
mod tables;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};

use header::Frame;
use segments::{Segment, Segments};
use tables::Tables;

/// A reason why a frame cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The data does not start with the marker SOI (B.2.1).
    #[error("not a JPEG")]
    NotJpeg,
    /// The data stops before the end of the picture.
    #[error("the end is missing")]
    Truncated,
    /// The data is invalid, or cannot be read by a decoder of 8-bit sequential Huffman coding (F.2).
    #[error("{0}")]
    Damaged(&'static str),
}

impl Fault {
    /// The counter for frames with this fault.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::NotJpeg => "non_jpeg_frames",
            Fault::Truncated => "cut_frames",
            Fault::Damaged(_) => "damaged_frames",
        }
    }
}

const MARKER_INSIDE: Fault = Fault::Damaged("a marker inside the picture");

/// A JPEG that decoders accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidJpeg<'a> {
    /// The image from start to end, without bytes that drivers leave after it.
    pub bytes: &'a [u8],
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Width and height of an MCU (A.2) in pixels. The picture can only be cut between MCUs.
    pub block: (u32, u32),
    /// Where to insert the standard Huffman tables, if they are needed.
    insert_tables_at: Option<usize>,
}

impl ValidJpeg<'_> {
    /// A copy of the image. Cameras may omit the Huffman tables of K.3, but not all decoders know them, so the copy
    /// includes them.
    #[must_use]
    pub fn complete(&self) -> Bytes {
        let Some(offset) = self.insert_tables_at else { return Bytes::copy_from_slice(self.bytes) };
        let (before, after) = self.bytes.split_at(offset);
        let mut copy = BytesMut::with_capacity(self.bytes.len() + standard::TABLES.len());
        for part in [before, &standard::TABLES, after] {
            copy.extend_from_slice(part);
        }
        copy.freeze()
    }
}

/// Checks the JPEG at the start of `bytes`. Decoders accept a JPEG that passes, but parts of its picture may still be
/// damaged: entropy-coded data (F.1.2) is not decoded here. Flaws that only make libjpeg-turbo warn are accepted,
/// because some cameras have them in every frame: stray bytes between segments, or invalid fields in the scan header.
///
/// # Errors
/// When libjpeg-turbo would reject it, when it uses a coding that cameras do not use, or when the picture is truncated.
pub fn check(bytes: &[u8]) -> Result<ValidJpeg<'_>, Fault> {
    let mut segments = Segments::of(bytes)?;
    let (frame, insert_tables_at) = head(&mut segments)?;
    loop {
        match segments.read()?.marker {
            marker::EOI => {
                let Frame { width, height, .. } = frame;
                let bytes = &bytes[..segments.offset()];
                return Ok(ValidJpeg { bytes, width, height, block: frame.mcu_size(), insert_tables_at });
            }
            marker::APP0..=marker::APP15 | marker::COM => {}
            _ => return Err(MARKER_INSIDE),
        }
    }
}

/// Reads everything up to the end of the picture. Also returns where to insert the standard Huffman tables, if they are
/// needed: before the camera's own, which then take precedence.
fn head<'a>(segments: &mut Segments<'a>) -> Result<(Frame<'a>, Option<usize>), Fault> {
    let mut tables = Tables::default();
    let (mut frame, mut defined) = (None, None);
    loop {
        segments.skip_garbage();
        let Segment { marker, offset, body } = segments.read()?;
        match marker {
            marker::SOF0 | marker::SOF1 if frame.is_none() => frame = Some(Frame::parse(body)?),
            marker::DHT => {
                tables.define_huffman(body)?;
                defined.get_or_insert(offset);
            }
            marker::DQT => tables.define_quantisation(body)?,
            marker::DRI if body.len() == 2 => {}
            marker::APP0..=marker::APP15 | marker::COM => {}
            marker::SOS => {
                let frame = frame.ok_or(Fault::Damaged("a scan before the frame header"))?;
                let is_whole = frame.check_scan(body, &tables)?;
                segments.skip(picture(segments.rest(), frame.blocks())?);
                return Ok((frame, (!is_whole).then_some(defined.unwrap_or(offset))));
            }
            marker::SOF2..=marker::SOF15 => return Err(Fault::Damaged("a coding other than sequential Huffman")),
            _ => return Err(Fault::Damaged("a misplaced segment")),
        }
    }
}

/// The length of the entropy-coded data for this many blocks (B.1.1.5, E.1.4), which ends at the end of the image or at
/// a segment that the camera adds.
fn picture(data: &[u8], blocks: usize) -> Result<usize, Fault> {
    for offset in memchr::memchr_iter(0xff, data) {
        match data.get(offset + 1) {
            // An escaped byte of the data, a restart marker, or a fill byte.
            Some(0 | marker::RST0..=marker::RST7 | 0xff) => {}
            // A block has a code for its DC coefficient and at least one for the others (F.1.2), each at least one bit
            // long.
            Some(&marker::EOI | marker::APP0..=marker::APP15 | &marker::COM) if offset * 8 >= blocks * 2 => {
                return Ok(offset);
            }
            Some(&marker::EOI) | None => break,
            Some(_) => return Err(MARKER_INSIDE),
        }
    }
    Err(Fault::Truncated)
}

/// Width and height from the frame header (B.2.2), for any coding; `None` without such a header.
#[must_use]
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut segments = Segments::of(bytes).ok()?;
    loop {
        segments.skip_garbage();
        let Segment { marker, body, .. } = segments.read().ok()?;
        match marker {
            marker::DHT | marker::JPG | marker::DAC => {}
            marker::SOF0..=marker::SOF15 => return header::size(body),
            _ => {}
        }
    }
}
