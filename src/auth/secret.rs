//! Files with a secret in them: made for their owner alone, and not used when others can read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use nix::fcntl::OFlag;
use nix::unistd::{User, geteuid};

/// A key or a token is far smaller, with all that people note beside it.
const LARGEST_FILE: u64 = 16 * 1024;

/// What a file's mode allows its group and everyone else.
const OTHERS: u32 = 0o077;

/// Makes the directory that files are written into, if it is not there; gives its whole path.
///
/// # Errors
/// When it cannot be made.
pub fn directory(dir: &Path) -> Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(|error| not_made(error, dir, dir))?;
    dir.canonicalize().with_context(|| dir.display().to_string())
}

/// Writes a new file that has this mode, less the umask, from its beginning.
///
/// # Errors
/// When it is there already or cannot be written; then there is none, or the one that there was.
pub fn create(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already and is left as it is; choose another name or directory", path.display())
        }
        Err(error) => return Err(not_made(error, path, path.parent().unwrap_or(path))),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| forget(path)).with_context(|| format!("cannot write {}", path.display()))
}

/// Why a file or directory cannot be made, and what gives this user the directory.
fn not_made(error: io::Error, path: &Path, dir: &Path) -> Error {
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    let error = Error::new(error).context(format!("cannot make {}", path.display()));
    if is_denied { anyhow!("{error:#}; `sudo install -d -o \"$USER\" {}` mends it", dir.display()) } else { error }
}

/// Takes a file away again: half a pair is worse than none. If not even this works, the first error says enough.
pub fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Opens a file with a `what`, not waiting for a pipe's other end.
///
/// # Errors
/// When it cannot be opened or is no file.
pub fn open(path: &Path, what: &str) -> Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.with_context(|| format!("cannot read the {what} in {}", path.display()))?;
    let is_file = file.metadata().is_ok_and(|data| data.is_file());
    ensure!(is_file, "{} is not a file with a {what}", path.display());
    Ok(file)
}

/// As [`open`], of what is secret: the error says what gives the file to this user, if that is it.
///
/// # Errors
/// As [`open`].
pub fn open_secret(path: &Path, what: &str) -> Result<File> {
    open(path, what).map_err(|error| kept_from(error, path, what))
}

/// What is in the file.
///
/// # Errors
/// When it cannot be read or is no text.
pub fn read(file: &File, path: &Path, what: &str) -> Result<String> {
    let mut text = String::new();
    let cannot = || format!("cannot read the {what} in {}", path.display());
    file.take(LARGEST_FILE).read_to_string(&mut text).with_context(cannot)?;
    Ok(text)
}

/// Checks that nobody but the file's owner may use what is in it.
///
/// # Errors
/// When others may.
pub fn ensure_hidden(file: &File, path: &Path, what: &str) -> Result<()> {
    let mode = file.metadata().with_context(|| path.display().to_string())?.permissions().mode() & 0o777;
    ensure!(
        mode & OTHERS == 0,
        "others than its owner may use the secret {what} in {0} (mode {mode:04o}); `chmod 600 {0}` mends it",
        path.display()
    );
    Ok(())
}

/// Why a secret cannot be opened, and what gives it to this user, if that is it.
fn kept_from(error: Error, path: &Path, what: &str) -> Error {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    if !error.downcast_ref().is_some_and(is_denied) {
        return error;
    }
    // It may be the directory.
    let closed = if path.metadata().is_ok() { path } else { path.parent().unwrap_or(path) };
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    anyhow!(
        "{user} may not read the secret {what} in {}; `sudo chown {user} {}` mends it",
        path.display(),
        closed.display()
    )
}
