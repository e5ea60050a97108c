//! When something was captured, on both clocks, and whether they are right.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc::{TIME_ERROR, adjtimex, timex};
use nix::time::{ClockId, clock_gettime};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

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
        match monotonic_clock().checked_sub(monotonic) {
            Some(age) => Stamp::ago(age),
            None => Stamp::now(),
        }
    }

    /// What the system's monotonic clock showed at this moment.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        monotonic_clock().saturating_sub(self.age())
    }

    /// What the wall clock would have shown when the monotonic clock showed zero, in microseconds since 1970.
    #[must_use]
    pub fn zero_us(&self) -> i64 {
        self.unix_us - self.monotonic().as_micros() as i64
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
fn monotonic_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// Whether this machine's wall clock is right. A Pi has none that runs while it is off: it begins in the past, until another
/// clock sets it over the network, and what was captured before is dated right only then.
#[derive(Debug)]
pub struct WallClock {
    synchronised: AtomicBool,
    /// Since 1970, of the moment at which the monotonic clock showed zero.
    zero_us: AtomicI64,
}

/// A moment in no boot of any machine.
const UNKNOWN: i64 = i64::MIN;

/// When something was, as well as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Microseconds since 1970, UTC.
    pub unix_us: i64,
    /// It is by a clock that was right.
    pub synchronised: bool,
}

impl Default for WallClock {
    /// As it is now.
    fn default() -> WallClock {
        let clock = WallClock { synchronised: AtomicBool::new(false), zero_us: AtomicI64::new(UNKNOWN) };
        clock.update();
        clock
    }
}

impl WallClock {
    /// Takes in how it is now. To be called often: each second, say.
    pub fn update(&self) {
        let synchronised = is_synchronised();
        self.synchronised.store(synchronised, Ordering::Relaxed);
        if synchronised {
            self.zero_us.store(Stamp::now().zero_us(), Ordering::Relaxed);
        }
    }

    /// It was when it was last looked at.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        self.synchronised.load(Ordering::Relaxed)
    }

    /// Microseconds since 1970 of the moment at which the monotonic clock showed zero, by the wall clock when it was last
    /// synchronised.
    #[must_use]
    pub fn zero_us(&self) -> Option<i64> {
        let zero = self.zero_us.load(Ordering::Relaxed);
        (zero != UNKNOWN).then_some(zero)
    }

    /// When something was that was captured in this boot of the machine, by a clock that was `synchronised` then or not.
    #[must_use]
    pub fn date(&self, captured: Stamp, synchronised: bool) -> Date {
        let monotonic_us = captured.monotonic().as_micros() as i64;
        Date::of(captured.unix_us(), synchronised, monotonic_us, self.zero_us())
    }
}

impl Date {
    /// Of what was captured at `unix_us` by a clock that was `synchronised` then or not, and at `monotonic_us` by the
    /// monotonic clock, whose zero was at `zero_us` by a clock that was right, if there ever was one.
    #[must_use]
    pub fn of(unix_us: i64, synchronised: bool, monotonic_us: i64, zero_us: Option<i64>) -> Date {
        match zero_us {
            Some(zero) if !synchronised => Date { unix_us: zero.saturating_add(monotonic_us), synchronised: true },
            _ => Date { unix_us, synchronised },
        }
    }
}

/// As the kernel has it: whoever sets the clock by another one tells it so, and setting it by hand untells it.
fn is_synchronised() -> bool {
    // SAFETY: all of its fields are numbers, for which zero is one; with no modes it is only written to.
    let state = unsafe { adjtimex(&mut std::mem::zeroed::<timex>()) };
    // The call can set the clock, too, and a service that must never do that may not ask either: then somebody else does.
    if state < 0 { Path::new(FLAG_DIR).join(FLAG).exists() } else { state != TIME_ERROR }
}

/// Where [`tell`] is a service, its `RuntimeDirectory=`.
const FLAG_DIR: &str = "/run/watchpost-clock";

/// The file that is there while the clock is synchronised.
const FLAG: &str = "synchronised";

/// Tells those who may not ask the kernel whether the clock is synchronised, by a file in the service's runtime directory, until
/// it is told to end; then there is no such file.
///
/// # Errors
/// When the file cannot be made or taken away.
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
