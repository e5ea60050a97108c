//! Endurance tests: each one injects the same faults many times and prints what it measured. They take minutes to
//! hours, so they run only on request: `script/endurance` lists them, `script/endurance NAME` builds and runs one.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../end_to_end/harness/mod.rs"]
mod harness;
#[path = "../end_to_end/kills.rs"]
mod kills;
#[path = "../end_to_end/power_cuts/mod.rs"]
mod power_cuts;

mod arguments;
mod camera_faults;
mod full_disk;
mod link_cuts;
mod network;
mod power_failures;
mod process_kills;
mod strangers;

use std::process::ExitCode;
use std::time::Duration;

use arguments::Request;
use nix::unistd::geteuid;

/// One endurance test.
struct Test {
    name: &'static str,
    /// A description for the list of tests.
    about: &'static str,
    /// The unit of `--times`, and its default.
    times: (&'static str, u32),
    /// Mounts file systems or creates network namespaces.
    needs_root: bool,
    /// Parts that can be requested one by one as NAME/PART.
    parts: fn() -> Vec<&'static str>,
    /// Takes the value of `--times` and the requested parts.
    run: fn(u32, &[&str]),
}

const TESTS: [Test; 6] = [
    Test {
        name: "kills",
        about: "kills agents and receivers at random moments and looks for lost or duplicate readings",
        times: ("kills of each kind", 500),
        needs_root: false,
        parts: Vec::new,
        run: |times, _| process_kills::run(times),
    },
    Test {
        name: "power-cuts",
        about: "cuts the power of an agent's disk at many moments and checks the spool each time",
        times: ("cuts", 1000),
        needs_root: false,
        parts: Vec::new,
        run: |times, _| power_failures::run(times),
    },
    Test {
        name: "full-disk",
        about: "gives the spool a full or read-only file system and measures the recovery",
        times: ("faults of each kind", 5),
        needs_root: true,
        parts: Vec::new,
        run: |times, _| full_disk::run(times),
    },
    Test {
        name: "strangers",
        about: "measures frame delay on an encrypted link while unauthorized peers disturb its port",
        times: ("turns of 10 s for each disturbance", 6),
        needs_root: false,
        parts: Vec::new,
        run: |times, _| strangers::run(times),
    },
    Test {
        name: "camera-faults",
        about: "repeats the faults of a USB camera and measures detection, recovery and leaks",
        times: ("faults of each kind", 20),
        needs_root: false,
        parts: camera_faults::names,
        run: camera_faults::run,
    },
    Test {
        name: "link-cuts",
        about: "kills either end of a link or cuts its cable and measures when frames flow again",
        times: ("faults of each kind", 10),
        needs_root: true,
        parts: link_cuts::names,
        run: link_cuts::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        print!("{}", arguments::usage(&TESTS));
        return ExitCode::SUCCESS;
    }
    let request = match Request::parse(&arguments, &TESTS) {
        Ok(request) => request,
        Err(error) => {
            eprint!("endurance: {error}\n\n{}", arguments::usage(&TESTS));
            return ExitCode::from(2);
        }
    };
    let requested: Vec<(&Test, Vec<&str>)> =
        TESTS.iter().filter_map(|test| Some((test, request.parts_of(test)?))).collect();
    if let Some((test, _)) = requested.iter().find(|(test, _)| test.needs_root && !geteuid().is_root()) {
        eprintln!("endurance: {} needs root", test.name);
        return ExitCode::from(2);
    }
    for (test, parts) in requested {
        println!("== {}: {}\n", test.name, test.about);
        (test.run)(request.times.unwrap_or(test.times.1), &parts);
        println!();
    }
    ExitCode::SUCCESS
}

/// The duration that `share` of the sorted `times` do not exceed.
fn percentile(times: &[Duration], share: f64) -> Duration {
    times[((times.len() - 1) as f64 * share) as usize]
}
