//! What programs use.

use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

use crate::harness::Program;

/// CPU time so far, in user and kernel mode, of several programs together.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// All but the virtual cameras' own.
    pub own: Duration,
    /// Of the threads that a virtual camera fills its buffers on, which no real one has.
    pub cameras: Duration,
}

impl Cpu {
    /// The processes' CPU clocks, in nanoseconds and with threads that have ended, less the threads named `vcam`.
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
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(id as i32)).expect("it runs");
    clock.now().expect("it runs").into()
}

/// The kernel's count of a thread's time, the first number of its schedstat, is in nanoseconds too.
fn camera_threads(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs").flatten().map(|task| task.path());
    let time = |task: &Path| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let stat = (name.trim() == "vcam").then(|| fs::read_to_string(task.join("schedstat")).ok())??;
        stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.filter_map(|task| time(&task)).sum()
}
