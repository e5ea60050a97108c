//! Keeps a frame rate, by dropping frames or by waiting.

use std::time::{Duration, Instant};

use crate::config::Fps;

/// Decides which frames to take, or when the next one is due.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    /// A pace of `fps` frames per second.
    #[must_use]
    pub fn new(fps: f64) -> Pace {
        Pace { interval: interval(fps), due: Instant::now() }
    }

    /// A pace at a configured rate.
    #[must_use]
    pub fn of(fps: Fps) -> Pace {
        Pace::new(fps.get())
    }

    /// Changes the rate.
    pub fn set_fps(&mut self, fps: Fps) {
        self.interval = interval(fps.get());
        self.due = self.due.min(Instant::now() + self.interval);
    }

    /// Whether to take a frame that arrives now.
    pub fn accepts_now(&mut self) -> bool {
        self.accepts(Instant::now())
    }

    /// Drops frames of a faster source evenly. A third of an interval of leeway absorbs the jitter of a source at the
    /// same rate.
    fn accepts(&mut self, now: Instant) -> bool {
        if now + self.interval / 3 < self.due {
            return false;
        }
        self.advance(now);
        true
    }

    /// Sleeps until the next frame is due, for at most `timeout`; returns false when the frame is not due yet.
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

    /// Schedules the next frame one interval after this one, or now after a pause: frames are never made up for in a
    /// burst.
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

    /// The frames taken of a source with 30 frames per second that is up to 8 ms late.
    fn accepted(fps: f64, frames: u32) -> Vec<u32> {
        let mut pace = Pace::new(fps);
        let start = pace.due;
        let late = |frame: u32| Duration::from_millis(u64::from(frame * 7 % 9));
        (0..frames).filter(|frame| pace.accepts(start + interval(30.0) * *frame + late(*frame))).collect()
    }

    #[test]
    fn frames_of_a_faster_source_are_dropped_evenly() {
        for (fps, count, steps) in [(10.0, 100, 3..=3), (15.0, 150, 2..=2), (25.0, 250, 1..=2)] {
            let accepted = accepted(fps, 300);
            assert!(accepted.len().abs_diff(count) <= 1, "{} instead of {count}", accepted.len());
            // The second frame may be early.
            assert!(accepted[1..].windows(2).all(|two| steps.contains(&(two[1] - two[0]))), "{fps}: {accepted:?}");
        }
    }

    #[test]
    fn source_at_or_below_the_rate_loses_no_frames() {
        for fps in [30.0, 31.0, 60.0] {
            assert_eq!(accepted(fps, 300).len(), 300, "{fps}");
        }
    }
}
