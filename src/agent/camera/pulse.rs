//! A sign of life from a thread that may hang where nobody can wake it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when the thread should be heard of again.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// Milliseconds from the start.
    due: AtomicU64,
}

impl Pulse {
    /// The first beat is due within `patience`.
    pub(super) fn new(patience: Duration) -> Pulse {
        let pulse = Pulse { start: Instant::now(), due: AtomicU64::new(0) };
        pulse.beat(patience);
        pulse
    }

    /// The thread lives, and the next beat comes within `patience`.
    pub(super) fn beat(&self, patience: Duration) {
        self.due.store((self.start.elapsed() + patience).as_millis() as u64, Ordering::Relaxed);
    }

    /// When the next beat is due.
    pub(super) fn due(&self) -> Instant {
        self.start + Duration::from_millis(self.due.load(Ordering::Relaxed))
    }
}
