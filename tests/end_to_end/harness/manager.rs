//! A service manager, as systemd is one to the services that tell it how they are (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Bench, PATIENCE};

pub struct Manager(UnixDatagram);

impl Manager {
    /// Of the program that `command` starts, which it watches over if it is to be fed so often.
    pub fn of(bench: &Bench, command: &mut Command, watchdog: Option<Duration>) -> Manager {
        let path = bench.path("notify");
        command.env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(interval) = watchdog {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
        Manager(UnixDatagram::bind(path).expect("a socket"))
    }

    /// What is said next, if anything is before `end`.
    fn next(&self, end: Instant) -> Option<String> {
        let left = end.saturating_duration_since(Instant::now());
        self.0.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..length].to_vec()).expect("text"))
    }

    /// What is said until this is; the last of it.
    #[track_caller]
    pub fn hears(&self, what: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while let Some(text) = self.next(end) {
            said.push(text);
            if said.last().is_some_and(|text| text.lines().any(|line| line.contains(what))) {
                return said;
            }
        }
        panic!("not within {PATIENCE:?}: {what:?}, but {said:?}");
    }

    /// For how long it was fed, at most until `longest`.
    pub fn was_fed_for(&self, interval: Duration, longest: Duration) -> Duration {
        let start = Instant::now();
        let mut fed = start;
        while fed.elapsed() < interval && start.elapsed() < longest {
            if self.next(fed + interval).is_some_and(|text| text.contains("WATCHDOG=1")) {
                fed = Instant::now();
            }
        }
        fed - start
    }
}
