//! JPEGs as cameras make them. A frame that lost a packet on the bus is found without decoding it, by a scan that costs
//! as much as copying it two to four times. Section numbers are of ITU-T T.81.

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

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not begin with the marker SOI (B.2.1).
    #[error("not a JPEG")]
    NoJpeg,
    /// It ends before its picture does.
    #[error("the end is missing")]
    Cut,
    /// Something in it cannot be, or is not for a decoder of 8-bit sequential Huffman coding (F.2).
    #[error("{0}")]
    Damaged(&'static str),
}

impl Fault {
    /// What frames with it are counted as.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::NoJpeg => "non_jpeg_frames",
            Fault::Cut => "cut_frames",
            Fault::Damaged(_) => "damaged_frames",
        }
    }
}

const MARKER_INSIDE: Fault = Fault::Damaged("a marker inside the picture");

/// A JPEG that decoders take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidJpeg<'a> {
    /// From the start to the end of the image, without what drivers leave behind it.
    pub bytes: &'a [u8],
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pixels a line and lines of the units that it is coded in, which cannot be taken apart: the MCUs of A.2.
    pub block: (u32, u32),
    /// Where the standard Huffman tables have to stand, if they are needed.
    lacks_tables: Option<usize>,
}

impl ValidJpeg<'_> {
    /// A copy. Cameras may leave out Huffman tables if they are those of K.3, which not all decoders know: then the copy
    /// has them.
    #[must_use]
    pub fn complete(&self) -> Bytes {
        let Some(place) = self.lacks_tables else { return Bytes::copy_from_slice(self.bytes) };
        let (before, after) = self.bytes.split_at(place);
        let mut whole = BytesMut::with_capacity(self.bytes.len() + standard::TABLES.len());
        for part in [before, &standard::TABLES, after] {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }
}

/// The JPEG that `bytes` begin with. One that passes is decoded, though a picture may still be spoilt where its
/// entropy-coded data (F.1.2) are: they are not decoded here. What libjpeg-turbo merely warns of passes, because there
/// are cameras all of whose frames are so: with odd bytes between segments, or a scan header that says nothing sensible.
///
/// # Errors
/// When libjpeg-turbo would refuse it, when it is of a coding that cameras do not use, and when the picture is cut.
pub fn check(bytes: &[u8]) -> Result<ValidJpeg<'_>, Fault> {
    let mut segments = Segments::of(bytes)?;
    let (frame, lacks_tables) = head(&mut segments)?;
    loop {
        match segments.read()?.marker {
            marker::EOI => {
                let Frame { width, height, .. } = frame;
                let bytes = &bytes[..segments.place()];
                return Ok(ValidJpeg { bytes, width, height, block: frame.block(), lacks_tables });
            }
            marker::APP0..=marker::APP15 | marker::COM => {}
            _ => return Err(MARKER_INSIDE),
        }
    }
}

/// Reads all up to the picture's end. Gives, beside the frame's header, where the standard Huffman tables have to stand
/// if they are needed: before the camera's own, so that these hold.
fn head<'a>(segments: &mut Segments<'a>) -> Result<(Frame<'a>, Option<usize>), Fault> {
    let mut tables = Tables::default();
    let (mut frame, mut defined) = (None, None);
    loop {
        segments.skip_garbage();
        let Segment { marker, place, body } = segments.read()?;
        match marker {
            marker::SOF0 | marker::SOF1 if frame.is_none() => frame = Some(Frame::parse(body)?),
            marker::DHT => {
                tables.define_huffman(body)?;
                defined.get_or_insert(place);
            }
            marker::DQT => tables.define_quantisation(body)?,
            marker::DRI if body.len() == 2 => {}
            marker::APP0..=marker::APP15 | marker::COM => {}
            marker::SOS => {
                let frame = frame.ok_or(Fault::Damaged("a scan before the frame header"))?;
                let is_whole = frame.check_scan(body, &tables)?;
                segments.skip(picture(segments.rest(), frame.blocks())?);
                return Ok((frame, (!is_whole).then_some(defined.unwrap_or(place))));
            }
            marker::SOF2..=marker::SOF15 => return Err(Fault::Damaged("a coding other than sequential Huffman")),
            _ => return Err(Fault::Damaged("a misplaced segment")),
        }
    }
}

/// The length of the entropy-coded data of so many blocks (B.1.1.5, E.1.4): up to the end of the image, or to a segment
/// of a camera's own.
fn picture(data: &[u8], blocks: usize) -> Result<usize, Fault> {
    for place in memchr::memchr_iter(0xff, data) {
        match data.get(place + 1) {
            // A byte of the data, a restart, or a byte that only fills.
            Some(0 | marker::RST0..=marker::RST7 | 0xff) => {}
            // A block has a code for its DC coefficient and one or more for the others (F.1.2), of a bit at least.
            Some(&marker::EOI | marker::APP0..=marker::APP15 | &marker::COM) if place * 8 >= blocks * 2 => {
                return Ok(place);
            }
            Some(&marker::EOI) | None => break,
            Some(_) => return Err(MARKER_INSIDE),
        }
    }
    Err(Fault::Cut)
}

/// Width and height as the frame header says (B.2.2), whatever the coding; `None` when there is no such header.
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
