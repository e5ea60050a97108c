//! How far this machine's clock is ahead of an unsynchronised agent's clock.
//!
//! Each message gives an estimate: its arrival, minus its age, minus its capture by the agent's clock. The estimate
//! includes the time on the network, so the smallest one is the most accurate. An agent's clock that was set back looks
//! like a slow message, until all messages look slow for a while.

/// Estimates larger by `STEP_US` for `CONFIRM_US` mean that the agent's clock was set.
const STEP_US: i64 = 1_000_000;
const CONFIRM_US: i64 = 10_000_000;

/// The offset for one start of an agent.
#[derive(Debug, Default)]
pub(super) struct ClockOffset {
    /// The offset in microseconds, once it was needed.
    us: Option<i64>,
    /// Since when estimates are much larger, and the smallest of them.
    larger: Option<(i64, i64)>,
    /// The newest capture by the agent's clock, and the date it got.
    last: Option<(i64, i64)>,
}

impl ClockOffset {
    pub(super) fn known(us: Option<i64>) -> ClockOffset {
        ClockOffset { us, ..ClockOffset::default() }
    }

    pub(super) fn us(&self) -> Option<i64> {
        self.us
    }

    /// Adds an estimate from a message that arrived at `arrived_us` by this machine's clock.
    pub(super) fn add_estimate(&mut self, estimate_us: i64, arrived_us: i64) {
        let Some(known) = self.us else {
            self.us = Some(estimate_us);
            return;
        };
        if estimate_us.saturating_sub(known) < STEP_US {
            (self.us, self.larger) = (Some(known.min(estimate_us)), None);
            return;
        }
        let (since, least) =
            self.larger.map_or((arrived_us, estimate_us), |(since, least)| (since, least.min(estimate_us)));
        self.larger = Some((since, least));
        if arrived_us.saturating_sub(since) >= CONFIRM_US {
            (self.us, self.larger) = (Some(least), None);
        }
    }

    /// Converts a capture time to this machine's clock. Better estimates never date a later capture earlier.
    pub(super) fn date(&mut self, captured_us: i64) -> i64 {
        let mut at_us = captured_us.saturating_add(self.us.unwrap_or(0));
        match self.last {
            Some((last, _)) if captured_us < last => return at_us,
            Some((_, last_at)) if last_at.saturating_sub(at_us) < CONFIRM_US => at_us = at_us.max(last_at),
            _ => {}
        }
        self.last = Some((captured_us, at_us));
        at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Dates readings captured every 20 ms by a clock a day behind, which arrive `delays` later than their age says.
    fn dates(offset: &mut ClockOffset, begins_us: i64, delays: &[i64]) -> Vec<i64> {
        let captured = (begins_us..).step_by(20_000).zip(delays);
        let date = |(captured, delay): (i64, &i64)| {
            let arrived = captured + 86_400 * SECOND + delay;
            offset.add_estimate(arrived - captured, arrived);
            offset.date(captured) - captured - 86_400 * SECOND
        };
        captured.map(date).collect()
    }

    #[test]
    fn smallest_delay_counts_and_order_is_kept() {
        let mut offset = ClockOffset::default();
        assert_eq!(dates(&mut offset, 0, &[250_000, 40_000, 5_000, 300_000]), [250_000, 230_000, 210_000, 190_000]);
        assert_eq!(dates(&mut offset, SECOND, &[60_000, 2 * SECOND, 5_000]), [5_000; 3]);
    }

    #[test]
    fn delayed_message_is_not_a_clock_step() {
        let mut offset = ClockOffset::default();
        assert_eq!(dates(&mut offset, 0, &[1_000]), [1_000]);
        let waited: Vec<i64> = (0..100).map(|index| 2 * SECOND - 20_000 * index).collect();
        assert_eq!(dates(&mut offset, SECOND, &waited), [1_000; 100]);
    }

    #[test]
    fn backward_step_is_accepted_late_and_forward_step_at_once() {
        let mut offset = ClockOffset::default();
        dates(&mut offset, 2 * 3600 * SECOND, &[1_000]);
        let hour = 3600 * SECOND;
        let back = dates(&mut offset, hour, &[hour + 2_000; 600]);
        assert_eq!((back[0], back[500]), (1_000, hour + 2_000));
        assert_eq!(dates(&mut offset, 4 * hour, &[1_000]), [1_000]);
    }
}
