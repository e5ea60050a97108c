//! What was written ahead of an `SQLite` file (<https://sqlite.org/fileformat2.html#walformat>).

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::files::{aside, asides};

/// Bytes of the header, and of what stands before each page.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// Copies what was written ahead, if `SQLite` will not take in all of it; that goes on as if the rest had never been. A disk
/// without room for the copy is no reason not to open what is sound.
pub(super) fn keep_incomplete(ahead: &Path) -> Option<PathBuf> {
    let file = File::open(ahead).ok()?;
    if !is_damaged(BufReader::new(file)).ok()? {
        return None;
    }
    // Opening is tried again and again while a disk fails.
    if let Some(copy) = asides(ahead).find(|copy| is_same(ahead, copy).unwrap_or(false)) {
        return Some(copy);
    }
    let copy = aside(ahead);
    if fs::copy(ahead, &copy).is_err() {
        let _ = fs::remove_file(&copy);
        return None;
    }
    Some(copy)
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}

/// Whether `SQLite` would pass over something in silence that may have been committed: it takes whole commits up to the first
/// frame that is damaged. A commit that ends in the middle was never done, and what an earlier round has left behind the
/// last is no loss.
fn is_damaged(mut ahead: impl Read) -> io::Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_wal_is_copied_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let ahead = directory.path().join("store.sqlite-wal");
        let copies: Vec<_> = [0x55, 0x55, 0x66, 0x55]
            .map(|byte| fs::write(&ahead, [byte; 100]).map(|()| keep_incomplete(&ahead)).expect("it is written"))
            .into();
        assert!(copies[0].is_some() && copies[0] == copies[1] && copies[0] != copies[2] && copies[0] == copies[3]);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 3);
    }
}
