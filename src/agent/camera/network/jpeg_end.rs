//! Finds the end of a JPEG whose bytes arrive in pieces. Section numbers refer to ITU-T T.81.

/// The second bytes of markers (table B.1).
const TEM: u8 = 0x01;
const RST0: u8 = 0xd0;
const RST7: u8 = 0xd7;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;

/// How far a JPEG was searched for its end.
#[derive(Debug, Default)]
pub(super) struct JpegEnd {
    offset: usize,
}

impl JpegEnd {
    /// The JPEG's length, once `bytes` contain its end. They start with SOI, and have grown since the last call.
    ///
    /// Segments are skipped by their length, because a thumbnail inside one has an end of its own. In entropy-coded data,
    /// every byte 0xFF that does not start a marker is followed by 0 (B.1.1.5).
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let rest = bytes.get(self.offset..)?;
            let Some(at) = memchr::memchr(0xff, rest) else {
                self.offset = bytes.len();
                return None;
            };
            self.offset += at;
            self.offset += match *rest.get(at + 1)? {
                EOI => return Some(self.offset + 2),
                0xff => 1,
                0 | TEM | RST0..=RST7 | SOI => 2,
                _ => 2 + usize::from(u16::from_be_bytes([*rest.get(at + 2)?, *rest.get(at + 3)?])).max(2),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EOI, JpegEnd, SOI};

    #[test]
    fn end_is_found_behind_thumbnails_and_escapes() {
        let thumbnail = [&[0xff, 0xe1, 0, 8][..], &[0xff, SOI, 0, 1, 0xff, EOI]].concat();
        let picture = [0xff, 0xda, 0, 2, 7, 0xff, 0, 0xd9, 0xff, 0xd3, 8, 0xff, 0xff, EOI];
        let jpeg = [&[0xff, SOI][..], &thumbnail, &picture].concat();
        let stream = [&jpeg[..], b"\r\n--next"].concat();
        for step in 1..stream.len() {
            let mut end = JpegEnd::default();
            let pieces = (1..=stream.len()).filter(|length| length.is_multiple_of(step) || *length == stream.len());
            let found = pieces.map(|length| end.find(&stream[..length])).find(Option::is_some);
            assert_eq!(found, Some(Some(jpeg.len())), "{step}");
        }
        assert_eq!(JpegEnd::default().find(&jpeg[..jpeg.len() - 1]), None);
    }
}
