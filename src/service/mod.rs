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
const STUCK_AFTER: u32 = 4;

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
    notified_at: Option<Instant>,
    is_failing: bool,
}

impl Manager {
    /// Of this process, as the environment says.
    #[must_use]
    pub fn of_environment() -> Manager {
        let watchdog = sd_notify::watchdog_enabled();
        let watchdog = watchdog.map(|interval| Watchdog { interval, notified_at: None, is_failing: false });
        Manager { is_ready: false, status: String::new(), watchdog }
    }

    /// All has begun; said once.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            notify(&[NotifyState::Ready]);
        }
    }

    /// A new configuration is taken in; all has begun when [`Manager::ready`] is said again.
    pub fn reloading(&mut self) {
        self.is_ready = false;
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// How it goes, in one line; said when it is another than before.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// It lives, if all of these do. To be said often.
    pub fn alive<'a>(&mut self, mut threads: impl Iterator<Item = &'a Heartbeat>) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let limit = watchdog.interval.max(BEAT) * STUCK_AFTER;
        if let Some(stuck) = threads.find(|thread| thread.is_stuck(limit)) {
            if !std::mem::replace(&mut watchdog.is_failing, true) {
                error!("{} stalled for {limit:?}; systemd's watchdog may restart the service", stuck.name());
            }
            return;
        }
        watchdog.is_failing = false;
        if watchdog.notified_at.is_none_or(|notified_at| notified_at.elapsed() > watchdog.interval / 4) {
            watchdog.notified_at = Some(Instant::now());
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// It is about to end.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // A service manager that does not listen is no trouble of ours.
    let _ = sd_notify::notify(states);
}
