//! Files with secrets: created for their owner only, and not used if others can read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use nix::fcntl::OFlag;
use nix::unistd::{User, geteuid};

/// A key or a token is far smaller, even with comments.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// Mode bits for the file's group and everyone else.
const OTHERS: u32 = 0o077;

/// Creates a directory if necessary; returns its absolute path.
///
/// # Errors
/// If it cannot be created.
pub fn directory(dir: &Path) -> Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(|error| cannot_create(error, dir, dir))?;
    dir.canonicalize().with_context(|| dir.display().to_string())
}

/// Writes a new file, which has this mode, minus the umask, from the start.
///
/// # Errors
/// If it already exists or cannot be written. Then an existing file is unchanged, and no new one is left.
pub fn create(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} already exists and was not overwritten; choose another name or directory", path.display())
        }
        Err(error) => return Err(cannot_create(error, path, path.parent().unwrap_or(path))),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| remove(path)).with_context(|| format!("cannot write {}", path.display()))
}

/// Words the error of a file or directory that cannot be created, with the remedy if permission is missing.
fn cannot_create(error: io::Error, path: &Path, dir: &Path) -> Error {
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    let error = Error::new(error).context(format!("cannot create {}", path.display()));
    if is_denied { anyhow!("{error:#}; run `sudo install -d -o \"$USER\" {}`", dir.display()) } else { error }
}

/// Removes a file of an incomplete pair. Ignores errors, because the caller already has one.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Opens a file that holds a key or a token (`what`). Never waits for the writer of a named pipe.
///
/// # Errors
/// If it cannot be opened or is not a file.
pub fn open(path: &Path, what: &str) -> Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.with_context(|| format!("cannot read the {what} in {}", path.display()))?;
    let is_file = file.metadata().is_ok_and(|data| data.is_file());
    ensure!(is_file, "{} is not a file with a {what}", path.display());
    Ok(file)
}

/// As [`open`], for a secret: if permission is missing, the error has the command that gives the file to this user.
///
/// # Errors
/// As [`open`].
pub fn open_secret(path: &Path, what: &str) -> Result<File> {
    open(path, what).map_err(|error| cannot_open(error, path, what))
}

/// Adds advice to the error of a file that does not exist.
#[must_use]
pub fn advise_if_missing(error: Error, advice: &str) -> Error {
    let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    if error.downcast_ref().is_some_and(is_missing) { anyhow!("{error:#}; {advice}") } else { error }
}

/// Returns the file's text.
///
/// # Errors
/// If it cannot be read or is not text.
pub fn read(file: &File, path: &Path, what: &str) -> Result<String> {
    let mut text = String::new();
    let cannot = || format!("cannot read the {what} in {}", path.display());
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).with_context(cannot)?;
    Ok(text)
}

/// Checks that only the file's owner may read it.
///
/// # Errors
/// If others may.
pub fn ensure_hidden(file: &File, path: &Path, what: &str) -> Result<()> {
    let mode = file.metadata().with_context(|| path.display().to_string())?.permissions().mode() & 0o777;
    ensure!(
        mode & OTHERS == 0,
        "the secret {what} in {0} is readable by other users (mode {mode:04o}); run `chmod 600 {0}`",
        path.display()
    );
    Ok(())
}

/// Words the error of a secret that cannot be opened, with the remedy if permission is missing.
fn cannot_open(error: Error, path: &Path, what: &str) -> Error {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    if !error.downcast_ref().is_some_and(is_denied) {
        return error;
    }
    // Without access to the directory, the file seems not to exist.
    let closed = if path.metadata().is_ok() { path } else { path.parent().unwrap_or(path) };
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    anyhow!("{user} may not read the secret {what} in {}; run `sudo chown {user} {}`", path.display(), closed.display())
}
