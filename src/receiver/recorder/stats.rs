//! The recorder's counters and state.

use std::collections::BTreeMap;

/// Counts since the start.
#[derive(Clone, Debug, Default)]
pub struct RecorderStats {
    /// Frames written to files.
    pub frames: u64,
    /// Bytes written to files.
    pub bytes: u64,
    /// Frames whose capture time could not be true; they are dated by their arrival.
    pub implausible_times: u64,
    /// Frames received but not recorded, by cause.
    pub lost: BTreeMap<&'static str, u64>,
    /// Finished files that were deleted, by cause.
    pub removed: BTreeMap<&'static str, u64>,
}

/// Whether frames are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderState {
    /// Whether recording is configured.
    pub on: bool,
    /// Why frames are not recorded; empty if they are.
    pub cause: String,
}
