//! A failing disk, as the program under test sees it: strace makes its system calls fail.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Program, Stopwatch, eventually};

/// A command that runs watchpost under strace. System calls on these files fail as `faults` say, in the syntax of
/// strace's `inject=`. With `-D`, strace is the child, so the started process is watchpost itself.
pub fn faulty(faults: &[&str], files: &[&Path]) -> Command {
    let mut strace = Command::new("strace");
    // -I2: with -o, strace would otherwise block fatal signals.
    strace.args(["-D", "-I2", "-f", "-qq", "-o", "/dev/null"]);
    for fault in faults {
        strace.arg("-e").arg(format!("inject={fault}"));
    }
    for file in files {
        strace.arg("-P").arg(file);
    }
    strace.arg(env!("CARGO_BIN_EXE_watchpost"));
    strace
}

/// Stops the faults by ending strace; returns a stopwatch that runs from then on.
#[track_caller]
pub fn repair(program: &Program) -> Stopwatch {
    let tracer = || {
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).expect("a running process");
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).expect("Linux");
        tracer.trim().parse::<i32>().ok().filter(|tracer| *tracer != 0)
    };
    kill(Pid::from_raw(tracer().expect("strace")), Signal::SIGTERM).expect("strace of the same user");
    eventually("strace exits", || tracer().is_none().then_some(()));
    program.stopwatch()
}

/// Makes a running program's disk fail until this is dropped or repaired.
pub struct Fault(Program);

impl Fault {
    /// Attaches strace; `inject` has the syntax of `strace -e inject=`.
    pub fn new(program: &Program, inject: &str) -> Fault {
        let mut command = Command::new("strace");
        let calls = inject.split(':').next().unwrap_or_default();
        let (trace, inject) = (format!("trace={calls}"), format!("inject={inject}"));
        command.args(["-f", "-e", &trace, "-e", &inject, "-p", &program.id().to_string()]);
        let strace = Program::start(&mut command);
        strace.wait_for_log("attached", "");
        Fault(strace)
    }

    pub fn repair(mut self) {
        self.0.terminate();
    }
}
