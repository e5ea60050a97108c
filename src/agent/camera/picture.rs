//! What sources give.

use bytes::Bytes;

use crate::clock::Stamp;
use crate::frame;

/// A picture as its source gives it.
pub(super) enum Picture<'a> {
    /// The camera's own JPEG, passed on as it is.
    Jpeg { width: u32, height: u32, bytes: Bytes },
    /// Pixels, to be encoded.
    Pixels(frame::Frame<'a>),
}

/// What a source has.
pub(super) enum Poll<'a> {
    /// No picture yet, or one that is none.
    NotReady,
    /// A picture that nobody wants, or not at this rate; it was not looked at.
    Skipped,
    /// A picture that is too large to be sent.
    TooLarge,
    /// The newest picture, and when it was taken.
    Frame(Stamp, Picture<'a>),
}
