//! Programs that run, and what they say.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::eventually;

/// A running program whose output is kept; killed when dropped.
pub struct Program {
    child: Child,
    out: Lines,
    log: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let out = collect(child.stdout.take().expect("piped"));
        let log = collect(child.stderr.take().expect("piped"));
        Program { child, out, log }
    }

    /// One whose output goes elsewhere.
    pub fn of(child: Child) -> Program {
        Program { child, out: Lines::default(), log: Lines::default() }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The newest line of standard output that `matches`.
    #[track_caller]
    pub fn says<T>(&self, what: &str, matches: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || self.said(&matches))
    }

    /// The newest line of standard output that is JSON and `matches`.
    #[track_caller]
    pub fn says_json(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.said_json(&matches))
    }

    /// As [`Program::says_json`], if it was said already.
    pub fn said_json(&self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        self.said(|line| serde_json::from_str(line).ok().filter(|value| matches(value)))
    }

    fn said<T>(&self, matches: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.out.lock().unwrap().iter().rev().find_map(|line| matches(line))
    }

    /// What stands between `before` and `after` in a line of the log; up to the line's end if `after` is empty.
    #[track_caller]
    pub fn logs(&self, before: &str, after: &str) -> String {
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

    /// User and system time so far, in seconds (proc(5), fields 14 and 15; a hundredth each on Linux).
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// How many files, sockets and terminals it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs").count()
    }

    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs").count()
    }

    /// The processes that it has started and not yet waited for.
    #[cfg(feature = "opencv")]
    pub fn children(&self) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        // A thread that ends meanwhile has none.
        let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        children
            .flat_map(|children| children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Bytes of memory that are in use and not a file's (proc(5), `RssAnon`, in kB).
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Forgets what was said on standard output until now.
    pub fn forget(&self) {
        self.out.lock().unwrap().clear();
    }

    /// Ends it as systemd does; gives how it ended and how long that took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        (self.wait(), start.elapsed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Ends it at once, as the kernel does when memory runs out.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().expect("it is ours"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of process {}:\n{}", self.id(), self.log());
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

/// Python with the packages that script/setup has installed for programs of ours.
pub const PEERS_PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/python");

/// A Python program of tests/peers.
pub fn peer(program: &str, arguments: &[&str]) -> Program {
    let program = format!("{}/tests/peers/{program}", env!("CARGO_MANIFEST_DIR"));
    Program::start(Command::new(PEERS_PYTHON).arg("-u").arg(program).args(arguments))
}
