//! A frame rate, kept by dropping or by waiting.

use std::time::{Duration, Instant};

use crate::config::Fps;

/// Says which frames to take, or when the next one is due.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    pub(super) fn new(fps: f64) -> Pace {
        Pace { interval: interval(fps), due: Instant::now() }
    }

    pub(super) fn of(fps: Fps) -> Pace {
        Pace::new(fps.get())
    }

    /// Changes the rate, if this is another.
    pub(super) fn keep(&mut self, fps: Fps) {
        self.interval = interval(fps.get());
    }

    /// Whether a frame that arrives now is wanted. Frames of a quicker source are dropped evenly; half an interval
    /// of leeway keeps the jitter of an equally quick one from costing frames.
    pub(super) fn takes_now(&mut self) -> bool {
        let now = Instant::now();
        if now + self.interval / 2 < self.due {
            return false;
        }
        self.advance(now);
        true
    }

    /// Sleeps until the next frame is due, for at most `patience`; false when it is not due yet.
    pub(super) fn waits(&mut self, patience: Duration) -> bool {
        let now = Instant::now();
        let wait = self.due.saturating_duration_since(now);
        std::thread::sleep(wait.min(patience));
        if wait > patience {
            return false;
        }
        self.advance(now.max(self.due));
        true
    }

    /// The next one is due an interval after this one was, or now and here after a pause: no burst makes up for it.
    fn advance(&mut self, now: Instant) {
        self.due = (self.due + self.interval).max(now);
    }
}

fn interval(fps: f64) -> Duration {
    Duration::from_secs_f64(1.0 / fps)
}
