//! Why the history could not be read.

use crate::store::StoreError;

/// Why the history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Too many reads are in progress.
    #[error("too many requests are reading the history; try again in a moment")]
    Busy,
    /// The series does not exist.
    #[error("series {0} does not exist; /api/series lists the existing ones")]
    NoSeries(i64),
    /// The period has more rows than a request may read.
    #[error("too many readings in this period; request a shorter one")]
    TooMuch,
    /// The file or the disk failed.
    #[error("the history cannot be read now ({0}); see the receiver's log")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> ReadError {
        ReadError::Store(error.into())
    }
}
