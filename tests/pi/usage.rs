//! What the service takes of the machine.

use std::thread::sleep;
use std::time::Duration;

use crate::machine::Machine;
use crate::{Board, Scene};

/// How long it is looked at, in seconds, if nothing else is said in `WATCH`.
const USUALLY: u64 = 12;

/// So many times.
const LOOKS: u64 = 6;

/// Anonymous memory may grow by so many bytes in all: what is taken for good grows with the time. The machine has no huge pages,
/// of which one would be more than that.
const SLACK: u64 = 512 * 1024;

pub fn measured(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let boot = hub.hears_frame("door")["boot"].clone();
    let seconds = std::env::var("WATCH").ok().and_then(|text| text.parse().ok()).unwrap_or(USUALLY);
    let mut looks = Vec::new();
    for look in 0..=LOOKS {
        if look > 0 {
            talk(boards, seconds / LOOKS);
        }
        let (memory, cpu) = usage(pi);
        println!(
            "       after {:4} s: {:5} KiB anonymous memory, {cpu:6.1} s of processor",
            look * seconds / LOOKS,
            memory / 1024
        );
        looks.push(memory);
    }
    assert_eq!(hub.hears_frame("door")["boot"], boot, "it was started anew");
    // The first one may be of its beginning.
    let (first, last) = (looks[1], looks[looks.len() - 1]);
    assert!(last < first + SLACK, "it grows: {looks:?}");
}

/// The boards measure once a second.
fn talk(boards: &mut [Board], seconds: u64) {
    for _ in 0..seconds {
        for board in &mut *boards {
            board.says("t-25-h-60");
        }
        sleep(Duration::from_secs(1));
    }
}

/// Bytes of anonymous memory, and seconds of a core.
fn usage(pi: &Machine) -> (u64, f64) {
    let text = pi.sh("unit=/sys/fs/cgroup/system.slice/watchpost.service
        sed -n 's/^anon //p' $unit/memory.stat; sed -n 's/^usage_usec //p' $unit/cpu.stat");
    let mut numbers = text.lines().map(|line| line.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next() as f64 / 1e6)
}
