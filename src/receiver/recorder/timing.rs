//! When a frame was captured, by the receiver's clock.
//!
//! The agent stamps frames by its own clock, to the microsecond. The receiver knows when a frame arrived and how old it
//! was, apart from network delays. If the two clocks agree, the agent's time is used as it is. Otherwise a file's times
//! get an offset that is measured when the file starts, so that intervals within the file stay exact.

use std::time::{Duration, Instant};

use super::queue::ReceivedFrame;

/// How far the clocks may differ, in microseconds, and still agree.
const MAX_SKEW_US: i64 = 1_000_000;

/// Network delays make single frames late; if all are late for this long, a clock was set.
const MAX_LATE: Duration = Duration::from_secs(5);

/// The time base of a file.
#[derive(Debug)]
pub(super) struct Timing {
    offset_us: i64,
    /// The time of the last frame received.
    pub(super) last_us: i64,
    late_since: Option<Instant>,
}

/// When the frame was captured, as far as the receiver knows: its arrival if its times cannot be true.
fn seen_us(frame: &ReceivedFrame) -> i64 {
    let age_us = if frame.live.is_plausible() { frame.live.header.age_us } else { 0 };
    frame.at_us.saturating_sub_unsigned(age_us)
}

/// When the frame was captured by the agent's clock. Formats without a boot have no capture time either.
fn captured_us(frame: &ReceivedFrame) -> Option<i64> {
    let header = &frame.live.header;
    (header.boot.is_some() && frame.live.is_plausible()).then_some(header.captured_at_us)
}

impl Timing {
    /// Starts the time base of a file with its first frame; also returns the frame's time.
    pub(super) fn start(frame: &ReceivedFrame) -> (Timing, i64) {
        let seen_us = seen_us(frame);
        let captured_us = captured_us(frame).unwrap_or(seen_us);
        let clocks_agree = seen_us.abs_diff(captured_us) <= MAX_SKEW_US as u64;
        let offset_us = if clocks_agree { 0 } else { seen_us.saturating_sub(captured_us) };
        let at_us = captured_us.saturating_add(offset_us);
        (Timing { offset_us, last_us: at_us, late_since: None }, at_us)
    }

    /// The time of a frame; `None` if a clock was set and a new file must start.
    pub(super) fn time_of(&mut self, frame: &ReceivedFrame) -> Option<i64> {
        let seen_us = seen_us(frame);
        let at_us = captured_us(frame).map_or(seen_us, |captured_us| captured_us.saturating_add(self.offset_us));
        let late_us = seen_us.saturating_sub(at_us);
        let is_late = late_us > MAX_SKEW_US;
        self.late_since = is_late.then(|| self.late_since.unwrap_or(frame.live.received));
        let was_set = self.late_since.is_some_and(|since| frame.live.received.duration_since(since) > MAX_LATE);
        if at_us < self.last_us || late_us < -MAX_SKEW_US || was_set {
            return None;
        }
        self.last_us = at_us;
        Some(at_us)
    }
}
