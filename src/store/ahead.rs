//! What was written ahead of an `SQLite` file (<https://sqlite.org/fileformat2.html#walformat>).

use std::io::{self, Read};

/// Bytes of the header, and of what stands before each page.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// Whether `SQLite` would pass over something in silence that may have been committed: it takes whole commits up to the first
/// frame that is damaged. A commit that ends in the middle was never done, and what an earlier round has left behind the
/// last is no loss.
pub(super) fn is_damaged(mut ahead: impl Read) -> io::Result<bool> {
    let mut header = [0; HEADER];
    if fill(&mut ahead, &mut header)? < HEADER {
        return Ok(false);
    }
    let Some((mut checksum, page)) = Checksum::of(&header) else { return Ok(true) };
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME + page];
    let mut is_past = false;
    while fill(&mut ahead, &mut frame)? == frame.len() {
        checksum.add(&frame[..8]);
        checksum.add(&frame[FRAME..]);
        match (frame[8..16] == *salts, checksum.is(&frame[16..FRAME])) {
            (true, true) if !is_past => {}
            (false, false) => is_past = true,
            _ => return Ok(true),
        }
    }
    Ok(false)
}

struct Checksum {
    big_endian: bool,
    sums: [u32; 2],
}

impl Checksum {
    /// Of the header, with the size of pages; none of one that is wrong.
    fn of(header: &[u8; HEADER]) -> Option<(Checksum, usize)> {
        let magic = word(&header[..4], true);
        let mut checksum = Checksum { big_endian: magic & 1 == 1, sums: [0; 2] };
        checksum.add(&header[..24]);
        let page = word(&header[8..12], true) as usize;
        let is_right = magic & !1 == 0x377f_0682 && checksum.is(&header[24..]);
        (is_right && (512..=65536).contains(&page)).then_some((checksum, page))
    }

    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4], self.big_endian)).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..], self.big_endian)).wrapping_add(first);
        }
        self.sums = [first, second];
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.sums == [word(&bytes[..4], true), word(&bytes[4..], true)]
    }
}

fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let bytes = bytes.iter().map(|byte| u32::from(*byte));
    if big_endian {
        bytes.fold(0, |word, byte| word << 8 | byte)
    } else {
        bytes.rev().fold(0, |word, byte| word << 8 | byte)
    }
}

/// Reads until it is full or there is no more.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match from.read(&mut bytes[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
