//! When something was captured, on both clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// A moment on the wall clock, for the record, and on the monotonic clock, for its age: a wall clock that is set
/// meanwhile (a Pi has none of its own) must not make a frame old or young.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    unix_us: i64,
    monotonic: Instant,
}

impl Stamp {
    /// This moment.
    #[must_use]
    pub fn now() -> Stamp {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp { unix_us: since_1970.as_micros() as i64, monotonic: Instant::now() }
    }

    /// The moment `age` ago.
    #[must_use]
    pub fn ago(age: Duration) -> Stamp {
        let now = Stamp::now();
        let monotonic = now.monotonic.checked_sub(age).unwrap_or(now.monotonic);
        Stamp { unix_us: now.unix_us - age.as_micros() as i64, monotonic }
    }

    /// The moment at which the system's monotonic clock (`CLOCK_MONOTONIC`) showed this, as drivers and other programs of
    /// this machine tell it; this moment, when that is yet to come.
    #[must_use]
    pub fn at(monotonic: Duration) -> Stamp {
        match clock().checked_sub(monotonic) {
            Some(age) => Stamp::ago(age),
            None => Stamp::now(),
        }
    }

    /// What the system's monotonic clock showed at this moment.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        clock().saturating_sub(self.age())
    }

    /// Microseconds since 1970, UTC, as the wall clock had it.
    #[must_use]
    pub fn unix_us(&self) -> i64 {
        self.unix_us
    }

    /// How long before `later` it was; nothing when it was not.
    #[must_use]
    pub fn until(&self, later: Stamp) -> Duration {
        later.monotonic.saturating_duration_since(self.monotonic)
    }

    /// How long ago it was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.monotonic.elapsed()
    }
}

/// What the system's monotonic clock shows: nothing of a system without one.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
