//! How long a stream may send no picture.

use std::time::{Duration, Instant};

use crate::config::Fps;

/// A camera of the usual rate is down after this long without a picture.
pub const MIN_PATIENCE: Duration = Duration::from_secs(2);

/// Until the camera's rate is known.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// The longest time that a camera may take, whatever its rate was.
pub const MAX_PATIENCE: Duration = Duration::from_mins(2);

/// A camera is down after this many of its intervals without a picture.
const INTERVALS: u32 = 4;

/// Follows the rate of a stream.
#[derive(Debug)]
pub struct Patience {
    last: Instant,
    min: Duration,
    /// The longest of the last intervals, which fades: a rate can change.
    interval: Option<Duration>,
    has_picture: bool,
}

impl Patience {
    /// Starts to wait for the first picture. `min` is the shortest patience.
    #[must_use]
    pub fn new(min: Duration, now: Instant) -> Patience {
        Patience { last: now, min, interval: None, has_picture: false }
    }

    /// Notes a picture.
    pub fn arrived(&mut self, now: Instant) {
        if self.has_picture {
            let interval = now.duration_since(self.last);
            self.interval = Some(self.interval.map_or(interval, |known| interval.max(known * 3 / 4)));
        }
        (self.last, self.has_picture) = (now, true);
    }

    /// Notes that this program was held up, so that the time that has passed says nothing about the camera.
    pub fn restart(&mut self, now: Instant) {
        self.last = now;
        self.has_picture = false;
    }

    /// Whether the camera has sent nothing for too long. `fps` is the rate that was asked for, which tells how slow the camera
    /// may be before its own rate is known.
    #[must_use]
    pub fn is_over(&self, fps: Fps, now: Instant) -> bool {
        let limit = match self.interval {
            Some(interval) => (interval * INTERVALS).clamp(self.min, MAX_PATIENCE),
            None => Duration::from_secs_f64(f64::from(INTERVALS) / fps.get())
                .clamp(FIRST_PATIENCE.max(self.min), MAX_PATIENCE),
        };
        now.duration_since(self.last) > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The patience after pictures at these seconds, in tenths of a second.
    fn patience(fps: f64, seconds: &[f64]) -> u32 {
        let start = Instant::now();
        let fps = Fps::try_from(fps).expect("a rate");
        let mut patience = Patience::new(MIN_PATIENCE, start);
        for second in seconds {
            patience.arrived(start + Duration::from_secs_f64(*second));
        }
        let last = seconds.last().copied().unwrap_or_default();
        let is_over =
            |tenth: &u32| patience.is_over(fps, start + Duration::from_secs_f64(last + f64::from(*tenth) / 10.0));
        (0..2_000).find(is_over).expect("it ends") - 1
    }

    #[test]
    fn patience_follows_the_rate() {
        assert_eq!(patience(25.0, &[]), 100);
        assert_eq!(patience(25.0, &[1.0]), 100);
        assert_eq!(patience(0.1, &[]), 400);
        assert_eq!(patience(25.0, &[1.0, 1.04, 1.08]), 20);
        assert_eq!(patience(25.0, &[1.0, 4.0]), 120);
        assert_eq!(patience(25.0, &[1.0, 61.0]), 1200);
        // One late picture does not make it patient for long.
        let mut seconds = vec![0.0, 1.9];
        seconds.extend((1..20).map(|picture| 1.9 + f64::from(picture) / 25.0));
        assert_eq!(patience(25.0, &seconds), 20);
    }
}
