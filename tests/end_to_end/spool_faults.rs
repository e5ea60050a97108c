use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::hub::{Hub, hello, spooling_of, take, waits_for};
use crate::harness::{Bench, Board, Program, faulty, read_spool, repair};

/// Time limit from the end of a fault until everything is on the disk.
const RECOVERY_LIMIT: Duration = Duration::from_secs(5);

/// An agent with a reading on a disk that is about to fail, and a receiver that acknowledges nothing.
struct Setup {
    bench: Bench,
    board: Board,
    hub: Hub,
    agent: Program,
    last: u64,
}

impl Setup {
    /// From the agent's second start on, calls fail on spool files with these endings.
    fn new(faults: &[&str], endings: &[&str]) -> Setup {
        let (bench, mut board, mut hub) = (Bench::in_memory(), Board::new(), Hub::new());
        let mut first = spooling_of(Command::new(env!("CARGO_BIN_EXE_watchpost")), &bench, &board, &hub, "");
        first.wait_for_log("open at", "");
        board.write_line("n-1");
        waits_for(&bench, 1);
        first.terminate();
        let files: Vec<PathBuf> = endings.iter().map(|ending| spool(&bench, ending)).collect();
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let agent = spooling_of(faulty(faults, &files), &bench, &board, &hub, "");
        agent.wait_for_log("open at", "");
        hub.open().send(&hello());
        Setup { bench, board, hub, agent, last: 1 }
    }

    /// Measures once more; the reading must arrive live.
    #[track_caller]
    fn measure(&mut self) {
        self.last += 1;
        self.board.write_line(&format!("n-{}", self.last));
        let received = take(self.hub.peer(), [self.last]);
        let last = received.last().expect("a reading");
        assert!(last["backlog"] != true, "not sent live: {last}");
    }

    #[track_caller]
    fn reports_spool(&self, is_up: bool, how: &str) {
        self.hub.peer().wait_for(how, |header| {
            let spool = &header["spool"];
            let cause = spool["cause"].as_str().unwrap_or_default();
            header["type"] == "status" && spool["up"] == is_up && cause.contains(how)
        });
    }

    /// Repairs the disk. Everything must be on it in time, and survive killing the agent.
    #[track_caller]
    fn recovers(mut self) {
        let mut repaired = repair(&self.agent);
        waits_for(&self.bench, self.last);
        let took = repaired.elapsed();
        assert!(took < RECOVERY_LIMIT, "after {took:?}");
        self.reports_spool(true, "open");
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
fn failing_syncs_keep_readings_in_memory() {
    let mut setup = Setup::new(&["fsync,fdatasync:error=EIO"], &["-wal"]);
    for _ in 0..3 {
        setup.measure();
    }
    setup.reports_spool(false, "the disk fails");
    setup.measure();
    setup.recovers();
}

#[test]
fn one_failed_sync_makes_the_spool_use_a_new_file() {
    let mut setup = Setup::new(&["fsync,fdatasync:error=EIO:when=1"], &["-wal"]);
    // Kept open, so that its inode number is not reused.
    let before =
        File::open(spool(&setup.bench, "")).and_then(|file| Ok((file.metadata()?.ino(), file))).expect("a spool");
    setup.measure();
    setup.reports_spool(false, "the disk fails");
    setup.measure();
    setup.reports_spool(true, "open");
    assert_ne!(fs::metadata(spool(&setup.bench, "")).expect("a spool").ino(), before.0, "the same file");
    assert!(!spool(&setup.bench, ".old").exists());
    setup.recovers();
}

#[test]
fn full_disk_keeps_readings_in_memory() {
    let mut setup = Setup::new(&["pwrite64,write:error=ENOSPC"], &["-wal", ""]);
    setup.measure();
    setup.reports_spool(false, "the disk is full");
    setup.measure();
    setup.recovers();
}

#[test]
fn disk_turned_read_only_keeps_readings_in_memory() {
    let mut setup = Setup::new(&["pwrite64,write,fsync,fdatasync:error=EROFS"], &["-wal", ""]);
    setup.measure();
    setup.reports_spool(false, "the disk fails");
    setup.measure();
    setup.recovers();
}

#[test]
fn disk_read_only_at_start_keeps_readings_in_memory() {
    let faults = ["openat,pwrite64,write,fsync,fdatasync,?rename,?renameat,?unlink,?unlinkat:error=EROFS"];
    let mut setup = Setup::new(&faults, &["", "-wal", "-shm", ".lock", ".old"]);
    setup.measure();
    setup.reports_spool(false, "the disk is read-only");
    setup.measure();
    setup.recovers();
}
