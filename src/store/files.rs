//! A store's file, and what `SQLite` and we have beside it: `-wal`, what was written ahead; `-shm`, of no worth once nobody has
//! it open; `.damaged-N`, what was set aside.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A damaged file is kept under one of so many names; the last is used over and over.
const ASIDE: u32 = 3;

pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Whether `SQLite` would take it for a new file though it is what is left of one: there is nothing in it, or no file, and
/// something was written ahead; or one byte (`unixFileSize` in its `os_unix.c` calls that empty).
#[must_use]
pub fn is_hollow(path: &Path) -> bool {
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    match length(path) {
        0 => length(&beside(path, "-wal")) > 0,
        length => length == 1,
    }
}

/// Gives a file a name that says that it is damaged, and whose place it was in; gives that name.
///
/// # Errors
/// When the disk does not allow it.
pub fn set_aside(file: &Path, place: &Path) -> io::Result<PathBuf> {
    let aside = aside(place);
    rename(file, &aside)?;
    Ok(aside)
}

pub(super) fn aside(place: &Path) -> PathBuf {
    let is_free = |aside: &PathBuf| !aside.exists() && !beside(aside, "-wal").exists();
    asides(place).take(ASIDE as usize - 1).find(is_free).unwrap_or_else(|| beside(place, &format!(".damaged-{ASIDE}")))
}

pub(super) fn asides(place: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=ASIDE).map(|number| beside(place, &format!(".damaged-{number}")))
}

/// Gives a file that is not open, with what was written ahead of it, another name.
///
/// # Errors
/// When the disk does not allow it.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    if_there(fs::rename(from, to))?;
    finish_renaming(from, to)
}

/// Does what is left of a [`rename`] that ended in the middle: the file has its new name, and what was written ahead of it
/// the old one.
///
/// # Errors
/// When the disk does not allow it.
pub fn finish_renaming(from: &Path, to: &Path) -> io::Result<()> {
    if_there(fs::rename(beside(from, "-wal"), beside(to, "-wal")))?;
    remove(from)
}

/// Removes a file that is not open, with what is beside it.
///
/// # Errors
/// When the disk does not allow it.
pub fn remove(path: &Path) -> io::Result<()> {
    ["", "-wal", "-shm"].into_iter().try_for_each(|ending| if_there(fs::remove_file(beside(path, ending))))
}

/// Removes what was written ahead of a file that is not open.
///
/// # Errors
/// When the disk does not allow it.
pub fn remove_ahead(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(beside(path, "-wal")))
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A path with more behind its name.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
