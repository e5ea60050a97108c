//! The files of a camera: what they are called, one that grows, and one that is made whole.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::matroska::{About, Cluster, Mark, ending, header};
use super::reader::Whole;
use crate::lock::lock;
use crate::name::Name;

/// A file's name ends so.
const ENDING: &str = ".mkv";

/// Microseconds of a millisecond, in which files count.
pub(super) const MS: i64 = 1000;

/// When a file begins, microseconds since 1970 and whole milliseconds, and how long it is, once that is known: its name, such
/// as `2026-11-22T01-08-09.123Z_600000ms.mkv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) start_us: i64,
    pub(super) duration_ms: Option<u64>,
}

impl Times {
    pub(super) fn file_name(self) -> String {
        let start = Timestamp::from_microsecond(self.start_us).unwrap_or_default().to_zoned(TimeZone::UTC);
        let start = start.strftime("%Y-%m-%dT%H-%M-%S.%3fZ");
        let duration = self.duration_ms.map(|ms| format!("_{ms}ms")).unwrap_or_default();
        format!("{start}{duration}{ENDING}")
    }

    /// None: it is no name of ours.
    pub(super) fn of_file_name(name: &str) -> Option<Times> {
        let stem = name.strip_suffix(ENDING)?;
        let (start, duration_ms) = match stem.split_once('_') {
            Some((start, duration)) => (start, Some(duration.strip_suffix("ms")?.parse().ok()?)),
            None => (stem, None),
        };
        let (date, time) = start.split_once('T')?;
        let start: Timestamp = format!("{date}T{}", time.replace('-', ":")).parse().ok()?;
        let times = Times { start_us: start.as_microsecond(), duration_ms };
        // Another spelling of the same would not be found again.
        (times.file_name() == name).then_some(times)
    }
}

/// A file that is not finished: one that grows, or that a receiver has left behind.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) start_us: i64,
    whole: Mutex<Whole>,
}

/// Files that begin in the same millisecond, because a clock was set back, begin so many earlier at most.
const SAME: i64 = 100;

impl Open {
    /// Makes a camera's file, with its directory.
    pub(super) fn create(dir: &Path, start_us: i64) -> io::Result<Open> {
        fs::create_dir_all(dir)?;
        for earlier in 0..SAME {
            let start_us = start_us - earlier * MS;
            let path = dir.join(Times { start_us, duration_ms: None }.file_name());
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let whole = Whole { marks: Vec::new(), end: 0, last_ms: 0 };
                    return Ok(Open { file: Arc::new(file), path, start_us, whole: Mutex::new(whole) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// One that was there.
    pub(super) fn found(file: File, path: PathBuf, start_us: i64, whole: Whole) -> Open {
        Open { file: Arc::new(file), path, start_us, whole: Mutex::new(whole) }
    }

    /// Writes a cluster at the end, and what a file begins with before the first.
    pub(super) fn append(&self, about: &About<'_>, cluster: &Cluster, text: &str, for_ms: u64) -> io::Result<u64> {
        let end = self.whole().end;
        let before = if end == 0 { header(about) } else { Vec::new() };
        let front = cluster.front(text, for_ms);
        let mut pieces: Vec<IoSlice<'_>> = [&*before, &*front].map(IoSlice::new).into();
        pieces.extend(cluster.pieces().map(IoSlice::new));
        let length = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if let Err(error) = write_all(&self.file, &mut pieces) {
            // What is half there is in nobody's way: it is cut off now, or when the file is finished.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        let mut whole = self.whole();
        whole.marks.push(Mark { at_ms: cluster.at_ms(), position: end + before.len() as u64 });
        whole.end = end + length;
        whole.last_ms = whole.last_ms.max(cluster.last_ms());
        Ok(length)
    }

    pub(super) fn whole(&self) -> MutexGuard<'_, Whole> {
        lock(&self.whole)
    }

    /// The time of the last frame that is there.
    pub(super) fn end_us(&self) -> i64 {
        let last_us = i64::try_from(self.whole().last_ms).unwrap_or(i64::MAX).saturating_mul(MS);
        self.start_us.saturating_add(last_us)
    }

    /// Makes the file whole, as long as it is said to be, and names it so; gives its bytes.
    pub(super) fn finish(&self, duration_ms: u64, sync: bool) -> io::Result<u64> {
        let (cues, edits, end) = {
            let whole = self.whole();
            let (cues, edits) = ending(&whole.marks, whole.end, duration_ms);
            (cues, edits, whole.end)
        };
        self.file.set_len(end)?;
        self.file.write_all_at(&cues, end)?;
        for edit in edits {
            self.file.write_all_at(&edit.bytes, edit.at)?;
        }
        if sync {
            self.file.sync_data()?;
        }
        let times = Times { start_us: self.start_us, duration_ms: Some(duration_ms) };
        fs::rename(&self.path, self.path.with_file_name(times.file_name()))?;
        Ok(end + cues.len() as u64)
    }
}

/// In as few calls as the system takes.
fn write_all(mut file: &File, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    // `pieces` of nothing at the front would look like a disk that takes nothing.
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match file.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where a camera's files are. Names hold nothing that a path could be led astray with.
pub(super) fn dir_of(dir: &Path, (agent, camera): &(Name, Name)) -> PathBuf {
    dir.join(&**agent).join(&**camera)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_has_start_and_duration() {
        let times = Times { start_us: 1_795_309_689_123_000, duration_ms: Some(600_000) };
        assert_eq!(times.file_name(), "2026-11-22T01-08-09.123Z_600000ms.mkv");
        for duration_ms in [None, Some(0), Some(u64::MAX)] {
            for start_us in [0, 1_000, 1_795_309_689_120_000, 1_795_309_689_000_000] {
                let times = Times { start_us, duration_ms };
                assert_eq!(Times::of_file_name(&times.file_name()), Some(times));
            }
        }
        for other in ["", ".mkv", "holiday.mkv", "2026-11-22T01-08-09.123Z.avi", "2026-11-22T01-08-09Z.mkv", "T.mkv"] {
            assert_eq!(Times::of_file_name(other), None, "{other}");
        }
    }
}
