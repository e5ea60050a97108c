//! Measures how long programs take, however busy the machine is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Measures time without that for which one of the programs, or this thread, waited for a processor.
pub struct Stopwatch {
    start: Instant,
    processes: Vec<u32>,
    before: Waits,
    latest: Waits,
}

/// How long each thread has waited for a processor since it was started.
type Waits = BTreeMap<PathBuf, Duration>;

impl Stopwatch {
    /// Starts to measure. The programs run already.
    pub fn of(processes: Vec<u32>) -> Stopwatch {
        let before = waits(&processes);
        Stopwatch { start: Instant::now(), processes, latest: before.clone(), before }
    }

    /// Reads the waits. A program that may have ended by the next call needs this, again and again.
    pub fn look(&mut self) {
        self.latest.extend(waits(&self.processes));
    }

    /// The time since the start.
    pub fn elapsed(&mut self) -> Duration {
        self.look();
        let sum = |waits: &Waits| waits.values().sum::<Duration>();
        (self.start.elapsed() + sum(&self.before)).saturating_sub(sum(&self.latest))
    }
}

fn waits(processes: &[u32]) -> Waits {
    let tasks = processes.iter().filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok());
    let threads = tasks.flatten().flatten().map(|thread| thread.path());
    let this_thread = fs::canonicalize("/proc/thread-self").expect("Linux");
    threads
        .chain([this_thread])
        .filter_map(|thread| Some((wait(&thread)?, thread)))
        .map(|(wait, thread)| (thread, wait))
        .collect()
}

/// The second field of a thread's schedstat, in nanoseconds.
fn wait(thread: &Path) -> Option<Duration> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}
