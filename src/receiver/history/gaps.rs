//! Gaps of a series: times without a reading, which no line may cross.

use super::aggregates::Bucket;

/// A row of a table: its time in microseconds, and its reading or a summary of its readings.
pub(super) type Row = (i64, Bucket);

/// A series has a gap where it is silent for more than this many of its usual intervals, and for longer than this time.
/// Lines that a board prints at once are only microseconds apart.
const INTERVALS: i64 = 3;
const MIN_GAP_US: i64 = 1_000_000;

/// The usual interval is the median of this many on either side of a gap, because a board's rate may change.
pub(super) const NEIGHBOURS: usize = 8;

/// What counts as a gap in a chart. All times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct GapRule {
    /// The time that a row summarises; 0 if each is one reading.
    pub(super) row: i64,
    /// The time that a point of the chart covers: no shorter gap shows.
    pub(super) step: i64,
    /// The age at which the series' newest reading is stale, if that is known.
    pub(super) stale_after: Option<i64>,
}

impl GapRule {
    /// Whether there is a gap before the row at this index of `rows`, which are sorted by time.
    pub(super) fn is_before(&self, rows: &[Row], index: usize) -> bool {
        let Some(last) = index.checked_sub(1) else { return false };
        let time = rows[index].0.saturating_sub(rows[last].0).saturating_add(self.row);
        if time < self.step {
            return false;
        }
        let usual_us = self.usual_us(rows, last);
        // A minute with half of the usual readings has a gap of half a minute, somewhere.
        let covered = |row: usize| usual_us.unwrap_or(0).saturating_mul(rows[row].1.count).min(self.row);
        let silence = time.saturating_sub(covered(last)).saturating_sub(covered(index));
        silence >= self.step && silence > self.limit_us(usual_us)
    }

    /// The longest silence that is not a gap. A series whose intervals exceed `stale_after` is measured by its intervals.
    fn limit_us(&self, usual_us: Option<i64>) -> i64 {
        let few = usual_us.map(|usual| usual.saturating_mul(INTERVALS).max(MIN_GAP_US));
        let is_longer = |stale_after: &i64| usual_us.is_none_or(|usual| stale_after.saturating_sub(usual) > usual / 4);
        [few, self.stale_after.filter(is_longer)].into_iter().flatten().min().unwrap_or(MIN_GAP_US)
    }

    /// The median interval around the rows `last` and `last + 1`, without the one between them.
    fn usual_us(&self, rows: &[Row], last: usize) -> Option<i64> {
        let before = last.saturating_sub(NEIGHBOURS)..last;
        let after = last + 1..rows.len().min(last + 1 + NEIGHBOURS);
        let mut intervals: Vec<i64> = before.chain(after).filter_map(|row| self.interval_us(rows, row)).collect();
        let middle = intervals.len().checked_sub(1)? / 2;
        Some(*intervals.select_nth_unstable(middle).1)
    }

    /// The mean interval between a row's readings and to the next row.
    fn interval_us(&self, rows: &[Row], row: usize) -> Option<i64> {
        let (at_us, bucket) = rows[row];
        let time = match rows.get(row + 1) {
            Some((next_us, _)) => next_us.saturating_sub(at_us),
            None if self.row > 0 => self.row,
            None => return None,
        };
        Some(time / bucket.count.max(1))
    }
}
