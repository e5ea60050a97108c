//! Runs programs and collects their output.

use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{Stopwatch, eventually};

/// Instructions for a test that needs something that is not installed.
pub const SETUP: &str = "run script/setup test";

const STATE_DIR: &str = "XDG_STATE_HOME";

/// A running program whose output is collected; killed when dropped.
pub struct Program {
    child: Child,
    out: Lines,
    log: Lines,
    /// The state directory of a program that was not given one, so that no test uses the user's.
    _state: Option<TempDir>,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Program {
    #[track_caller]
    pub fn start(command: &mut Command) -> Program {
        Program::start_at(command.stdin(Stdio::null()))
    }

    /// Starts a command that has its own standard input.
    #[track_caller]
    pub fn start_at(command: &mut Command) -> Program {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let has_state_dir = command.get_envs().any(|(name, _)| name == STATE_DIR);
        let state = (!has_state_dir).then(|| tempfile::tempdir().expect("a temporary directory"));
        if let Some(state) = &state {
            command.env(STATE_DIR, state.path()).env_remove("STATE_DIRECTORY");
        }
        let result = command.spawn();
        let mut child = started(command, result);
        let out = collect(child.stdout.take().expect("piped"));
        let log = collect(child.stderr.take().expect("piped"));
        Program { child, out, log, _state: state }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that `matches` and returns the newest one.
    #[track_caller]
    pub fn wait_for_line<T>(&self, what: &str, matches: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || self.find_line(&matches))
    }

    /// Waits for a JSON line of standard output that `matches` and returns the newest one.
    #[track_caller]
    pub fn wait_for_json(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.find_json(&matches))
    }

    /// Like [`Program::wait_for_json`], but does not wait.
    pub fn find_json(&self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        self.find_line(|line| serde_json::from_str(line).ok().filter(|value| matches(value)))
    }

    fn find_line<T>(&self, matches: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.out.lock().unwrap().iter().rev().find_map(|line| matches(line))
    }

    /// Waits for a log line that contains `before`, and returns the text between `before` and `after`. An empty `after`
    /// stands for the end of the line.
    #[track_caller]
    pub fn wait_for_log(&self, before: &str, after: &str) -> String {
        eventually(&format!("{before:?} in the log"), || {
            self.log.lock().unwrap().iter().find_map(|line| {
                let rest = line.split_once(before)?.1;
                let found = if after.is_empty() { rest } else { rest.split_once(after)?.0 };
                Some(found.to_owned())
            })
        })
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn out(&self) -> String {
        self.out.lock().unwrap().join("\n")
    }

    /// User and system time used so far, in seconds (proc(5), fields 14 and 15, in ticks of 1/100 s on Linux).
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("a running process");
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// The number of open file descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("a running process").count()
    }

    /// The number of threads, without the blocking pool, whose size varies.
    pub fn threads(&self) -> usize {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a running process");
        let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim_end() != "blocking").count()
    }

    /// The ids of its child processes.
    pub fn children(&self) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("a running process");
        // A thread may exit meanwhile.
        let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        children
            .flat_map(|children| children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Anonymous resident memory in bytes (proc(5), `RssAnon`, in kB).
    pub fn memory(&self) -> u64 {
        self.memory_line("RssAnon:")
    }

    /// The most memory in bytes that was ever resident (proc(5), `VmHWM`, in kB).
    pub fn peak_memory(&self) -> u64 {
        self.memory_line("VmHWM:")
    }

    fn memory_line(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Discards the standard output collected so far.
    pub fn clear_output(&self) {
        self.out.lock().unwrap().clear();
    }

    /// Starts to measure the program's time.
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch::of([self.children(), vec![self.id()]].concat())
    }

    /// Sends SIGTERM, as systemd does; returns the exit status and how long the exit took.
    #[track_caller]
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let mut stopwatch = self.stopwatch();
        self.signal(Signal::SIGTERM);
        let status = eventually("the program exits", || {
            stopwatch.look();
            self.child.try_wait().expect("a child process")
        });
        (status, stopwatch.elapsed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a running process");
    }

    /// Sends SIGKILL, as the kernel does when memory runs out, and waits.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program exits", || self.child.try_wait().expect("a child process"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the log of process {}:\n{log}", self.id());
            // Python's words for a missing package, and those of GStreamer's bindings.
            if log.contains("ModuleNotFoundError") || log.contains("ValueError: Namespace") {
                eprintln!("a Python package is missing: {SETUP}");
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    lines
}

/// Unwraps the result of starting a command; panics with advice if the program is not installed.
#[track_caller]
pub fn started<T>(command: &Command, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!("{} is not installed: {SETUP}", command.get_program().display()),
        _ => panic!("cannot start {command:?}: {error}"),
    })
}
