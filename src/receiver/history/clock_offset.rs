//! By how much this machine's clock is ahead of an agent's that nobody has set.
//!
//! What came, less its age, less when the agent's clock says that it was captured, is that, and what its way here took more
//! than its age knows of: so it is at most what it seems, and the least that it ever seemed is the nearest. A clock that
//! was set back looks like a message that took long, until for a while all of them do.

/// What seems to be so much more than before is another clock, once it has seemed so for a while.
const SET_US: i64 = 1_000_000;
const WHILE_US: i64 = 10_000_000;

/// Of one start of an agent.
#[derive(Debug, Default)]
pub(super) struct ClockOffset {
    /// Microseconds, once it was needed.
    us: Option<i64>,
    /// Since when it has seemed to be much more, and the least that it has seemed since.
    more: Option<(i64, i64)>,
    /// What was captured last, by the agent's clock, and what date that got.
    last: Option<(i64, i64)>,
}

impl ClockOffset {
    pub(super) fn known(us: Option<i64>) -> ClockOffset {
        ClockOffset { us, ..ClockOffset::default() }
    }

    pub(super) fn us(&self) -> Option<i64> {
        self.us
    }

    /// A message of `came_us`, by this machine's clock, has it at most at this.
    pub(super) fn seems(&mut self, seems_us: i64, came_us: i64) {
        let Some(known) = self.us else {
            self.us = Some(seems_us);
            return;
        };
        if seems_us.saturating_sub(known) < SET_US {
            (self.us, self.more) = (Some(known.min(seems_us)), None);
            return;
        }
        let (since, least) = self.more.map_or((came_us, seems_us), |(since, least)| (since, least.min(seems_us)));
        self.more = Some((since, least));
        if came_us.saturating_sub(since) >= WHILE_US {
            (self.us, self.more) = (Some(least), None);
        }
    }

    /// When something was captured, by this machine's clock; none, when no column holds that. What was captured later is not
    /// dated earlier because it is known better by then.
    pub(super) fn date(&mut self, captured_us: i64) -> Option<i64> {
        let mut at_us = captured_us.checked_add(self.us?)?;
        match self.last {
            Some((last, _)) if captured_us < last => return Some(at_us),
            Some((_, last_at)) if last_at.saturating_sub(at_us) < WHILE_US => at_us = at_us.max(last_at),
            _ => {}
        }
        self.last = Some((captured_us, at_us));
        Some(at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Dates of what was captured each 20 ms by a clock that is a day behind, and came so much later than its age says.
    fn dates(ahead: &mut ClockOffset, begins_us: i64, delays: &[i64]) -> Vec<i64> {
        let captured = (begins_us..).step_by(20_000).zip(delays);
        let date = |(captured, delay): (i64, &i64)| {
            let came = captured + 86_400 * SECOND + delay;
            ahead.seems(came - captured, came);
            ahead.date(captured).expect("a date") - captured - 86_400 * SECOND
        };
        captured.map(date).collect()
    }

    #[test]
    fn the_least_delay_counts_and_order_is_kept() {
        let mut ahead = ClockOffset::default();
        assert_eq!(dates(&mut ahead, 0, &[250_000, 40_000, 5_000, 300_000]), [250_000, 230_000, 210_000, 190_000]);
        assert_eq!(dates(&mut ahead, SECOND, &[60_000, 2 * SECOND, 5_000]), [5_000; 3]);
    }

    #[test]
    fn a_message_that_waited_long_is_no_clock_that_was_set() {
        let mut ahead = ClockOffset::default();
        assert_eq!(dates(&mut ahead, 0, &[1_000]), [1_000]);
        let waited: Vec<i64> = (0..100).map(|place| 2 * SECOND - 20_000 * place).collect();
        assert_eq!(dates(&mut ahead, SECOND, &waited), [1_000; 100]);
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_after_a_while_and_one_set_forward_at_once() {
        let mut ahead = ClockOffset::default();
        dates(&mut ahead, 2 * 3600 * SECOND, &[1_000]);
        let hour = 3600 * SECOND;
        let back = dates(&mut ahead, hour, &[hour + 2_000; 600]);
        assert_eq!((back[0], back[500]), (1_000, hour + 2_000));
        assert_eq!(dates(&mut ahead, 4 * hour, &[1_000]), [1_000]);
    }
}
