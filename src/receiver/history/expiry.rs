//! What is too old goes: readings after a time that is configured, minutes after two years. Hours stay for ever, and so does
//! the knowledge of which numbers were there: what comes again is known.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tracing::info;

use super::book::Book;
use crate::clock::{Stamp, WallClock};
use crate::config::Period;
use crate::store::StoreError;

/// Minutes are kept for so long.
const MINUTES_KEPT: Duration = Duration::from_hours(2 * 366 * 24);

/// Between looks at all that there is; sooner where little is kept.
const SELDOMEST: Duration = Duration::from_mins(1);
const OFTENEST: Duration = Duration::from_secs(1);

/// Between steps, so that disk and readings that come are left in peace; rows and series that a step looks at.
const PAUSE: Duration = Duration::from_millis(50);
const ROWS: i64 = 2_000;
const SERIES: usize = 200;

/// What has gone is said so often.
const LOG: Duration = Duration::from_hours(24);

/// When something is to go, and how far that is done.
pub(super) struct Expiry {
    keep: Period,
    clock: WallClock,
    pass: Option<Pass>,
    due: Instant,
    unsaid: Gone,
    said: Option<Instant>,
}

impl Expiry {
    pub(super) fn new(keep: Period) -> Expiry {
        let (clock, unsaid) = (WallClock::default(), Gone::default());
        Expiry { keep, clock, pass: None, due: Instant::now(), unsaid, said: None }
    }

    /// When there is something to be done again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Lets go of a little; gives how many readings that were.
    pub(super) fn step(&mut self, book: &mut Book) -> Result<u64, StoreError> {
        self.clock.look();
        // What is old by a clock that may be wrong may be new.
        if !self.clock.is_synchronised() {
            (self.pass, self.due) = (None, Instant::now() + OFTENEST);
            return Ok(0);
        }
        let now_us = self.clock.date(Stamp::now(), false).unix_us;
        let pass = self.pass.get_or_insert_with(|| Pass::new(now_us, self.keep));
        let gone = book.expire(pass)?;
        if let Some(gone) = gone {
            self.unsaid.readings += gone.readings;
            self.unsaid.minutes += gone.minutes;
            self.due = Instant::now() + PAUSE;
            return Ok(gone.readings);
        }
        self.pass = None;
        self.due = Instant::now() + (self.keep.0 / 100).clamp(OFTENEST, SELDOMEST);
        self.say();
        Ok(0)
    }

    fn say(&mut self) {
        let Gone { readings, minutes } = self.unsaid;
        if readings + minutes > 0 && self.said.is_none_or(|said| said.elapsed() > LOG) {
            let keep = self.keep;
            info!(
                "history: {readings} readings older than {keep} have gone, and {minutes} minutes older than two years"
            );
            (self.unsaid, self.said) = (Gone::default(), Some(Instant::now()));
        }
    }
}

/// So much has gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    readings: u64,
    minutes: u64,
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
    fn new(now_us: i64, keep: Period) -> Pass {
        let before = |kept: Duration| now_us.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let (readings_before_us, minutes_before_us) = (before(keep.0), before(MINUTES_KEPT));
        Pass { readings_before_us, minutes_before_us, series: i64::MIN, behind: FIRST }
    }

    /// A small transaction; none: it is done.
    pub(super) fn step(&mut self, connection: &mut Connection) -> Result<Option<Gone>, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = Gone::default();
        for _ in 0..SERIES {
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
            let is_done = last.is_none() && minutes < ROWS as u64;
            if is_done {
                self.series = series;
            }
            if !is_done || gone.readings + gone.minutes >= ROWS as u64 {
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
        let given = (series, at_us, start, seq, self.readings_before_us, ROWS - 1);
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
        let given = (series, self.minutes_before_us, ROWS);
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
