//! Notifications to the service manager: ready, status and watchdog (`sd_notify(3)`). Without a service manager, for
//! example in a terminal, they do nothing.

mod heartbeat;

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::error;

pub use heartbeat::Heartbeat;

/// How often a thread that waits for work beats.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A thread is stuck after this many watchdog intervals, and this many [`HEARTBEAT_INTERVAL`]s, without a beat.
const STUCK_AFTER: u32 = 4;

/// A connection to the service manager.
#[derive(Debug)]
pub struct Manager {
    is_ready: bool,
    status: String,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    /// The service manager restarts the service after this long without a notification.
    interval: Duration,
    notified_at: Option<Instant>,
    is_failing: bool,
}

impl Manager {
    /// The service manager of this process, as configured by the environment.
    #[must_use]
    pub fn of_environment() -> Manager {
        let watchdog = sd_notify::watchdog_enabled();
        let watchdog = watchdog.map(|interval| Watchdog { interval, notified_at: None, is_failing: false });
        Manager { is_ready: false, status: String::new(), watchdog }
    }

    /// Sends READY=1, once.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            notify(&[NotifyState::Ready]);
        }
    }

    /// Sends RELOADING=1. Call [`Manager::ready`] when the new configuration is in use.
    pub fn reloading(&mut self) {
        self.is_ready = false;
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// Sends STATUS= when it changed.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Notifies the watchdog unless a thread is stuck. Call it often.
    pub fn alive<'a>(&mut self, mut threads: impl Iterator<Item = &'a Heartbeat>) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let limit = watchdog.interval.max(HEARTBEAT_INTERVAL) * STUCK_AFTER;
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

    /// Sends STOPPING=1.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // A service manager that does not listen is not an error.
    let _ = sd_notify::notify(states);
}
