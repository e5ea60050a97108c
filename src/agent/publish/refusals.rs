//! Readings that the receiver refused, because it has reached a limit. They stay in the spool and are sent again, but
//! rarely, because the limit may hold for months.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::wire::Limit;

/// The delay until refused readings are sent again, at first and at most. It doubles each time.
const MIN_DELAY: Duration = Duration::from_mins(1);
const MAX_DELAY: Duration = Duration::from_hours(1);

/// How long the answers to repeated readings may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most ranges of numbers to remember.
const MAX_RANGES: usize = 10_000;

/// The refused readings of one link.
#[derive(Debug)]
pub(super) struct Refusals {
    by_boot: BTreeMap<Name, Ranges>,
    ranges: usize,
    count: u64,
    limit: Limit,
    delay: Duration,
    retry_at: Option<Instant>,
    /// How many readings were sent again last, and when.
    repeated: Option<(u64, Instant)>,
}

impl Default for Refusals {
    fn default() -> Refusals {
        let (by_boot, limit, delay) = (BTreeMap::new(), Limit::Other, MIN_DELAY);
        Refusals { by_boot, ranges: 0, count: 0, limit, delay, retry_at: None, repeated: None }
    }
}

impl Refusals {
    /// Adds readings that were sent and refused, each once. Returns false if they do not fit.
    pub(super) fn add(&mut self, boot: &Name, seqs: SeqRange, limit: Limit) -> bool {
        if self.ranges >= MAX_RANGES {
            return false;
        }
        let refused = self.by_boot.entry(boot.clone()).or_default();
        let before = refused.pieces();
        refused.insert(seqs);
        self.ranges = (self.ranges + refused.pieces()).saturating_sub(before);
        self.count += seqs.last - seqs.first + 1;
        self.limit = limit;
        self.retry_at.get_or_insert_with(|| Instant::now() + self.delay);
        true
    }

    /// When to send the refused readings again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Returns the refused readings if it is time to send them again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Name, SeqRange)> {
        if self.retry_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.delay = (self.delay * 2).min(MAX_DELAY);
        self.repeated = Some((self.count, now));
        (self.retry_at, self.ranges, self.count) = (None, 0, 0);
        let due = std::mem::take(&mut self.by_boot);
        due.iter().flat_map(|(boot, ranges)| ranges.iter().map(|range| (boot.clone(), range))).collect()
    }

    /// Returns how many readings the receiver cannot keep, and why; `None` if it keeps all. The number is rounded down to a
    /// power of ten, so that the text changes rarely.
    pub(super) fn text(&self) -> Option<String> {
        let repeated = self.repeated.filter(|(_, at)| at.elapsed() < ANSWER_TIMEOUT).map_or(0, |(count, _)| count);
        let digits = self.count.max(repeated).checked_ilog10()?;
        let (count, cause) = (10_u64.pow(digits), cause(self.limit));
        Some(format!(
            "connected, but the receiver cannot keep {count} or more readings: {cause}; they stay in the spool"
        ))
    }
}

/// Why the receiver refused readings.
pub(super) fn cause(limit: Limit) -> &'static str {
    match limit {
        Limit::SeriesLimit => "it has its limit of series for this agent (its [history] max_series_per_agent)",
        Limit::TotalSeriesLimit => "it has its limit of series (its [history] max_series)",
        Limit::GapLimit => "their numbers have too many gaps",
        Limit::Other => "it has reached a limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_readings_are_due_once_per_delay() {
        let (mut refusals, boot, start) = (Refusals::default(), Name::nearest("b"), Instant::now());
        assert_eq!(refusals.text(), None);
        assert!(refusals.add(&boot, SeqRange::new(1, 40), Limit::SeriesLimit));
        assert!(refusals.add(&boot, SeqRange::new(41, 45), Limit::SeriesLimit));
        assert!(refusals.take_due(start + MIN_DELAY / 2).is_empty());
        assert!(refusals.text().is_some_and(|text| text.contains("cannot keep 10 or more readings: it has its limit")));
        let due = refusals.take_due(start + MIN_DELAY * 2);
        assert_eq!(due, [(boot.clone(), SeqRange::new(1, 45))]);
        assert!(refusals.take_due(start + MAX_DELAY).is_empty());
        assert!(refusals.add(&boot, SeqRange::new(1, 1), Limit::SeriesLimit));
        assert!(refusals.retry_at().is_some_and(|at| at > start + MIN_DELAY * 3 / 2));
        (0..2 * MAX_RANGES as u64).for_each(|n| {
            refusals.add(&boot, SeqRange::new(10 * n, 10 * n), Limit::GapLimit);
        });
        assert!(refusals.ranges <= MAX_RANGES);
    }
}
