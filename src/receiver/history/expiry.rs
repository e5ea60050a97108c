//! What is too old goes: readings after a time that is configured, minutes after two years. Hours stay for ever, and so does
//! the knowledge of which numbers were there: what comes again is known.

use std::time::{Duration, Instant};

use tracing::info;

use super::database::Database;
use super::expiry_pass::{Gone, Pass};
use crate::clock::{Stamp, WallClock};
use crate::config::Period;
use crate::store::StoreError;

/// Between looks at all that there is; sooner where little is kept.
const SELDOMEST: Duration = Duration::from_mins(1);
const OFTENEST: Duration = Duration::from_secs(1);

/// Pause between steps, so that the disk can serve incoming readings.
const PAUSE: Duration = Duration::from_millis(50);

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
    pub(super) fn step(&mut self, database: &mut Database) -> Result<u64, StoreError> {
        self.clock.update();
        // What is old by a clock that may be wrong may be new.
        if !self.clock.is_synchronised() {
            (self.pass, self.due) = (None, Instant::now() + OFTENEST);
            return Ok(0);
        }
        let now_us = self.clock.date(Stamp::now(), false).unix_us;
        let pass = self.pass.get_or_insert_with(|| Pass::new(now_us, self.keep));
        let gone = database.expire(pass)?;
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
