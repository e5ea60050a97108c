//! Whether a thread that may hang still moves.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::gettid;

/// A thread that is to be heard of again and again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: String,
    thread: AtomicI32,
    start: Instant,
    /// Milliseconds from the start, and one; none: it is not waited for.
    heard: AtomicU64,
}

const NOT_WAITED_FOR: u64 = 0;

impl Heartbeat {
    /// Of a thread that has not begun; `what` it is, for the log.
    #[must_use]
    pub fn of(what: String) -> Heartbeat {
        let (thread, heard) = (AtomicI32::new(0), AtomicU64::new(NOT_WAITED_FOR));
        Heartbeat(Arc::new(Inner { what, thread, start: Instant::now(), heard }))
    }

    /// The thread that calls this lives, and says so again soon.
    pub fn beat(&self) {
        self.0.thread.store(gettid().as_raw(), Ordering::Relaxed);
        self.0.heard.store(self.now(), Ordering::Relaxed);
    }

    /// It says nothing more, and need not.
    pub fn end(&self) {
        self.0.heard.store(NOT_WAITED_FOR, Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// It has said nothing for so long, and sleeps. One that computes lives, and one that the kernel holds up (a disk that is
    /// slow or gone) cannot be ended, so that there is no use in starting anything anew. To be asked often: whatever it does
    /// at the time is all that is seen of it.
    #[must_use]
    pub fn is_stuck(&self, limit: Duration) -> bool {
        let heard = self.0.heard.load(Ordering::Relaxed);
        if heard == NOT_WAITED_FOR || self.0.start.elapsed() < Duration::from_millis(heard) + limit {
            return false;
        }
        let is_busy = is_busy(self.0.thread.load(Ordering::Relaxed));
        if is_busy {
            // Unless it has spoken meanwhile: its end would be taken back.
            let _ = self.0.heard.compare_exchange(heard, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        }
        !is_busy
    }

    fn now(&self) -> u64 {
        self.0.start.elapsed().as_millis() as u64 + 1
    }
}

/// It computes, or is held up by the kernel. What ended without a word has failed; what cannot be asked for is no worse for it.
fn is_busy(thread: i32) -> bool {
    match fs::read_to_string(format!("/proc/self/task/{thread}/stat")) {
        // As proc(5) has it: the third field, behind the name in parentheses.
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with(['R', 'D'])),
        Err(error) => !matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ESRCH)),
    }
}
