//! When something was captured, on both clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
