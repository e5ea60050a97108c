//! A service manager that receives the notifications systemd would receive (`sd_notify(3)`).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{Bench, PATIENCE, Program, eventually};

/// The watchdog interval, like a unit's `WatchdogSec=`.
pub const WATCHDOG: Duration = Duration::from_secs(4);

/// A stalled thread is reported within this time: four missed heartbeats, five seconds apart, and the wait for the next.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// The socket of the service manager.
pub struct Manager(UnixDatagram);

impl Manager {
    /// Prepares `command` to notify this manager, with this watchdog interval if there is one.
    pub fn of(bench: &Bench, command: &mut Command, watchdog: Option<Duration>) -> Manager {
        let path = bench.path("notify");
        command.env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(interval) = watchdog {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
        Manager(UnixDatagram::bind(path).expect("a socket"))
    }

    /// The next notification, if one arrives before `end`.
    fn next(&self, end: Instant) -> Option<String> {
        let left = end.saturating_duration_since(Instant::now());
        self.0.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..length].to_vec()).expect("text"))
    }

    /// Waits for a notification with a line that contains `what`; returns the notifications up to it.
    #[track_caller]
    pub fn wait_for(&self, what: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while let Some(text) = self.next(end) {
            heard.push(text);
            if heard.last().is_some_and(|text| text.lines().any(|line| line.contains(what))) {
                return heard;
            }
        }
        panic!("timed out after {PATIENCE:?}: {what:?}, but got {heard:?}");
    }

    /// How long the watchdog was fed without a gap of `interval`; stops at `longest`.
    pub fn watchdog_fed_for(&self, interval: Duration, longest: Duration) -> Duration {
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

/// Suspends one thread of a program until this is dropped.
pub struct SuspendedThread(Pid);

impl SuspendedThread {
    /// Suspends the thread with this name.
    pub fn of(program: &Program, name: &str) -> SuspendedThread {
        let tasks = format!("/proc/{}/task", program.id());
        let thread = eventually(&format!("a thread {name}"), || {
            let mut tasks = fs::read_dir(&tasks).expect("a running process").map(|task| task.expect("a thread").path());
            tasks.find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name))
        });
        let thread = thread.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a number");
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, ptrace::Options::empty()).expect("a thread of a child process");
        ptrace::interrupt(thread).expect("a traced thread");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("a suspended thread");
        SuspendedThread(thread)
    }
}

impl Drop for SuspendedThread {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).expect("a suspended thread");
    }
}
