//! A real file system of the agent's that has no room, and one that is read-only: whether the status says so while readings
//! go on, and how soon all of them are on the disk when it is over. What has files open cannot be made read-only by hand, so
//! it is so from the start there; how it becomes so is in `tests/end_to_end/spool_faults.rs`. The file system is mounted for
//! the agent alone, so it has to be root who runs it: `cargo bench --bench fulldisk -- --times 20`.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::hub::{Hub, hello, readings_in, spooling_of, take};
use harness::{Bench, Board, Program};

/// From its end to everything on the disk.
const RECOVERY: Duration = Duration::from_secs(5);

/// Bytes that the file system has, with room for what the agent keeps.
const SIZE: usize = 4 << 20;

struct Fault {
    name: &'static str,
    /// How the file system is mounted, beyond its size.
    mounted: &'static str,
    cause: &'static str,
    inject: fn(&Lab),
    heal: fn(&Lab),
}

const FAULTS: [Fault; 2] = [
    Fault {
        name: "full",
        mounted: "rw",
        cause: "the disk is full",
        inject: Lab::fill,
        heal: |lab| fs::remove_file(lab.inside("filler")).expect("it is there"),
    },
    Fault {
        name: "read-only",
        mounted: "ro",
        cause: "the disk is read-only",
        inject: |_| {},
        heal: Lab::make_writable,
    },
];

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| *argument != "--times").skip(1);
    let times = arguments.next().map_or(5, |times| times.parse().expect("--times N"));
    println!("           times   all on the disk after it is over, s: half, all; wanted: {}", RECOVERY.as_secs());
    for fault in FAULTS {
        let mut took: Vec<f64> = (0..times).map(|_| Lab::new(&fault).suffer(&fault).as_secs_f64()).collect();
        took.sort_by(f64::total_cmp);
        println!("{:<10}{times:>6}   {:>6.2}{:>6.2}", fault.name, took[took.len() / 2], took[took.len() - 1]);
        assert!(took[took.len() - 1] < RECOVERY.as_secs_f64());
    }
}

/// An agent whose spool has a file system of its own.
struct Lab {
    bench: Bench,
    board: Board,
    hub: Hub,
    agent: Program,
    last: u64,
}

impl Lab {
    fn new(fault: &Fault) -> Lab {
        let (bench, board, mut hub) = (Bench::new(), Board::new(), Hub::new());
        let directory = bench.path("state/watchpost");
        fs::create_dir_all(&directory).expect("a temporary directory");
        let mut unshare = Command::new("unshare");
        let mount = format!("mount -t tmpfs -o size={SIZE},{} spool \"$0\" && exec \"$@\"", fault.mounted);
        unshare.args(["--mount", "sh", "-c", &mount]).arg(directory).arg(env!("CARGO_BIN_EXE_watchpost"));
        let agent = spooling_of(unshare, &bench, &board, &hub, "");
        agent.logs("open at", "");
        hub.open().says(&hello());
        Lab { bench, board, hub, agent, last: 0 }
    }

    /// A file of the spool's directory, which nobody but the agent sees under its own name.
    fn inside(&self, name: &str) -> PathBuf {
        let directory = self.bench.path("state/watchpost");
        let directory = directory.strip_prefix("/").expect("a whole path");
        PathBuf::from(format!("/proc/{}/root", self.agent.id())).join(directory).join(name)
    }

    fn fill(&self) {
        let mut filler = File::create(self.inside("filler")).expect("a file");
        // The last write takes what there is.
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
        self.board.say(&format!("n-{}", self.last));
        take(self.hub.peer(), [self.last]);
    }

    /// Gives how long it took to recover.
    fn suffer(mut self, fault: &Fault) -> Duration {
        (fault.inject)(&self);
        self.measure();
        self.hub.peer().hears(fault.cause, |header| {
            header["spool"]["cause"].as_str().is_some_and(|cause| cause.contains(fault.cause))
        });
        (0..20).for_each(|_| self.measure());
        (fault.heal)(&self);
        let healed = Instant::now();
        self.hub.peer().hears("all on the disk", |header| {
            header["spool"]["up"] == true && header["spool"]["counts"]["readings_on_disk"] == self.last
        });
        let took = healed.elapsed();
        // A copy, because SQLite would look for the name outside.
        for name in ["spool.sqlite", "spool.sqlite-wal"] {
            fs::copy(self.inside(name), self.bench.path(name)).expect("it is there");
        }
        assert_eq!(readings_in(&self.bench.path("spool.sqlite")), self.last);
        took
    }
}
