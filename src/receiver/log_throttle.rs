//! Counts every occurrence of a problem, and logs it now and then.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::warn;

/// How often one problem is logged at most.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// One kind of problem.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    count: u64,
    logged: Option<Instant>,
}

impl LogThrottle {
    /// Whether the next occurrence would only be counted.
    pub(super) fn is_active(&self) -> bool {
        self.logged.is_some_and(|at| at.elapsed() <= LOG_INTERVAL)
    }

    /// Counts an occurrence; `who` has the problem.
    pub(super) fn log(&mut self, who: &dyn Display, what: &dyn Display) {
        self.log_of(1, who, what);
    }

    /// Counts several occurrences.
    pub(super) fn log_of(&mut self, times: u64, who: &dyn Display, what: &dyn Display) {
        self.count += times;
        if !self.is_active() {
            self.logged = Some(Instant::now());
            warn!("{who}: {what} ({} so far)", self.count);
        }
    }
}
