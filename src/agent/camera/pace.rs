//! A frame rate, kept by dropping or by waiting.

use std::time::{Duration, Instant};

use crate::config::Fps;

/// Says which frames to take, or when the next one is due.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    /// So many a second.
    #[must_use]
    pub fn new(fps: f64) -> Pace {
        Pace { interval: interval(fps), due: Instant::now() }
    }

    /// The same.
    #[must_use]
    pub fn of(fps: Fps) -> Pace {
        Pace::new(fps.get())
    }

    /// Changes the rate, if this is another.
    pub fn keep(&mut self, fps: Fps) {
        self.interval = interval(fps.get());
        self.due = self.due.min(Instant::now() + self.interval);
    }

    /// Whether a frame that arrives now is wanted.
    pub fn takes_now(&mut self) -> bool {
        self.takes(Instant::now())
    }

    /// Frames of a quicker source are dropped evenly; a third of an interval of leeway keeps the jitter of an equally quick
    /// one from costing frames.
    fn takes(&mut self, now: Instant) -> bool {
        if now + self.interval / 3 < self.due {
            return false;
        }
        self.advance(now);
        true
    }

    /// Sleeps until the next frame is due, for at most `patience`; false when it is not due yet.
    pub fn waits(&mut self, patience: Duration) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the frames taken from a source of 30 fps with a jitter of 8 ms.
    fn taken(fps: f64, frames: u32) -> Vec<u32> {
        let mut pace = Pace::new(fps);
        let start = pace.due;
        let late = |frame: u32| Duration::from_millis(u64::from(frame * 7 % 9));
        (0..frames).filter(|frame| pace.takes(start + interval(30.0) * *frame + late(*frame))).collect()
    }

    #[test]
    fn frames_of_a_faster_source_are_dropped_evenly() {
        for (fps, count, steps) in [(10.0, 100, 3..=3), (15.0, 150, 2..=2), (25.0, 250, 1..=2)] {
            let taken = taken(fps, 300);
            assert!(taken.len().abs_diff(count) <= 1, "{} instead of {count}", taken.len());
            // The second frame may be early.
            assert!(taken[1..].windows(2).all(|two| steps.contains(&(two[1] - two[0]))), "{fps}: {taken:?}");
        }
    }

    #[test]
    fn source_at_or_below_the_rate_loses_no_frame() {
        for fps in [30.0, 31.0, 60.0] {
            assert_eq!(taken(fps, 300).len(), 300, "{fps}");
        }
    }
}
