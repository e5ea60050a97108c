//! When something was captured, on both clocks, and whether the wall clock is right.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc::{TIME_ERROR, adjtimex, timex};
use nix::time::{ClockId, clock_gettime};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// A moment on the wall clock, for the record, and on the monotonic clock, for its age. Setting the wall clock, as
/// happens on a Pi after every boot, must not change the age of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    unix_us: i64,
    monotonic: Instant,
}

impl Stamp {
    /// The current moment.
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

    /// The moment at which the system's monotonic clock (`CLOCK_MONOTONIC`) showed this time, as drivers and other
    /// programs on this machine report it. A time in the future becomes the current moment.
    #[must_use]
    pub fn at(monotonic: Duration) -> Stamp {
        match monotonic_clock().checked_sub(monotonic) {
            Some(age) => Stamp::ago(age),
            None => Stamp::now(),
        }
    }

    /// The time on the system's monotonic clock at this moment.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        monotonic_clock().saturating_sub(self.age())
    }

    /// The wall-clock time of the monotonic clock's zero, in microseconds since 1970.
    #[must_use]
    pub fn zero_us(&self) -> i64 {
        self.unix_us - self.monotonic().as_micros() as i64
    }

    /// Microseconds since 1970, UTC, by the wall clock at that moment.
    #[must_use]
    pub fn unix_us(&self) -> i64 {
        self.unix_us
    }

    /// The time from this moment to `later`; zero if `later` is not later.
    #[must_use]
    pub fn until(&self, later: Stamp) -> Duration {
        later.monotonic.saturating_duration_since(self.monotonic)
    }

    /// The time since this moment.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.monotonic.elapsed()
    }
}

/// The time on the system's monotonic clock; zero on a system without one.
fn monotonic_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// Whether this machine's wall clock is right. A Pi has no real-time clock and boots with a wrong date. Once the
/// network has set the clock, earlier captures can be dated, too.
#[derive(Debug)]
pub struct WallClock {
    synchronised: AtomicBool,
    /// The wall-clock time of the monotonic clock's zero, in microseconds since 1970.
    zero_us: AtomicI64,
}

/// Stands for a zero that is not known yet.
const UNKNOWN: i64 = i64::MIN;

/// The best known time of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Microseconds since 1970, UTC.
    pub unix_us: i64,
    /// Whether a synchronised clock gave this time.
    pub synchronised: bool,
}

impl Default for WallClock {
    /// Reads the clock's current state.
    fn default() -> WallClock {
        let clock = WallClock { synchronised: AtomicBool::new(false), zero_us: AtomicI64::new(UNKNOWN) };
        clock.update();
        clock
    }
}

impl WallClock {
    /// Reads the clock's current state. Call it about once a second.
    pub fn update(&self) {
        let synchronised = is_synchronised();
        self.synchronised.store(synchronised, Ordering::Relaxed);
        if synchronised {
            self.zero_us.store(Stamp::now().zero_us(), Ordering::Relaxed);
        }
    }

    /// Whether the clock was synchronised at the last update.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        self.synchronised.load(Ordering::Relaxed)
    }

    /// The wall-clock time of the monotonic clock's zero, in microseconds since 1970, when the clock was last
    /// synchronised.
    #[must_use]
    pub fn zero_us(&self) -> Option<i64> {
        let zero = self.zero_us.load(Ordering::Relaxed);
        (zero != UNKNOWN).then_some(zero)
    }

    /// The date of a capture in this boot of the machine; `synchronised` is the state of the clock at that time.
    #[must_use]
    pub fn date(&self, captured: Stamp, synchronised: bool) -> Date {
        let monotonic_us = captured.monotonic().as_micros() as i64;
        Date::of(captured.unix_us(), synchronised, monotonic_us, self.zero_us())
    }
}

impl Date {
    /// The date of a capture at `unix_us` by a clock that was `synchronised` or not, and at `monotonic_us` by the
    /// monotonic clock. `zero_us` is the latter's zero on a synchronised clock, if there ever was one.
    #[must_use]
    pub fn of(unix_us: i64, synchronised: bool, monotonic_us: i64, zero_us: Option<i64>) -> Date {
        match zero_us {
            Some(zero) if !synchronised => Date { unix_us: zero.saturating_add(monotonic_us), synchronised: true },
            _ => Date { unix_us, synchronised },
        }
    }
}

/// Asks the kernel. Time daemons set its flag, and setting the clock by hand clears it.
fn is_synchronised() -> bool {
    // SAFETY: all fields are numbers, so zeros are valid; without modes the call only writes to the struct.
    let state = unsafe { adjtimex(&mut std::mem::zeroed::<timex>()) };
    // The call could also set the clock, so a sandboxed service may not make it. Then another service publishes the
    // flag.
    if state < 0 { Path::new(FLAG_DIR).join(FLAG).exists() } else { state != TIME_ERROR }
}

/// The `RuntimeDirectory=` of the service that runs [`publish`].
const FLAG_DIR: &str = "/run/watchpost-clock";

/// The file that exists while the clock is synchronised.
const FLAG: &str = "synchronised";

/// Publishes whether the clock is synchronised, for services that may not ask the kernel: a file exists in this
/// service's runtime directory while it is. Removes the file on shutdown.
///
/// # Errors
/// When the file cannot be created or removed.
pub async fn publish(shutdown: CancellationToken) -> io::Result<()> {
    let dir = std::env::var_os("RUNTIME_DIRECTORY").map_or_else(|| PathBuf::from(FLAG_DIR), PathBuf::from);
    let flag = dir.join(FLAG);
    let mut seconds = interval(Duration::from_secs(1));
    while shutdown.run_until_cancelled(seconds.tick()).await.is_some() {
        set_flag(&flag, is_synchronised())?;
    }
    set_flag(&flag, false)
}

fn set_flag(flag: &Path, is_set: bool) -> io::Result<()> {
    match (is_set, flag.try_exists()?) {
        (true, false) => File::create(flag).map(drop),
        (false, true) => fs::remove_file(flag),
        _ => Ok(()),
    }
}
