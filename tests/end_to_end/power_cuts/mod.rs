//! Cuts the power at many moments of an agent's run. The agent runs once while strace logs its calls; each cut is
//! reconstructed from that log.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::hub::{Hub, ack, hello, seq, spooling_config};
use crate::harness::{Bench, Board, PATIENCE, read_spool};
use disk::{CALLS, Call, calls, files_at};

/// Readings per second.
const RATE: u32 = 200;

/// Identifies a reading: the agent's start, and the sequence number in it.
type Id = (String, u64);

#[derive(Debug)]
struct Reading {
    value: f64,
    captured_us: i64,
    /// When its first acknowledgement was sent.
    acked: Option<f64>,
}

/// An agent's run: its calls and its readings.
pub struct Run {
    link: String,
    calls: Vec<Call>,
    /// The age in seconds from which readings must be on the disk.
    write_limit: f64,
    /// The time without acknowledgements, from when the first readings must be on the disk.
    unacknowledged: Range<f64>,
    readings: BTreeMap<Id, Reading>,
}

/// The results of all cuts.
#[derive(Debug, Default)]
pub struct Results {
    /// Readings that had to be on the disk, summed over all cuts.
    pub wanted: usize,
    /// Cuts after which a file was set aside.
    pub set_aside: usize,
    pub wrong: Vec<String>,
}

/// A directory in memory, because the disk is simulated.
fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a temporary directory")
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Runs an agent for `length`: first without a receiver, then with one that acknowledges most readings. The agent is
/// restarted in between and killed at the end.
pub fn record(length: Duration, write_limit: f64) -> Run {
    let (bench, mut board, mut hub, directory) = (Bench::in_memory(), Board::new(), Hub::new(), memory());
    let spool = format!("spool.path = \"{}/spool.sqlite\"", directory.path().display());
    let config = spooling_config(&board, &hub, &spool);
    let start = || {
        let agent = bench.agent_of(traced(&bench.path("calls")), &config);
        agent.wait_for_log("open at", "");
        agent
    };
    let mut agent = start();
    let (stop, next_value, mut readings) = (AtomicBool::new(false), AtomicUsize::new(0), BTreeMap::new());
    let mut unacknowledged = now() + write_limit..0.0;
    scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                board.write_line(&format!("n-{}", next_value.fetch_add(1, Ordering::Relaxed)));
                sleep(Duration::from_secs(1) / RATE);
            }
        });
        let third = length / 3;
        sleep(third);
        unacknowledged.end = now();
        hub.open();
        listen(&hub, &mut readings, third, |_| false);
        // A pair socket serves one peer, and drops the previous one only when it is polled.
        hub.close();
        agent.terminate();
        agent = start();
        hub.open();
        listen(&hub, &mut readings, third, |_| false);
        stop.store(true, Ordering::Relaxed);
    });
    let last = next_value.load(Ordering::Relaxed) as f64 - 1.0;
    listen(&hub, &mut readings, PATIENCE, |readings| is_complete(readings, last));
    assert!(is_complete(&readings, last), "not within {PATIENCE:?}: all readings");
    agent.kill();
    let mut all: Vec<Call> = logs(bench.dir.path()).iter().flat_map(|log| calls(log, directory.path())).collect();
    all.sort_by(|one, other| one.start.total_cmp(&other.start));
    // Readings that were not delivered yet were measured, too.
    for (boot, batch) in read_spool(&directory.path().join("spool.sqlite"), &hub.address).batches {
        for (number, value) in (batch.seq..).zip(&batch.values) {
            let reading = || Reading { value: value.value, captured_us: batch.captured_at_us, acked: None };
            readings.entry((boot.to_string(), number)).or_insert_with(reading);
        }
    }
    Run { link: hub.address, calls: all, write_limit, unacknowledged, readings }
}

impl Run {
    /// Counts readings and calls.
    #[allow(dead_code, reason = "only the bench prints it")]
    pub fn summary(&self) -> String {
        let acked = self.readings.values().filter(|reading| reading.acked.is_some()).count();
        format!("{} readings, {acked} acknowledged; {}", self.readings.len(), disk::summary(&self.calls))
    }
}

/// A watchpost command whose calls strace logs, to one file per thread named after `log`.
fn traced(log: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Only traced calls stop the program, and no write is longer than 70000 bytes.
    strace.args([
        "-D",
        "-I2",
        "-ff",
        "-qq",
        "-ttt",
        "-T",
        "-y",
        "-xx",
        "-s",
        "70000",
        "--seccomp-bpf",
        "-e",
        CALLS,
        "-o",
    ]);
    strace.arg(log).arg(env!("CARGO_BIN_EXE_watchpost"));
    strace
}

fn logs(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.file_stem().is_some_and(|stem| stem == "calls"))
        .map(|path| fs::read_to_string(path).expect("a log"))
        .collect()
}

/// Receives readings for `time` or until `done`, and acknowledges most of them.
fn listen(
    hub: &Hub,
    readings: &mut BTreeMap<Id, Reading>,
    time: Duration,
    done: impl Fn(&BTreeMap<Id, Reading>) -> bool,
) {
    let (peer, end) = (hub.peer(), Instant::now() + time);
    peer.socket.set_rcvtimeo(50).expect("an option");
    let mut greeted = None::<Instant>;
    while Instant::now() < end && !done(readings) {
        if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            greeted = Some(Instant::now());
            peer.send(&hello());
        }
        let Ok(parts) = peer.socket.recv_multipart(0) else { continue };
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        let acked = (fastrand::u8(..20) > 0).then(now);
        let mut range = None;
        for batch in header["batches"].as_array().into_iter().flatten() {
            let (first, values) = (seq(batch), batch["values"].as_array().expect("a list"));
            for (number, measured) in (first..).zip(values) {
                let id = (header["boot"].as_str().expect("a name").to_owned(), number);
                let reading = readings.entry(id).or_insert_with(|| Reading {
                    value: measured["value"].as_f64().expect("a number"),
                    captured_us: batch["captured_at_us"].as_i64().expect("a number"),
                    acked,
                });
                reading.acked = reading.acked.or(acked);
            }
            range = Some((range.map_or(first, |(first, _)| first), first + values.len() as u64 - 1));
        }
        if let Some((first, last)) = range.filter(|_| acked.is_some()) {
            peer.send(&ack(&header["boot"], first, last));
        }
    }
}

/// True if the reading with the value `last` arrived, and no start of the agent has a gap.
fn is_complete(readings: &BTreeMap<Id, Reading>, last: f64) -> bool {
    let mut by_boot: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (boot, number) in readings.keys() {
        let (count, highest) = by_boot.entry(boot).or_default();
        (*count, *highest) = (*count + 1, *number.max(highest));
    }
    by_boot.len() == 2
        && by_boot.values().all(|(count, highest)| count == highest)
        && readings.values().any(|reading| reading.value.to_bits() == last.to_bits())
}

/// Cuts the power `cuts` times and checks the files: at any time, while nothing is acknowledged, or during a call.
pub fn cut(run: &Run, cuts: usize) -> Results {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Results::default()));
    scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (directory, mut rng) = (memory(), Rng::new());
                while next.fetch_add(1, Ordering::Relaxed) < cuts {
                    let at = cut_time(run, &mut rng);
                    let seed = rng.get_seed();
                    disk::write(&files_at(&run.calls, at, &mut rng), directory.path());
                    if let Err(error) = check(run, at, directory.path(), &results) {
                        results.lock().unwrap().wrong.push(format!("{at:.6}, {seed}: {error}"));
                    }
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn cut_time(run: &Run, rng: &mut Rng) -> f64 {
    let calls = &run.calls;
    let (from, to) = match rng.u8(..3) {
        0 => (calls[0].start, calls[calls.len() - 1].end),
        1 => (run.unacknowledged.start, run.unacknowledged.end),
        _ => {
            let call = &calls[rng.usize(..calls.len())];
            (call.start, call.end)
        }
    };
    from + (to - from) * rng.f64()
}

fn check(run: &Run, cut: f64, directory: &Path, results: &Mutex<Results>) -> Result<(), String> {
    let kept = read_spool(&directory.join("spool.sqlite"), &run.link);
    if !kept.status.up {
        return Err(kept.status.cause);
    }
    let mut stored = BTreeSet::new();
    for (boot, batch) in &kept.batches {
        for (number, value) in (batch.seq..).zip(&batch.values) {
            let id = (boot.to_string(), number);
            let Some(reading) = run.readings.get(&id) else {
                return Err(format!("{id:?} was never measured: {batch:?}"));
            };
            if (reading.value.to_bits(), reading.captured_us) != (value.value.to_bits(), batch.captured_at_us) {
                return Err(format!("{id:?} was {reading:?} and is {batch:?}"));
            }
            if !stored.insert(id.clone()) {
                return Err(format!("{id:?} is stored twice"));
            }
        }
    }
    let is_old = |reading: &Reading| reading.captured_us as f64 / 1e6 < cut - run.write_limit;
    let was_acked = |reading: &Reading| reading.acked.is_some_and(|at| at <= cut);
    let wanted = run.readings.iter().filter(|(_, reading)| is_old(reading) && !was_acked(reading));
    let wanted: Vec<_> = wanted.collect();
    {
        let mut results = results.lock().unwrap();
        results.wanted += wanted.len();
        results.set_aside += usize::from(kept.set_aside() > 0);
    }
    match wanted.iter().find(|(id, _)| !stored.contains(*id)) {
        Some(lost) => Err(format!("lost {lost:?}, {} others are stored", stored.len())),
        None => Ok(()),
    }
}

#[test]
fn power_cuts_lose_only_the_youngest_readings() {
    // The agent promises one second, which the bench checks. Other tests slow it down here.
    let run = record(Duration::from_secs(9), 2.0);
    let results = cut(&run, 20);
    assert!(results.wanted > 100, "{results:?}");
    assert!(results.wrong.is_empty(), "{results:#?}");
}
