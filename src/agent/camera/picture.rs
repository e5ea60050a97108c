//! The pictures that sources return.

use bytes::Bytes;

use crate::clock::Stamp;
use crate::frame;

/// A picture as its source returns it.
pub(super) enum Picture<'a> {
    /// The camera's own JPEG, passed on unchanged.
    Jpeg { width: u32, height: u32, bytes: Bytes },
    /// Pixels that need encoding.
    Pixels(frame::Frame<'a>),
}

/// The result of polling a source.
pub(super) enum Poll<'a> {
    /// No usable picture yet.
    NotReady,
    /// A picture that no link wants, or not at this rate; it was not decoded.
    Skipped,
    /// A picture that is too large to send.
    TooLarge,
    /// The newest picture, and when it was taken.
    Frame(Stamp, Picture<'a>),
}
