//! Whether a thread that may hang still moves.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::gettid;

/// A thread that is to be heard of again and again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Life(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: String,
    thread: AtomicI32,
    start: Instant,
    /// Milliseconds from the start, and one; none: it is not waited for.
    heard: AtomicU64,
}

const NOT_WAITED_FOR: u64 = 0;

impl Life {
    /// Of a thread that has not begun; `what` it is, for the log.
    #[must_use]
    pub fn of(what: String) -> Life {
        let (thread, heard) = (AtomicI32::new(0), AtomicU64::new(NOT_WAITED_FOR));
        Life(Arc::new(Inner { what, thread, start: Instant::now(), heard }))
    }

    /// The thread that calls this lives, and says so again soon.
    pub fn beat(&self) {
        self.0.thread.store(gettid().as_raw(), Ordering::Relaxed);
        self.hear();
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
        match state_of(self.0.thread.load(Ordering::Relaxed)) {
            Some('R' | 'D') => {
                self.hear();
                false
            }
            Some(_) => true,
            // It has just ended, and whoever waits for it knows.
            None => false,
        }
    }

    fn hear(&self) {
        self.0.heard.store(self.0.start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }
}

/// As proc(5) has it: the third field, behind the name in parentheses.
fn state_of(thread: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
