//! An emulated Raspberry Pi on which watchpost is installed, configured and run as docs/raspberry-pi.md says, watched
//! from a receiver on this machine. script/test-pi makes the disk and the package and starts it with the directory that they are in.
//!
//! Steps build on one another, so they are told and timed one by one instead of being tests each.

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

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use board::Board;
use hub::Hub;
use machine::Machine;

/// The longest that anything may take on an emulated machine; it starts in half a minute.
const PATIENCE: Duration = Duration::from_mins(3);

/// Looks until there is something to be found.
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

/// All that there is: the Pi, what is plugged into it, and the receiver.
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
        ("the lines of docs/raspberry-pi.md install, configure and start it", readme::followed),
        ("and the receiver's, with keys and a token", readme::followed_for_the_receiver),
        ("frames of two cameras and readings of two boards arrive", faults::everything_arrives),
        ("the clock's state is known, though the service may not ask", faults::the_clock_is_told),
        ("a board that is unplugged is down, and comes back", faults::a_board_is_plugged_in_again),
        ("a camera that is disconnected comes back", faults::a_camera_is_disconnected),
        ("a camera with broken buffers and failing calls comes back", faults::a_camera_fails),
        ("an agent that is killed is started again", faults::the_agent_is_killed),
        ("a reload adds a camera and interrupts no other", faults::a_camera_is_added),
        ("a broken file changes nothing", faults::a_broken_file_is_refused),
        ("a stuck thread gets the agent started anew", faults::a_thread_is_stuck),
        ("an agent that ends again and again is started again", faults::the_agent_is_killed_often),
        ("an upgrade starts it anew and leaves the configuration", package::upgraded),
        ("after a reboot it runs by itself", power::rebooted),
        ("a power cut with 1,000 readings on their way loses none", power::cut),
        ("memory and processor over time", usage::measured),
        ("it is removed, and purged with all it kept", package::removed),
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
