//! The CPU time that programs use.

use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

use crate::harness::Program;

/// The total CPU time of several programs so far, in user and kernel mode.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Time without the virtual cameras' threads.
    pub own: Duration,
    /// Time of the threads on which virtual cameras fill their buffers. Real cameras have none.
    pub cameras: Duration,
}

impl Cpu {
    /// Reads the processes' CPU clocks, which have nanosecond resolution and include exited threads, and subtracts the threads
    /// named `vcam`.
    pub fn of(programs: &[Program]) -> Cpu {
        let all: Duration = programs.iter().map(|program| process_clock(program.id())).sum();
        let cameras = programs.iter().map(|program| camera_threads(program.id())).sum();
        Cpu { own: all.saturating_sub(cameras), cameras }
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, before: Cpu) -> Cpu {
        Cpu { own: self.own.saturating_sub(before.own), cameras: self.cameras.saturating_sub(before.cameras) }
    }
}

fn process_clock(id: u32) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(id as i32)).expect("a running process");
    clock.now().expect("a running process").into()
}

/// Sums the CPU time of the threads named `vcam`: the first number in schedstat, in nanoseconds.
fn camera_threads(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("a running process").flatten().map(|task| task.path());
    let time = |task: &Path| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let stat = (name.trim() == "vcam").then(|| fs::read_to_string(task.join("schedstat")).ok())??;
        stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.filter_map(|task| time(&task)).sum()
}
