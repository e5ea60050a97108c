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

/// So much has gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    pub(super) readings: u64,
    pub(super) minutes: u64,
}

/// Once through all series.
pub(super) struct Pass {
    readings_before_us: i64,
    minutes_before_us: i64,
    /// The last series that is done.
    series: i64,
    /// Of the next: the last reading that was looked at (when, start and number).
    behind: Key,
}

type Key = (i64, i64, i64);

const FIRST: Key = (i64::MIN, i64::MIN, i64::MIN);

impl Pass {
    pub(super) fn new(now_us: i64, keep: Period) -> Pass {
        let before = |kept: Duration| now_us.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let (readings_before_us, minutes_before_us) = (before(keep.0), before(KEEP_MINUTES));
        Pass { readings_before_us, minutes_before_us, series: i64::MIN, behind: FIRST }
    }

    /// A small transaction; none: it is done.
    pub(super) fn step(&mut self, connection: &mut Connection) -> Result<Option<Gone>, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = Gone::default();
        for _ in 0..SERIES_PER_STEP {
            let next = "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT 1";
            let next = transaction.prepare_cached(next)?.query_row([self.series], |row| row.get(0)).optional()?;
            let Some(series) = next else {
                transaction.commit()?;
                return Ok((gone.readings + gone.minutes > 0).then_some(gone));
            };
            let (readings, last) = self.expire_readings(&transaction, series)?;
            let minutes = self.expire_minutes(&transaction, series)?;
            gone.readings += readings;
            gone.minutes += minutes;
            self.behind = last.unwrap_or(FIRST);
            let is_done = last.is_none() && minutes < ROWS_PER_STEP as u64;
            if is_done {
                self.series = series;
            }
            if !is_done || gone.readings + gone.minutes >= ROWS_PER_STEP as u64 {
                break;
            }
        }
        transaction.commit()?;
        Ok(Some(gone))
    }

    /// Gives how many have gone, and the last that was looked at if there are more.
    fn expire_readings(&self, transaction: &Transaction<'_>, series: i64) -> Result<(u64, Option<Key>), StoreError> {
        let (at_us, start, seq) = self.behind;
        let last = "SELECT at_us, start, seq FROM readings
                    WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND at_us < ?
                    ORDER BY at_us, start, seq LIMIT 1 OFFSET ?";
        let given = (series, at_us, start, seq, self.readings_before_us, ROWS_PER_STEP - 1);
        let key = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let last = transaction.prepare_cached(last)?.query_row(given, key).optional()?;
        // Of those that nobody's clock dated it is not known how old they are.
        let delete = "DELETE FROM readings
                      WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND (at_us, start, seq) <= (?, ?, ?)
                          AND dated <> 2";
        let (end_us, end_start, end_seq) =
            last.unwrap_or((self.readings_before_us.saturating_sub(1), i64::MAX, i64::MAX));
        let given = (series, at_us, start, seq, end_us, end_start, end_seq);
        let gone = transaction.prepare_cached(delete)?.execute(given)? as u64;
        if gone > 0 {
            note(transaction, "readings", self.readings_before_us)?;
        }
        Ok((gone, last))
    }

    fn expire_minutes(&self, transaction: &Transaction<'_>, series: i64) -> Result<u64, StoreError> {
        let delete = "DELETE FROM minutes WHERE series = ?1 AND at_us < coalesce(
                          (SELECT at_us FROM minutes WHERE series = ?1 AND at_us < ?2 ORDER BY at_us LIMIT 1 OFFSET ?3),
                          ?2)";
        let given = (series, self.minutes_before_us, ROWS_PER_STEP);
        let gone = transaction.prepare_cached(delete)?.execute(given)? as u64;
        if gone > 0 {
            note(transaction, "minutes", self.minutes_before_us)?;
        }
        Ok(gone)
    }
}

/// Who reads must not take what is left for all that was there.
fn note(transaction: &Transaction<'_>, table: &str, before_us: i64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO expired(name, before_us) VALUES (?, ?)
                  ON CONFLICT DO UPDATE SET before_us = max(before_us, excluded.before_us)";
    transaction.prepare_cached(upsert)?.execute((table, before_us))?;
    Ok(())
}
