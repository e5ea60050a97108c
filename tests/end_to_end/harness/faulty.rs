//! A disk that fails, as the program that is under test sees it: strace makes its system calls fail.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Program, eventually};

/// A command for watchpost under strace, whose calls fail as `faults` say, in the words of strace's `inject=`, if they are
/// about one of these files. It is strace that is the child, so what is started is watchpost itself.
pub fn faulty(faults: &[&str], files: &[&Path]) -> Command {
    let mut strace = Command::new("strace");
    // -I2: it ends on a signal though it was told where to write to.
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

/// Ends the faults; gives when.
#[track_caller]
pub fn heal(program: &Program) -> Instant {
    let tracer = || {
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it runs");
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).expect("Linux");
        tracer.trim().parse::<i32>().ok().filter(|tracer| *tracer != 0)
    };
    kill(Pid::from_raw(tracer().expect("strace")), Signal::SIGTERM).expect("it is ours");
    eventually("strace ends", || tracer().is_none().then_some(()));
    Instant::now()
}

/// A program's disk fails while this lives.
pub struct Fault(Program);

impl Fault {
    /// As `strace -e inject=` has it.
    pub fn new(program: &Program, inject: &str) -> Fault {
        let mut command = Command::new("strace");
        let calls = inject.split(':').next().unwrap_or_default();
        let (trace, inject) = (format!("trace={calls}"), format!("inject={inject}"));
        command.args(["-f", "-e", &trace, "-e", &inject, "-p", &program.id().to_string()]);
        let strace = Program::start(&mut command);
        strace.logs("attached", "");
        Fault(strace)
    }

    pub fn mend(mut self) {
        self.0.terminate();
    }
}
