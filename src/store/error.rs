//! Why a store cannot be had or used.

use std::io;

use nix::libc::EIO;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_READ;

/// Why a store cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another program has it.
    #[error("in use by another program")]
    InUse,
    /// A newer watchpost has written it, and would not understand what this one did to it.
    #[error("written by a newer watchpost")]
    Newer,
    /// The disk has no room.
    #[error("the disk is full")]
    Full,
    /// The disk takes nothing.
    #[error("the disk is read-only")]
    ReadOnly,
    /// Reading or writing failed; what was written may not be there.
    #[error("the disk fails: {0}")]
    Disk(String),
    /// A part of the file cannot be read. A sector that has failed stays as it is, so whoever opens the file takes it for
    /// damage; whoever has it open may have met a disk that is gone for a moment.
    #[error("the disk cannot be read: {0}")]
    Unreadable(String),
    /// The file makes no sense.
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
            // The last three are what a damaged schema looks like: a table or a column that is not there, a value that is of
            // another type.
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
            _ if error.raw_os_error() == Some(EIO) => StoreError::Disk(error.to_string()),
            _ => StoreError::Other(error.to_string()),
        }
    }
}
