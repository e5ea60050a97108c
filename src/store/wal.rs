//! The write-ahead log of an `SQLite` file (<https://sqlite.org/fileformat2.html#walformat>).

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::files::{aside_name, aside_names};

/// Sizes of the log's header, and of the header of each frame (a page in the log).
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// Copies the log if `SQLite` will not recover all of it, because `SQLite` ignores the rest silently. If the disk has no room
/// for the copy, the store is opened without one.
pub(super) fn keep_incomplete(log: &Path) -> Option<PathBuf> {
    let file = File::open(log).ok()?;
    if !is_damaged(BufReader::new(file)).ok()? {
        return None;
    }
    // Opening is retried while a disk fails, so the copy may already exist.
    if let Some(copy) = aside_names(log).find(|copy| is_same(log, copy).unwrap_or(false)) {
        return Some(copy);
    }
    let copy = aside_name(log);
    if fs::copy(log, &copy).is_err() {
        let _ = fs::remove_file(&copy);
        return None;
    }
    Some(copy)
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}

/// Whether `SQLite` would silently ignore pages that may have been committed: it recovers whole commits up to the first
/// damaged frame. An incomplete commit, and frames that an earlier log left after the last commit, are not damage.
fn is_damaged(mut log: impl Read) -> io::Result<bool> {
    let mut header = [0; HEADER_BYTES];
    if fill(&mut log, &mut header)? < HEADER_BYTES {
        return Ok(false);
    }
    let Some((mut checksum, page)) = Checksum::of(&header) else { return Ok(true) };
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page];
    let mut is_past_last_valid = false;
    while fill(&mut log, &mut frame)? == frame.len() {
        checksum.add(&frame[..8]);
        checksum.add(&frame[FRAME_HEADER_BYTES..]);
        match (frame[8..16] == *salts, checksum.is(&frame[16..FRAME_HEADER_BYTES])) {
            (true, true) if !is_past_last_valid => {}
            (false, false) => is_past_last_valid = true,
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
    /// Returns the checksum after the header, and the page size; `None` if the header is wrong.
    fn of(header: &[u8; HEADER_BYTES]) -> Option<(Checksum, usize)> {
        let magic = word(&header[..4], true);
        let mut checksum = Checksum { big_endian: magic & 1 == 1, sums: [0; 2] };
        checksum.add(&header[..24]);
        let page = word(&header[8..12], true) as usize;
        let is_valid = magic & !1 == 0x377f_0682 && checksum.is(&header[24..]);
        (is_valid && (512..=65536).contains(&page)).then_some((checksum, page))
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

/// Reads until `bytes` is full or the input ends; returns the length.
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
    fn damaged_log_is_copied_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("store.sqlite-wal");
        let copies: Vec<_> = [0x55, 0x55, 0x66, 0x55]
            .map(|byte| fs::write(&log, [byte; 100]).map(|()| keep_incomplete(&log)).expect("it is written"))
            .into();
        assert!(copies[0].is_some() && copies[0] == copies[1] && copies[0] != copies[2] && copies[0] == copies[3]);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 3);
    }
}
