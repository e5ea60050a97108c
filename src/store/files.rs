//! A store's file and the files next to it: `-wal`, the write-ahead log; `-shm`, which is worthless while the file is
//! closed; and `.damaged-N`, a damaged file.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Number of damaged files to keep. The last name is reused.
const MAX_DAMAGED: u32 = 3;

pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Whether `SQLite` would treat the rest of a file as a new one: the file is empty or missing but has a write-ahead log, or
/// it has one byte (`unixFileSize` in `os_unix.c` calls that empty).
#[must_use]
pub fn is_hollow(path: &Path) -> bool {
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    match length(path) {
        0 => length(&beside(path, "-wal")) > 0,
        length => length == 1,
    }
}

/// Renames a damaged file to a name derived from `place`; returns the new name.
///
/// # Errors
/// If the disk fails.
pub fn set_aside(file: &Path, place: &Path) -> io::Result<PathBuf> {
    let aside = aside_name(place);
    rename(file, &aside)?;
    Ok(aside)
}

pub(super) fn aside_name(place: &Path) -> PathBuf {
    let is_free = |aside: &PathBuf| !aside.exists() && !beside(aside, "-wal").exists();
    aside_names(place)
        .take(MAX_DAMAGED as usize - 1)
        .find(is_free)
        .unwrap_or_else(|| beside(place, &format!(".damaged-{MAX_DAMAGED}")))
}

pub(super) fn aside_names(place: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=MAX_DAMAGED).map(|number| beside(place, &format!(".damaged-{number}")))
}

/// Renames a closed file and its write-ahead log.
///
/// # Errors
/// If the disk fails.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    ignore_missing(fs::rename(from, to))?;
    finish_renaming(from, to)
}

/// Completes a [`rename`] that was interrupted after renaming the file but before its write-ahead log.
///
/// # Errors
/// If the disk fails.
pub fn finish_renaming(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(fs::rename(beside(from, "-wal"), beside(to, "-wal")))?;
    remove(from)
}

/// Removes a closed file and the files next to it.
///
/// # Errors
/// If the disk fails.
pub fn remove(path: &Path) -> io::Result<()> {
    ["", "-wal", "-shm"].into_iter().try_for_each(|ending| ignore_missing(fs::remove_file(beside(path, ending))))
}

/// Removes the write-ahead log of a closed file.
///
/// # Errors
/// If the disk fails.
pub fn remove_ahead(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(beside(path, "-wal")))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Returns the path with `ending` appended to its name.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
