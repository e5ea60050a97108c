//! The frame rate of one camera.

use std::time::{Duration, Instant};

/// Frames per second, counted over full seconds.
#[derive(Debug)]
pub(super) struct FrameRate {
    since: Instant,
    count: u32,
    last: f64,
}

impl Default for FrameRate {
    fn default() -> FrameRate {
        FrameRate { since: Instant::now(), count: 0, last: 0.0 }
    }
}

impl FrameRate {
    /// Counts a frame.
    pub(super) fn count(&mut self) {
        self.count += 1;
        let elapsed = self.since.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            *self = FrameRate { since: Instant::now(), count: 0, last: f64::from(self.count) / elapsed };
        }
    }

    /// Frames in the last full second; zero after a pause.
    pub(super) fn per_second(&self) -> f64 {
        if self.since.elapsed() < Duration::from_secs(3) { self.last } else { 0.0 }
    }
}
