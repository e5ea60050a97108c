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
    pub fn set_fps(&mut self, fps: Fps) {
        self.interval = interval(fps.get());
        self.due = self.due.min(Instant::now() + self.interval);
    }

    /// Whether a frame that arrives now is wanted.
    pub fn accepts_now(&mut self) -> bool {
        self.accepts(Instant::now())
    }

    /// Frames of a quicker source are dropped evenly; a third of an interval of leeway keeps the jitter of an equally quick
    /// one from costing frames.
    fn accepts(&mut self, now: Instant) -> bool {
        if now + self.interval / 3 < self.due {
            return false;
        }
        self.advance(now);
        true
    }

    /// Sleeps until the next frame is due, for at most `patience`; false when it is not due yet.
    pub fn wait_until_due(&mut self, timeout: Duration) -> bool {
        let now = Instant::now();
        let wait = self.due.saturating_duration_since(now);
        std::thread::sleep(wait.min(timeout));
        if wait > timeout {
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

    /// Which frames are taken of a source of 30 a second that is up to 8 ms late.
    fn accepted(fps: f64, frames: u32) -> Vec<u32> {
        let mut pace = Pace::new(fps);
        let start = pace.due;
        let late = |frame: u32| Duration::from_millis(u64::from(frame * 7 % 9));
        (0..frames).filter(|frame| pace.accepts(start + interval(30.0) * *frame + late(*frame))).collect()
    }

    #[test]
    fn frames_of_a_quicker_source_are_dropped_evenly() {
        for (fps, count, steps) in [(10.0, 100, 3..=3), (15.0, 150, 2..=2), (25.0, 250, 1..=2)] {
            let accepted = accepted(fps, 300);
            assert!(accepted.len().abs_diff(count) <= 1, "{} instead of {count}", accepted.len());
            // The second is as early as it may be.
            assert!(accepted[1..].windows(2).all(|two| steps.contains(&(two[1] - two[0]))), "{fps}: {accepted:?}");
        }
    }

    #[test]
    fn a_source_that_is_as_quick_or_slower_loses_none() {
        for fps in [30.0, 31.0, 60.0] {
            assert_eq!(accepted(fps, 300).len(), 300, "{fps}");
        }
    }
}
