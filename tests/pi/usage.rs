//! Measures the service's memory and CPU use.

use std::thread::sleep;
use std::time::Duration;

use crate::machine::Machine;
use crate::{Board, Scene};

/// Seconds to measure, unless `WATCH` says otherwise.
const DEFAULT_SECONDS: u64 = 12;

/// Number of measurements after the first.
const SAMPLES: u64 = 6;

/// Bytes that anonymous memory may grow by in total; a leak grows with time. The machine has huge pages disabled,
/// because one would exceed this.
const MAX_GROWTH: u64 = 512 * 1024;

pub fn measured(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let boot = hub.wait_for_frame("door")["boot"].clone();
    let seconds = std::env::var("WATCH").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let mut samples = Vec::new();
    for sample in 0..=SAMPLES {
        if sample > 0 {
            talk(boards, seconds / SAMPLES);
        }
        let (memory, cpu) = usage(pi);
        println!(
            "       after {:4} s: {:5} KiB anonymous memory, {cpu:6.1} s of CPU time",
            sample * seconds / SAMPLES,
            memory / 1024
        );
        samples.push(memory);
    }
    assert_eq!(hub.wait_for_frame("door")["boot"], boot, "the agent was restarted");
    // The agent may still be starting at the first measurement.
    let (first, last) = (samples[1], samples[samples.len() - 1]);
    assert!(last < first + MAX_GROWTH, "memory grows: {samples:?}");
}

/// Sends one line per second from each board.
fn talk(boards: &mut [Board], seconds: u64) {
    for _ in 0..seconds {
        for board in &mut *boards {
            board.write_line("t-25-h-60");
        }
        sleep(Duration::from_secs(1));
    }
}

/// Returns bytes of anonymous memory and seconds of CPU time.
fn usage(pi: &Machine) -> (u64, f64) {
    let text = pi.sh("unit=/sys/fs/cgroup/system.slice/watchpost.service
        sed -n 's/^anon //p' $unit/memory.stat; sed -n 's/^usage_usec //p' $unit/cpu.stat");
    let mut numbers = text.lines().map(|line| line.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next() as f64 / 1e6)
}
