//! What the service manager is told: that all has begun, how it goes, and that it lives (`sd_notify(3)`). Without one, as at a
//! terminal, nothing.

mod heartbeat;

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::error;

pub use heartbeat::Heartbeat;

/// How often a thread that waits for work shows that it lives.
pub const BEAT: Duration = Duration::from_secs(5);

/// A thread that was not heard for so many watchdog intervals, and so many beats, is stuck.
const PATIENCE: u32 = 4;

/// The service manager, as whoever runs a service knows it.
#[derive(Debug)]
pub struct Manager {
    is_ready: bool,
    status: String,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    /// Starts the service anew when it was not fed for so long.
    interval: Duration,
    fed: Option<Instant>,
    has_given_up: bool,
}

impl Manager {
    /// Of this process, as the environment says.
    #[must_use]
    pub fn of_environment() -> Manager {
        let watchdog = sd_notify::watchdog_enabled();
        let watchdog = watchdog.map(|interval| Watchdog { interval, fed: None, has_given_up: false });
        Manager { is_ready: false, status: String::new(), watchdog }
    }

    /// All has begun; said once.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            tell(&[NotifyState::Ready]);
        }
    }

    /// A new configuration is taken in; all has begun when [`Manager::ready`] is said again.
    pub fn reloading(&mut self) {
        self.is_ready = false;
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// How it goes, in one line; said when it is another than before.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// It lives, if all of these do. To be said often.
    pub fn alive<'a>(&mut self, mut threads: impl Iterator<Item = &'a Heartbeat>) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let limit = watchdog.interval.max(BEAT) * PATIENCE;
        if let Some(stuck) = threads.find(|thread| thread.is_stuck(limit)) {
            if !std::mem::replace(&mut watchdog.has_given_up, true) {
                error!("{} has not moved for {limit:?}: the service manager may start all anew", stuck.name());
            }
            return;
        }
        watchdog.has_given_up = false;
        if watchdog.fed.is_none_or(|fed| fed.elapsed() > watchdog.interval / 4) {
            watchdog.fed = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// It is about to end.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // A service manager that does not listen is no trouble of ours.
    let _ = sd_notify::notify(states);
}
