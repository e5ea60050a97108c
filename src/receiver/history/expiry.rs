//! Deletes expired rows: readings after `keep`, those of unconfirmed labels after a week at most, and minute aggregates
//! after two years. Hour aggregates stay. The sequence numbers of deleted readings stay too, so that a resent reading
//! is recognised.

use std::time::{Duration, Instant};

use tracing::info;

use super::database::Database;
use super::expiry_pass::{Deleted, Pass};
use crate::clock::{Stamp, WallClock};
use crate::config::Period;
use crate::store::StoreError;

/// The interval between passes is a hundredth of `keep`, within these limits.
const MAX_INTERVAL: Duration = Duration::from_mins(1);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Pause between steps, so that the disk can serve incoming readings.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Interval of the log line about deleted rows.
const LOG_INTERVAL: Duration = Duration::from_hours(24);

/// The schedule of passes, and the current one.
pub(super) struct Expiry {
    keep: Period,
    clock: WallClock,
    pass: Option<Pass>,
    due: Instant,
    /// Deleted since the last log line.
    unlogged: Deleted,
    logged: Option<Instant>,
}

impl Expiry {
    pub(super) fn new(keep: Period) -> Expiry {
        let (clock, unlogged) = (WallClock::default(), Deleted::default());
        Expiry { keep, clock, pass: None, due: Instant::now(), unlogged, logged: None }
    }

    /// When to call [`Expiry::step`] next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Deletes a few rows; returns the number of readings deleted.
    pub(super) fn step(&mut self, database: &mut Database) -> Result<u64, StoreError> {
        self.clock.update();
        // If the clock is wrong, new readings may look old.
        if !self.clock.is_synchronised() {
            (self.pass, self.due) = (None, Instant::now() + MIN_INTERVAL);
            return Ok(0);
        }
        let now_us = self.clock.date(Stamp::now(), false).unix_us;
        let pass = self.pass.get_or_insert_with(|| Pass::new(now_us, self.keep));
        let deleted = database.expire(pass)?;
        if let Some(deleted) = deleted {
            self.unlogged.readings += deleted.readings;
            self.unlogged.minutes += deleted.minutes;
            self.due = Instant::now() + STEP_PAUSE;
            return Ok(deleted.readings);
        }
        let kept = i64::try_from(self.keep.0.as_micros()).unwrap_or(i64::MAX);
        if database.expire_unconfirmed(now_us.saturating_sub(kept))? {
            self.due = Instant::now() + STEP_PAUSE;
            return Ok(0);
        }
        self.pass = None;
        self.due = Instant::now() + (self.keep.0 / 100).clamp(MIN_INTERVAL, MAX_INTERVAL);
        self.log();
        Ok(0)
    }

    fn log(&mut self) {
        let Deleted { readings, minutes } = self.unlogged;
        if readings + minutes > 0 && self.logged.is_none_or(|logged| logged.elapsed() > LOG_INTERVAL) {
            let keep = self.keep;
            info!(
                "history: deleted {readings} readings older than {keep} and {minutes} minute aggregates older than two years"
            );
            (self.unlogged, self.logged) = (Deleted::default(), Some(Instant::now()));
        }
    }
}
