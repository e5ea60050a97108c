//! Gives the agent's spool a real file system that fills up, and one that is read-only. Checks that the status names the cause
//! while readings keep flowing, and measures how soon all readings are on the disk after recovery.
//!
//! A file system with open files cannot be remounted read-only, so it is read-only from the start.
//! `tests/end_to_end/spool_faults.rs` covers the transition. Each file system is mounted for the agent alone, which needs
//! root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::hub::{Hub, hello, readings_in, spooling_of, take};
use crate::harness::{Bench, Board, Program};

/// The longest allowed time from the end of the fault to all readings on the disk.
const RECOVERY_LIMIT: Duration = Duration::from_secs(5);

/// Size of the file system in bytes, with room for what the agent spools.
const FILE_SYSTEM_SIZE: usize = 4 << 20;

struct Fault {
    name: &'static str,
    /// The mount option besides the size.
    mount_option: &'static str,
    /// The start of the cause in the status.
    cause: &'static str,
    inject: fn(&Lab),
    heal: fn(&Lab),
}

const FAULTS: [Fault; 2] = [
    Fault {
        name: "full",
        mount_option: "rw",
        cause: "the disk is full",
        inject: Lab::fill,
        heal: |lab| fs::remove_file(lab.inside("filler")).expect("the filler exists"),
    },
    Fault {
        name: "read-only",
        mount_option: "ro",
        cause: "the disk is read-only",
        inject: |_| {},
        heal: Lab::make_writable,
    },
];

/// Injects each fault `times` times and prints the recovery times.
pub fn run(times: u32) {
    println!(
        "           times   seconds from recovery to all readings on disk: median, max; goal: {}",
        RECOVERY_LIMIT.as_secs()
    );
    for fault in FAULTS {
        let mut took: Vec<f64> = (0..times).map(|_| Lab::new(&fault).recovery_time(&fault).as_secs_f64()).collect();
        took.sort_by(f64::total_cmp);
        println!("{:<10}{times:>6}   {:>6.2}{:>6.2}", fault.name, took[took.len() / 2], took[took.len() - 1]);
        assert!(took[took.len() - 1] < RECOVERY_LIMIT.as_secs_f64());
    }
}

/// An agent whose spool has its own file system.
struct Lab {
    bench: Bench,
    board: Board,
    hub: Hub,
    agent: Program,
    /// The last value that the board sent.
    last: u64,
}

impl Lab {
    fn new(fault: &Fault) -> Lab {
        let (bench, board, mut hub) = (Bench::new(), Board::new(), Hub::new());
        let directory = bench.path("state/watchpost");
        fs::create_dir_all(&directory).expect("the spool directory is created");
        let mut unshare = Command::new("unshare");
        let mount =
            format!("mount -t tmpfs -o size={FILE_SYSTEM_SIZE},{} spool \"$0\" && exec \"$@\"", fault.mount_option);
        unshare.args(["--mount", "sh", "-c", &mount]).arg(directory).arg(env!("CARGO_BIN_EXE_watchpost"));
        let agent = spooling_of(unshare, &bench, &board, &hub, "");
        agent.wait_for_log("open at", "");
        hub.open().send(&hello());
        Lab { bench, board, hub, agent, last: 0 }
    }

    /// The path of a file in the spool's directory, which only the agent's mount namespace contains.
    fn inside(&self, name: &str) -> PathBuf {
        let directory = self.bench.path("state/watchpost");
        let directory = directory.strip_prefix("/").expect("the path is absolute");
        PathBuf::from(format!("/proc/{}/root", self.agent.id())).join(directory).join(name)
    }

    fn fill(&self) {
        let mut filler = File::create(self.inside("filler")).expect("the filler is created");
        // The last write takes the remaining space.
        while filler.write(&[0; 4096]).is_ok() {}
    }

    fn make_writable(&self) {
        let id = self.agent.id().to_string();
        let mut mount = Command::new("nsenter");
        mount.args(["--mount", "--target", &id, "mount", "-o", "remount,rw"]).arg(self.bench.path("state/watchpost"));
        assert!(mount.status().expect("util-linux").success());
    }

    fn measure(&mut self) {
        self.last += 1;
        self.board.write_line(&format!("n-{}", self.last));
        take(self.hub.peer(), [self.last]);
    }

    /// Injects the fault, ends it, and returns how long the recovery took.
    fn recovery_time(mut self, fault: &Fault) -> Duration {
        (fault.inject)(&self);
        self.measure();
        self.hub.peer().wait_for(fault.cause, |header| {
            header["spool"]["cause"].as_str().is_some_and(|cause| cause.contains(fault.cause))
        });
        (0..20).for_each(|_| self.measure());
        (fault.heal)(&self);
        let healed = Instant::now();
        self.hub.peer().wait_for("all readings on the disk", |header| {
            header["spool"]["up"] == true && header["spool"]["counts"]["readings_on_disk"] == self.last
        });
        let took = healed.elapsed();
        // SQLite resolves the path outside the agent's mount namespace, so it reads a copy.
        for name in ["spool.sqlite", "spool.sqlite-wal"] {
            fs::copy(self.inside(name), self.bench.path(name)).expect("the spool file exists");
        }
        assert_eq!(readings_in(&self.bench.path("spool.sqlite")), self.last);
        took
    }
}
