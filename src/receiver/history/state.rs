//! How the history is, for whoever asks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::lock;

/// What its thread says and others hear.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Why nothing is kept now; empty: it is.
    cause: Mutex<String>,
    expired: AtomicU64,
}

impl State {
    pub(super) fn fails(&self, cause: String) {
        *lock(&self.cause) = cause;
    }

    pub(super) fn is_well(&self) {
        lock(&self.cause).clear();
    }

    pub(super) fn cause(&self) -> String {
        lock(&self.cause).clone()
    }

    /// So many more readings were too old.
    pub(super) fn expired(&self, readings: u64) {
        self.expired.fetch_add(readings, Ordering::Relaxed);
    }

    pub(super) fn all_expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }
}
