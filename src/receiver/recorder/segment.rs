//! The files of a camera's recordings: how they are named, written and finished.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::matroska::{Cluster, CuePoint, FileInfo, header, trailer};
use super::reader::Clusters;
use crate::lock::lock;
use crate::name::Name;

/// File name extension.
const EXTENSION: &str = ".mkv";

/// Microseconds per millisecond, the unit of times in files.
pub(super) const US_PER_MS: i64 = 1000;

/// When a file starts (microseconds since 1970, whole milliseconds) and, once it is finished, its duration. They make
/// up its name, such as `2026-11-22T01-08-09.123Z_600000ms.mkv`.
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
        format!("{start}{duration}{EXTENSION}")
    }

    /// Parses a file name; `None` if it is not a recording's.
    pub(super) fn from_file_name(name: &str) -> Option<Times> {
        let stem = name.strip_suffix(EXTENSION)?;
        let (start, duration_ms) = match stem.split_once('_') {
            Some((start, duration)) => (start, Some(duration.strip_suffix("ms")?.parse().ok()?)),
            None => (stem, None),
        };
        let (date, time) = start.split_once('T')?;
        let start: Timestamp = format!("{date}T{}", time.replace('-', ":")).parse().ok()?;
        let times = Times { start_us: start.as_microsecond(), duration_ms };
        // Reject other spellings of the same time, because `file_name` would not find them.
        (times.file_name() == name).then_some(times)
    }
}

/// A file that is not finished: being written, or left by an earlier receiver.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) start_us: i64,
    clusters: Mutex<Clusters>,
}

/// How many earlier milliseconds are tried for a file's start while its name is taken, because the clock was set back.
const MAX_COLLISIONS: i64 = 100;

impl OpenFile {
    /// Creates a camera's file, and its directory if needed.
    pub(super) fn create(dir: &Path, start_us: i64) -> io::Result<OpenFile> {
        create_dir(dir)?;
        for earlier in 0..MAX_COLLISIONS {
            let start_us = start_us - earlier * US_PER_MS;
            let path = dir.join(Times { start_us, duration_ms: None }.file_name());
            match private_file().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let clusters = Clusters { cue_points: Vec::new(), end: 0, last_ms: 0 };
                    return Ok(OpenFile { file: Arc::new(file), path, start_us, clusters: Mutex::new(clusters) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Wraps an existing unfinished file.
    pub(super) fn existing(file: File, path: PathBuf, start_us: i64, clusters: Clusters) -> OpenFile {
        OpenFile { file: Arc::new(file), path, start_us, clusters: Mutex::new(clusters) }
    }

    /// Appends a cluster; writes the file's header before the first one.
    pub(super) fn append(&self, info: &FileInfo<'_>, cluster: &Cluster, text: &str, for_ms: u64) -> io::Result<u64> {
        let end = self.clusters().end;
        let before = if end == 0 { header(info) } else { Vec::new() };
        let front = cluster.front(text, for_ms);
        let mut pieces: Vec<IoSlice<'_>> = [&*before, &*front].map(IoSlice::new).into();
        pieces.extend(cluster.pieces().map(IoSlice::new));
        let length = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if let Err(error) = write_all(&self.file, &mut pieces) {
            // Cut off a partial write now if possible; finishing the file does so too.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        let mut clusters = self.clusters();
        clusters.cue_points.push(CuePoint { at_ms: cluster.at_ms(), position: end + before.len() as u64 });
        clusters.end = end + length;
        clusters.last_ms = clusters.last_ms.max(cluster.last_ms());
        Ok(length)
    }

    pub(super) fn clusters(&self) -> MutexGuard<'_, Clusters> {
        lock(&self.clusters)
    }

    /// The time of the last frame.
    pub(super) fn end_us(&self) -> i64 {
        let last_us = i64::try_from(self.clusters().last_ms).unwrap_or(i64::MAX).saturating_mul(US_PER_MS);
        self.start_us.saturating_add(last_us)
    }

    /// Finishes the file with this duration and renames it; returns its size in bytes.
    pub(super) fn finish(&self, duration_ms: u64, sync: bool) -> io::Result<u64> {
        let (cues, edits, end) = {
            let clusters = self.clusters();
            let (cues, edits) = trailer(&clusters.cue_points, clusters.end, duration_ms);
            (cues, edits, clusters.end)
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

/// Writes all pieces in as few system calls as possible.
fn write_all(mut file: &File, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Skip empty pieces: writing zero bytes would look like a full disk.
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

/// Creates a directory and its parents, for this user only.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Options for files that are created for this user only.
pub(super) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// The directory of a camera's files. Names cannot contain path separators or dots.
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
                assert_eq!(Times::from_file_name(&times.file_name()), Some(times));
            }
        }
        for other in ["", ".mkv", "holiday.mkv", "2026-11-22T01-08-09.123Z.avi", "2026-11-22T01-08-09Z.mkv", "T.mkv"] {
            assert_eq!(Times::from_file_name(other), None, "{other}");
        }
    }
}
