//! Installs, configures and runs watchpost on an emulated Raspberry Pi with the commands of docs/raspberry-pi.md, with a receiver on this machine.
//! script/test-pi makes the disk and the package, and runs this program with their directory.
//!
//! The steps build on one another, so they are printed and timed one by one instead of being separate tests.

mod board;
mod faults;
mod hub;
mod machine;
mod package;
mod power;
mod readme;
mod usage;

#[allow(dead_code, reason = "the other tests need more of it")]
#[path = "../end_to_end/harness/program.rs"]
mod program;
#[allow(dead_code, reason = "the other tests need more of it")]
#[path = "../end_to_end/harness/stopwatch.rs"]
mod stopwatch;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use board::Board;
use hub::Hub;
use machine::Machine;
use stopwatch::Stopwatch;

/// Timeout of every wait on an emulated machine, which boots in half a minute.
const PATIENCE: Duration = Duration::from_mins(3);

/// Polls `look` until it returns a value.
#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// The Pi, its boards, and the receiver.
struct Scene {
    pi: Machine,
    boards: [Board; 2],
    hub: Hub,
}

type Step = fn(&mut Scene);

fn main() {
    let Some(dir) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("needs a disk: script/test-pi makes it");
        return;
    };
    let hub = Hub::start(&dir);
    let boards = ["one", "two"].map(|name| Board::new(&dir, name));
    let pi = step("the Pi starts", || Machine::start(&dir, &boards));
    let mut scene = Scene { pi, boards, hub };
    let steps: [(&str, Step); 17] = [
        ("the documented commands install, configure and start the agent", readme::agent_is_installed),
        ("the documented commands start the receiver, with keys and a token", readme::receiver_is_installed),
        ("frames of two cameras and readings of two boards arrive", faults::frames_and_readings_arrive),
        ("the sandboxed service reports the clock's state", faults::clock_state_is_reported),
        ("an unplugged board is down, and comes back", faults::unplugged_board_comes_back),
        ("a disconnected camera comes back", faults::disconnected_camera_comes_back),
        ("a camera with broken buffers and failing calls comes back", faults::failing_camera_comes_back),
        ("a killed agent is restarted", faults::killed_agent_is_restarted),
        ("a reload adds a camera and interrupts no other", faults::reload_adds_a_camera),
        ("an invalid file changes nothing", faults::invalid_file_is_refused),
        ("a stalled thread restarts the agent", faults::stalled_thread_restarts_the_agent),
        ("an agent that is killed often is always restarted", faults::often_killed_agent_is_restarted),
        ("an upgrade restarts the agent and keeps the configuration", package::upgraded),
        ("the agent starts after a reboot", power::rebooted),
        ("a power cut with 1,000 readings in flight loses none", power::cut),
        ("memory and CPU use over time", usage::measured),
        ("the package is removed, and purged with its data", package::removed),
    ];
    for (what, run) in steps {
        step(what, || run(&mut scene));
    }
}

fn step<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    println!("     {what} …");
    let result = run();
    println!("ok   {what} ({:.0} s)", start.elapsed().as_secs_f64());
    result
}
