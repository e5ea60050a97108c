//! Encodes and decodes EBML elements (RFC 8794). Knows only bytes.

/// An element's id and size, which precede its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: u32,
    /// Bytes of the body; `None` if unknown: it extends to the end (section 6.2).
    pub(super) size: Option<u64>,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Maximum length of a head: an id of four bytes, a size of eight.
pub(super) const MAX_HEAD_LENGTH: usize = 12;

impl Head {
    /// Reads the head at the start of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Option<Head> {
        // Section 5: an id includes the bit that marks its length.
        let of_id = bytes.first()?.leading_zeros() as usize + 1;
        if of_id > 4 {
            return None;
        }
        let id = uint(bytes.get(..of_id)?)? as u32;
        // Section 4: a size does not; all ones mean an unknown size.
        let rest = &bytes[of_id..];
        let of_size = rest.first()?.leading_zeros() as usize + 1;
        if of_size > 8 {
            return None;
        }
        let ones = u64::MAX >> (64 - 7 * of_size as u32);
        let size = uint(rest.get(..of_size)?)? & ones;
        Some(Head { id, size: (size != ones).then_some(size), length: of_id + of_size })
    }
}

/// Iterates over the elements in `bytes`, up to the first incomplete one.
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    /// Id and body.
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        let head = Head::read(self.0)?;
        let rest = &self.0[head.length..];
        let (body, rest) = rest.split_at_checked(usize::try_from(head.size?).ok()?)?;
        self.0 = rest;
        Some((head.id, body))
    }
}

/// An unsigned integer (section 7.2).
pub(super) fn uint(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    out.extend_from_slice(&bytes[id.leading_zeros() as usize / 8..]);
}

/// Writes id and size of an element in as few bytes as possible.
pub(super) fn put_head(out: &mut Vec<u8>, id: u32, size: usize) {
    put_id(out, id);
    // All ones are reserved for an unknown size.
    let length = (1..8).find(|length| (size as u64) < (1 << (7 * length)) - 1).unwrap_or(8);
    let marked = size as u64 | 1 << (7 * length);
    out.extend_from_slice(&marked.to_be_bytes()[8 - length..]);
}

/// Writes a head with an eight-byte size, so that it can be overwritten later; `None` means unknown.
pub(super) fn put_wide_head(out: &mut Vec<u8>, id: u32, size: Option<u64>) {
    put_id(out, id);
    out.extend_from_slice(&wide_size(size));
}

pub(super) fn wide_size(size: Option<u64>) -> [u8; 8] {
    (size.unwrap_or(u64::MAX >> 8) | 1 << 56).to_be_bytes()
}

pub(super) fn put(out: &mut Vec<u8>, id: u32, body: &[u8]) {
    put_head(out, id, body.len());
    out.extend_from_slice(body);
}

pub(super) fn put_uint(out: &mut Vec<u8>, id: u32, number: u64) {
    let unused = (number.leading_zeros() as usize / 8).min(7);
    put(out, id, &number.to_be_bytes()[unused..]);
}

/// Writes an element that contains elements.
pub(super) fn put_master(out: &mut Vec<u8>, id: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    put(out, id, &body);
}

/// Writes a Void element (section 11.3.2) of 2 to 128 bytes including its head.
pub(super) fn put_void(out: &mut Vec<u8>, length: usize) {
    put(out, VOID, &vec![0; length - 2]);
}

pub(super) const VOID: u32 = 0xEC;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_heads_are_read_as_written() {
        for id in [0xA3, 0x4DBB, 0x002A_D7B1, 0x1F43_B675] {
            for size in [0, 1, 126, 127, 128, 16_382, 16_383, 2_097_150, 2_097_151, 40_000_000] {
                let (mut bytes, mut wide) = (Vec::new(), Vec::new());
                put_head(&mut bytes, id, size);
                put_wide_head(&mut wide, id, Some(size as u64));
                for bytes in [bytes, wide] {
                    let length = bytes.len();
                    assert_eq!(Head::read(&bytes), Some(Head { id, size: Some(size as u64), length }));
                    assert!((0..length).all(|cut| Head::read(&bytes[..cut]).is_none()));
                }
            }
        }
        let mut unknown = Vec::new();
        put_wide_head(&mut unknown, 0x1853_8067, None);
        assert_eq!(Head::read(&unknown), Some(Head { id: 0x1853_8067, size: None, length: 12 }));
        assert_eq!(Head::read(&[0; 12]), None);
    }

    #[test]
    fn numbers_are_read_as_written() {
        for number in [0, 1, 255, 256, u64::MAX] {
            let mut bytes = Vec::new();
            put_uint(&mut bytes, 0xE7, number);
            let (id, body) = Elements(&bytes).next().expect("an element");
            assert_eq!((id, uint(body)), (0xE7, Some(number)));
        }
    }
}
