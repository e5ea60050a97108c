//! What the recorder did, and how it is.

use std::collections::BTreeMap;

/// Counts since the start.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Frames that are in files.
    pub frames: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Frames that came and are in no file, by cause.
    pub lost: BTreeMap<&'static str, u64>,
    /// Files that were removed, by cause.
    pub removed: BTreeMap<&'static str, u64>,
}

/// Whether frames are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// They are to be.
    pub on: bool,
    /// Why they are not; empty: they are.
    pub cause: String,
}
