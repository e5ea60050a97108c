//! What goes wrong again and again is counted each time, and logged now and then.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::warn;

/// The same trouble is logged this often at most.
const LOG: Duration = Duration::from_mins(1);

/// One kind of trouble.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    count: u64,
    logged: Option<Instant>,
}

impl LogThrottle {
    /// `who` has it.
    pub(super) fn log(&mut self, who: &dyn Display, what: &dyn Display) {
        self.log_of(1, who, what);
    }

    /// It has come so many times more.
    pub(super) fn log_of(&mut self, times: u64, who: &dyn Display, what: &dyn Display) {
        self.count += times;
        if self.logged.is_none_or(|at| at.elapsed() > LOG) {
            self.logged = Some(Instant::now());
            warn!("{who}: {what} ({} so far)", self.count);
        }
    }
}
