//! The history's state, for readers of other threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::lock;

/// Set by the writer, read by others.
#[derive(Debug, Default)]
pub(super) struct WriterState {
    /// Why no readings are stored now; empty if they are.
    cause: Mutex<String>,
    expired: AtomicU64,
    /// Removed readings of unconfirmed labels.
    unconfirmed_removed: AtomicU64,
}

impl WriterState {
    pub(super) fn set_cause(&self, cause: String) {
        *lock(&self.cause) = cause;
    }

    pub(super) fn clear_cause(&self) {
        lock(&self.cause).clear();
    }

    pub(super) fn cause(&self) -> String {
        lock(&self.cause).clone()
    }

    /// Adds to the number of expired readings.
    pub(super) fn add_expired(&self, readings: u64) {
        self.expired.fetch_add(readings, Ordering::Relaxed);
    }

    pub(super) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Adds to the number of removed readings of unconfirmed labels.
    pub(super) fn add_unconfirmed_removed(&self, readings: u64) {
        self.unconfirmed_removed.fetch_add(readings, Ordering::Relaxed);
    }

    pub(super) fn unconfirmed_removed(&self) -> u64 {
        self.unconfirmed_removed.load(Ordering::Relaxed)
    }
}
