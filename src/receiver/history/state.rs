//! How the history is, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What its thread says and others hear.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Why nothing is kept now; empty: it is.
    cause: Mutex<String>,
    expired: AtomicU64,
}

impl State {
    pub(super) fn fails(&self, cause: String) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    pub(super) fn is_well(&self) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So many more readings were too old.
    pub(super) fn expired(&self, readings: u64) {
        self.expired.fetch_add(readings, Ordering::Relaxed);
    }

    pub(super) fn all_expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }
}
