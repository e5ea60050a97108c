use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::hub::{Hub, hello, spooling_of, take, waits_for};
use crate::harness::{Bench, Board, Program, faulty, read_spool, repair};

/// From the end of a fault to everything on the disk.
const RECOVERY: Duration = Duration::from_secs(5);

/// An agent whose disk is about to fail, with some readings on it, and its receiver that acknowledges nothing.
struct Lab {
    bench: Bench,
    board: Board,
    hub: Hub,
    agent: Program,
    last: u64,
}

impl Lab {
    /// Calls fail from the second start of the agent on, if they are about the files with these endings.
    fn new(faults: &[&str], endings: &[&str]) -> Lab {
        let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
        let mut first = spooling_of(Command::new(env!("CARGO_BIN_EXE_watchpost")), &bench, &board, &hub, "");
        first.logs("open at", "");
        board.say("n-1");
        waits_for(&bench, 1);
        first.terminate();
        let files: Vec<PathBuf> = endings.iter().map(|ending| spool(&bench, ending)).collect();
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let agent = spooling_of(faulty(faults, &files), &bench, &board, &hub, "");
        agent.logs("open at", "");
        hub.open().says(&hello());
        Lab { bench, board, hub, agent, last: 1 }
    }

    /// Measures once more, which arrives as it comes.
    #[track_caller]
    fn measure(&mut self) {
        self.last += 1;
        self.board.say(&format!("n-{}", self.last));
        let came = take(self.hub.peer(), [self.last]);
        let last = came.last().expect("what was waited for");
        assert!(last["backlog"] != true, "as it comes: {last}");
    }

    #[track_caller]
    fn says_that_the_spool(&self, is_up: bool, how: &str) {
        self.hub.peer().hears(how, |header| {
            let spool = &header["spool"];
            let cause = spool["cause"].as_str().unwrap_or_default();
            header["type"] == "status" && spool["up"] == is_up && cause.contains(how)
        });
    }

    /// The disk works again: within time everything is on it, and is there after the agent was killed.
    #[track_caller]
    fn heals(mut self) {
        let healed = repair(&self.agent);
        waits_for(&self.bench, self.last);
        assert!(healed.elapsed() < RECOVERY, "after {:?}", healed.elapsed());
        self.says_that_the_spool(true, "open");
        self.agent.kill();
        let mut times = BTreeMap::new();
        for (_, batch) in read_spool(&spool(&self.bench, ""), &self.hub.address).batches {
            *times.entry(batch.values[0].value as u64).or_default() += 1;
        }
        assert_eq!(times, (1..=self.last).map(|number| (number, 1)).collect());
    }
}

fn spool(bench: &Bench, ending: &str) -> PathBuf {
    bench.path(&format!("state/watchpost/spool.sqlite{ending}"))
}

#[test]
fn when_syncs_fail_readings_wait_in_memory() {
    let mut lab = Lab::new(&["fsync,fdatasync:error=EIO"], &["-wal"]);
    for _ in 0..3 {
        lab.measure();
    }
    lab.says_that_the_spool(false, "the disk fails");
    lab.measure();
    lab.heals();
}

#[test]
fn when_one_sync_fails_and_the_next_would_not_nothing_of_the_file_is_trusted() {
    let mut lab = Lab::new(&["fsync,fdatasync:error=EIO:when=1"], &["-wal"]);
    // Open, so that no other file has its number.
    let before =
        File::open(spool(&lab.bench, "")).and_then(|file| Ok((file.metadata()?.ino(), file))).expect("a spool");
    lab.measure();
    lab.says_that_the_spool(false, "the disk fails");
    lab.measure();
    lab.says_that_the_spool(true, "open");
    assert_ne!(fs::metadata(spool(&lab.bench, "")).expect("a spool").ino(), before.0, "the same file");
    assert!(!spool(&lab.bench, ".old").exists());
    lab.heals();
}

#[test]
fn when_the_disk_is_full_readings_wait_in_memory() {
    let mut lab = Lab::new(&["pwrite64,write:error=ENOSPC"], &["-wal", ""]);
    lab.measure();
    lab.says_that_the_spool(false, "the disk is full");
    lab.measure();
    lab.heals();
}

#[test]
fn when_the_disk_becomes_read_only_readings_wait_in_memory() {
    let mut lab = Lab::new(&["pwrite64,write,fsync,fdatasync:error=EROFS"], &["-wal", ""]);
    lab.measure();
    lab.says_that_the_spool(false, "the disk fails");
    lab.measure();
    lab.heals();
}

#[test]
fn when_the_disk_is_read_only_from_the_start_readings_wait_in_memory() {
    let faults = ["openat,pwrite64,write,fsync,fdatasync,?rename,?renameat,?unlink,?unlinkat:error=EROFS"];
    let mut lab = Lab::new(&faults, &["", "-wal", "-shm", ".lock", ".old"]);
    lab.measure();
    lab.says_that_the_spool(false, "the disk is read-only");
    lab.measure();
    lab.heals();
}
