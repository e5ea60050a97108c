//! Answers of a camera that stay the same until a person changes something.

use std::time::Duration;

/// How long to wait after a refused user or password: many cameras lock an account after a few attempts.
const LOGIN_RETRY_DELAY: Duration = Duration::from_mins(5);

/// How long to wait after any other refusal.
const RETRY_DELAY: Duration = Duration::from_mins(1);

/// A reason why a camera sends no pictures, and how long to wait before the next attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Refusal {
    cause: String,
    pub(super) retry_delay: Duration,
}

impl Refusal {
    /// The camera does not accept the user and password, or this user may not watch.
    pub(super) fn login(code: u16) -> Refusal {
        Refusal { cause: format!("user or password refused ({code})"), retry_delay: LOGIN_RETRY_DELAY }
    }

    /// The camera wants a user and a password, and the address has none.
    pub(super) fn no_login(code: u16) -> Refusal {
        let cause = format!("needs a user and a password ({code}); write them into the address, before the host");
        Refusal { cause, retry_delay: LOGIN_RETRY_DELAY }
    }

    pub(super) fn no_stream(code: u16) -> Refusal {
        Refusal::of(format!("no such stream ({code})"))
    }

    pub(super) fn of(cause: impl Into<String>) -> Refusal {
        Refusal { cause: cause.into(), retry_delay: RETRY_DELAY }
    }

    /// The refusal and when the next attempt follows, for the status.
    pub(super) fn status(&self) -> String {
        format!("{}; retrying every {} min", self.cause, self.retry_delay.as_secs() / 60)
    }
}
