//! Errors of a store.

use std::io;

use nix::errno::Errno;
use nix::libc::EIO;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_READ;

/// Why a store cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another program uses it.
    #[error("in use by another program")]
    InUse,
    /// A newer watchpost wrote it, so this one must not change it.
    #[error("written by a newer watchpost")]
    Newer,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk is read-only.
    #[error("the disk is read-only")]
    ReadOnly,
    /// Reading or writing failed. Recent writes may be lost.
    #[error("the disk fails: {0}")]
    Disk(String),
    /// A part of the file cannot be read. On opening this counts as damage, because a failed sector stays unreadable. Later
    /// the disk may only be gone for a moment.
    #[error("the disk cannot be read: {0}")]
    Unreadable(String),
    /// The file is damaged.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let text = error.to_string();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            _ if extended == Some(SQLITE_IOERR_READ) => StoreError::Unreadable(text),
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
            Some(ErrorCode::SystemIoFailure) => StoreError::Disk(text),
            // A damaged schema causes the last three: a table or column is missing, or a value has another type.
            Some(
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown | ErrorCode::TypeMismatch,
            )
            | None => StoreError::Damaged(text),
            Some(_) => StoreError::Other(text),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
            _ if error.raw_os_error() == Some(EIO) => StoreError::Disk(describe_error(&error)),
            _ => StoreError::Other(describe_error(&error)),
        }
    }
}

/// Returns the system's words, without the number of the error.
fn describe_error(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_have_words_and_no_numbers() {
        let words = |number| StoreError::from(io::Error::from_raw_os_error(number)).to_string();
        assert_eq!(words(EIO), "the disk fails: I/O error");
        assert_eq!(words(Errno::EACCES as i32), "Permission denied");
    }
}
