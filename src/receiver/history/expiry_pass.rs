//! One pass over all series that deletes expired readings and minutes, in small transactions.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use crate::config::Period;
use crate::store::StoreError;

/// How long minutes are kept. Hours are kept forever.
const KEEP_MINUTES: Duration = Duration::from_hours(2 * 366 * 24);

/// Rows of one series, and series, that one step looks at.
const ROWS_PER_STEP: i64 = 2_000;
const SERIES_PER_STEP: usize = 200;

/// How many rows were deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deleted {
    pub(super) readings: u64,
    pub(super) minutes: u64,
}

/// A pass over all series.
pub(super) struct Pass {
    readings_before_us: i64,
    minutes_before_us: i64,
    /// The last series that is complete.
    series: i64,
    /// In the next series, the last reading that was examined.
    cursor: Key,
}

/// Time, start and number of a reading.
type Key = (i64, i64, i64);

const FIRST: Key = (i64::MIN, i64::MIN, i64::MIN);

impl Pass {
    pub(super) fn new(now_us: i64, keep: Period) -> Pass {
        let before = |kept: Duration| now_us.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let (readings_before_us, minutes_before_us) = (before(keep.0), before(KEEP_MINUTES));
        Pass { readings_before_us, minutes_before_us, series: i64::MIN, cursor: FIRST }
    }

    /// Deletes a few rows in one transaction; `None` when the pass is complete.
    pub(super) fn step(&mut self, connection: &mut Connection) -> Result<Option<Deleted>, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut deleted = Deleted::default();
        for _ in 0..SERIES_PER_STEP {
            let next = "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT 1";
            let next = transaction.prepare_cached(next)?.query_row([self.series], |row| row.get(0)).optional()?;
            let Some(series) = next else {
                transaction.commit()?;
                return Ok((deleted.readings + deleted.minutes > 0).then_some(deleted));
            };
            let (readings, last) = self.expire_readings(&transaction, series)?;
            let minutes = self.expire_minutes(&transaction, series)?;
            deleted.readings += readings;
            deleted.minutes += minutes;
            self.cursor = last.unwrap_or(FIRST);
            let is_complete = last.is_none() && minutes < ROWS_PER_STEP as u64;
            if is_complete {
                self.series = series;
            }
            if !is_complete || deleted.readings + deleted.minutes >= ROWS_PER_STEP as u64 {
                break;
            }
        }
        transaction.commit()?;
        Ok(Some(deleted))
    }

    /// Returns how many readings were deleted, and the last one examined if there are more.
    fn expire_readings(&self, transaction: &Transaction<'_>, series: i64) -> Result<(u64, Option<Key>), StoreError> {
        let (at_us, start, seq) = self.cursor;
        let last = "SELECT at_us, start, seq FROM readings
                    WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND at_us < ?
                    ORDER BY at_us, start, seq LIMIT 1 OFFSET ?";
        let given = (series, at_us, start, seq, self.readings_before_us, ROWS_PER_STEP - 1);
        let key = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let last = transaction.prepare_cached(last)?.query_row(given, key).optional()?;
        // The age of readings with `dated` 2 is unknown, so they stay.
        let delete = "DELETE FROM readings
                      WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND (at_us, start, seq) <= (?, ?, ?)
                          AND dated <> 2";
        let (end_us, end_start, end_seq) =
            last.unwrap_or((self.readings_before_us.saturating_sub(1), i64::MAX, i64::MAX));
        let given = (series, at_us, start, seq, end_us, end_start, end_seq);
        let deleted = transaction.prepare_cached(delete)?.execute(given)? as u64;
        if deleted > 0 {
            mark_expired(transaction, "readings", self.readings_before_us)?;
        }
        Ok((deleted, last))
    }

    fn expire_minutes(&self, transaction: &Transaction<'_>, series: i64) -> Result<u64, StoreError> {
        let delete = "DELETE FROM minutes WHERE series = ?1 AND at_us < coalesce(
                          (SELECT at_us FROM minutes WHERE series = ?1 AND at_us < ?2 ORDER BY at_us LIMIT 1 OFFSET ?3),
                          ?2)";
        let given = (series, self.minutes_before_us, ROWS_PER_STEP);
        let deleted = transaction.prepare_cached(delete)?.execute(given)? as u64;
        if deleted > 0 {
            mark_expired(transaction, "minutes", self.minutes_before_us)?;
        }
        Ok(deleted)
    }
}

/// Records that the table is incomplete before this time, so that readers do not take the rest for everything.
fn mark_expired(transaction: &Transaction<'_>, table: &str, before_us: i64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO expired(name, before_us) VALUES (?, ?)
                  ON CONFLICT DO UPDATE SET before_us = max(before_us, excluded.before_us)";
    transaction.prepare_cached(upsert)?.execute((table, before_us))?;
    Ok(())
}
