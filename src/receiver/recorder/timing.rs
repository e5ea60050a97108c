//! When a frame was taken, by the receiver's clock.
//!
//! The agent says when by its own clock, to the microsecond; the receiver knows when the frame came and how old it was, to what
//! the way between took. Where the two agree, the agent's time is taken; where they do not, it is taken with an offset that is
//! measured when a file begins. So times within a file are as far apart as they were.

use std::time::{Duration, Instant};

use super::queue::Came;

/// The two clocks agree to this, in microseconds.
const AGREE_US: i64 = 1_000_000;

/// A frame may be late because of the way; if all are for so long, a clock was set.
const LATE: Duration = Duration::from_secs(5);

/// An age that is longer is not believed.
const LONGEST_AGE_US: i64 = 86_400_000_000;

/// The clock of a file.
#[derive(Debug)]
pub(super) struct Timing {
    offset_us: i64,
    /// The time of the last frame that came.
    pub(super) last_us: i64,
    late: Option<Instant>,
}

/// When it was taken as far as the receiver knows.
fn seen_us(came: &Came) -> i64 {
    let age_us = i64::try_from(came.shown.header.age_us).map_or(LONGEST_AGE_US, |age| age.min(LONGEST_AGE_US));
    came.at_us - age_us
}

impl Timing {
    /// Of a file that begins with this frame; and its time.
    pub(super) fn begin(came: &Came) -> (Timing, i64) {
        let seen_us = seen_us(came);
        let by_agent = came.shown.header.captured_at_us;
        let is_right = seen_us.abs_diff(by_agent) <= AGREE_US as u64;
        let offset_us = if is_right { 0 } else { seen_us.saturating_sub(by_agent) };
        let at_us = by_agent.saturating_add(offset_us);
        (Timing { offset_us, last_us: at_us, late: None }, at_us)
    }

    /// The time of a frame; none: a clock was set, and another file has to begin.
    pub(super) fn of(&mut self, came: &Came) -> Option<i64> {
        let header = &came.shown.header;
        let seen_us = seen_us(came);
        // Formats without a boot have no times either.
        let at_us = if header.boot.is_none() { seen_us } else { header.captured_at_us.saturating_add(self.offset_us) };
        let late_us = seen_us.saturating_sub(at_us);
        let is_late = late_us > AGREE_US;
        self.late = is_late.then(|| self.late.unwrap_or(came.shown.received));
        let was_set = self.late.is_some_and(|since| came.shown.received.duration_since(since) > LATE);
        if at_us < self.last_us || late_us < -AGREE_US || was_set {
            return None;
        }
        self.last_us = at_us;
        Some(at_us)
    }
}
