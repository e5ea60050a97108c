//! Detects threads that hang.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::gettid;

/// The heartbeat of one thread at a time. Cheap to clone.
///
/// The watchdog checks [`Heartbeat::is_stuck`], with one limit for all threads. An owner that gives up on a thread
/// sooner checks whether [`Heartbeat::due`] has passed; that limit differs from step to step.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    thread: AtomicI32,
    start: Instant,
    /// The last beat, in milliseconds from `start` plus one; [`UNWATCHED`] when the watchdog expects none.
    last: AtomicU64,
    /// Milliseconds from `start` until the owner gives up.
    due: AtomicU64,
}

const UNWATCHED: u64 = 0;

impl Heartbeat {
    /// Creates the heartbeat of a thread that has not started yet; `name` is for the log. Nothing watches it before
    /// [`Heartbeat::starts`] or the first beat.
    #[must_use]
    pub fn of(name: String) -> Heartbeat {
        let (thread, last, due) = (AtomicI32::new(0), AtomicU64::new(UNWATCHED), AtomicU64::new(0));
        Heartbeat(Arc::new(Inner { name, thread, start: Instant::now(), last, due }))
    }

    /// Makes the watchdog expect the first beat of a thread that is about to start. Otherwise a thread that stalls before
    /// its first beat goes unnoticed.
    pub fn starts(&self) {
        self.0.last.store(self.now(), Ordering::Relaxed);
    }

    /// Shows that the calling thread is alive. From the first beat on, the watchdog expects more of them.
    pub fn beat(&self) {
        self.0.thread.store(gettid().as_raw(), Ordering::Relaxed);
        self.0.last.store(self.now(), Ordering::Relaxed);
    }

    /// Tells the owner to expect the next beat within `limit`. Does not affect the watchdog.
    pub fn expect_within(&self, limit: Duration) {
        self.0.due.store((self.0.start.elapsed() + limit).as_millis() as u64, Ordering::Relaxed);
    }

    /// When the owner may give up on the thread.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.due.load(Ordering::Relaxed))
    }

    /// Stops watching this thread, until its next beat.
    pub fn end(&self) {
        self.0.last.store(UNWATCHED, Ordering::Relaxed);
    }

    /// The thread's name in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the thread has not beaten for `limit` and is asleep. Call it often: it samples the state of the thread.
    ///
    /// A thread that uses the CPU is alive. One in uninterruptible sleep, as on a slow or missing disk, cannot be
    /// killed, so a restart would not help.
    #[must_use]
    pub fn is_stuck(&self, limit: Duration) -> bool {
        let last = self.0.last.load(Ordering::Relaxed);
        if last == UNWATCHED || self.0.start.elapsed() < Duration::from_millis(last) + limit {
            return false;
        }
        let is_busy = is_busy(self.0.thread.load(Ordering::Relaxed));
        if is_busy {
            // Not a plain store, which could undo a concurrent `end`.
            let _ = self.0.last.compare_exchange(last, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        }
        !is_busy
    }

    fn now(&self) -> u64 {
        self.0.start.elapsed().as_millis() as u64 + 1
    }
}

/// Whether a thread is running or in uninterruptible sleep. A thread that no longer exists is not busy: it died without
/// calling [`Heartbeat::end`]. A state that cannot be read counts as busy.
fn is_busy(thread: i32) -> bool {
    match fs::read_to_string(format!("/proc/self/task/{thread}/stat")) {
        // The state is the third field, behind the name in parentheses (proc(5)).
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with(['R', 'D'])),
        Err(error) => !matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ESRCH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_gets_stuck(heartbeat: &Heartbeat) {
        let start = Instant::now();
        while !heartbeat.is_stuck(Duration::ZERO) {
            assert!(start.elapsed() < Duration::from_secs(10), "it never counts as stuck");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn dead_thread_that_did_not_end_its_heartbeat_is_stuck() {
        let heartbeat = Heartbeat::of("a thread".to_owned());
        heartbeat.expect_within(Duration::ZERO);
        assert!(heartbeat.due() <= Instant::now());
        assert!(!heartbeat.is_stuck(Duration::ZERO));

        let beating = heartbeat.clone();
        std::thread::spawn(move || beating.beat()).join().expect("no panic");
        assert_gets_stuck(&heartbeat);
        heartbeat.end();
        assert!(!heartbeat.is_stuck(Duration::ZERO));
    }

    #[test]
    fn thread_that_stalls_before_its_first_beat_is_stuck() {
        let heartbeat = Heartbeat::of("a thread".to_owned());
        heartbeat.starts();
        assert_gets_stuck(&heartbeat);
    }
}
