//! The power goes at any moment of an agent's life, many times: it is run once, what it wrote is written down, and each cut
//! is made of that.

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

/// Readings a second.
const RATE: u32 = 200;

/// A reading by the start of the agent and its number there.
type Id = (String, u64);

#[derive(Debug)]
struct Reading {
    value: f64,
    captured_us: i64,
    /// When it began to be acknowledged.
    acked: Option<f64>,
}

/// What an agent did and what came of it.
pub struct Story {
    link: String,
    calls: Vec<Call>,
    /// What is younger may not be on the disk yet, in seconds.
    young: f64,
    /// While nothing was acknowledged, and some of it is old enough to be on the disk.
    alone: Range<f64>,
    readings: BTreeMap<Id, Reading>,
}

/// What was found at so many cuts.
#[derive(Debug, Default)]
pub struct Found {
    /// Readings that had to be there, summed over all cuts.
    pub wanted: usize,
    /// Cuts at which something was set aside.
    pub set_aside: usize,
    pub wrong: Vec<String>,
}

/// In memory: the disk is one that is made up.
fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a temporary directory")
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Runs an agent for so long: without a receiver at first, then with one that acknowledges most; it is ended and started
/// again in the middle, and killed at the end.
pub fn story(length: Duration, young: f64) -> Story {
    let (bench, mut board, mut hub, directory) = (Bench::in_memory(), Board::new(), Hub::new(), memory());
    let spool = format!("spool.path = \"{}/spool.sqlite\"", directory.path().display());
    let config = spooling_config(&board, &hub, &spool);
    let start = || {
        let agent = bench.agent_of(traced(&bench.path("calls")), &config);
        agent.logs("open at", "");
        agent
    };
    let mut agent = start();
    let (stop, said, mut readings) = (AtomicBool::new(false), AtomicUsize::new(0), BTreeMap::new());
    let mut alone = now() + young..0.0;
    scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                board.say(&format!("n-{}", said.fetch_add(1, Ordering::Relaxed)));
                sleep(Duration::from_secs(1) / RATE);
            }
        });
        let third = length / 3;
        sleep(third);
        alone.end = now();
        hub.open();
        listen(&hub, &mut readings, third, |_| false);
        // A pair has one peer, and lets go of the last only when somebody looks at it.
        hub.close();
        agent.terminate();
        agent = start();
        hub.open();
        listen(&hub, &mut readings, third, |_| false);
        stop.store(true, Ordering::Relaxed);
    });
    let last = said.load(Ordering::Relaxed) as f64 - 1.0;
    listen(&hub, &mut readings, PATIENCE, |readings| is_all(readings, last));
    assert!(is_all(&readings, last), "not within {PATIENCE:?}: all that was measured");
    agent.kill();
    let mut all: Vec<Call> = logs(bench.dir.path()).iter().flat_map(|log| calls(log, directory.path())).collect();
    all.sort_by(|one, other| one.start.total_cmp(&other.start));
    // What has not come yet was measured, too.
    for (boot, batch) in read_spool(&directory.path().join("spool.sqlite"), &hub.address).batches {
        for (number, value) in (batch.seq..).zip(&batch.values) {
            let reading = || Reading { value: value.value, captured_us: batch.captured_at_us, acked: None };
            readings.entry((boot.to_string(), number)).or_insert_with(reading);
        }
    }
    Story { link: hub.address, calls: all, young, alone, readings }
}

impl Story {
    /// How much there is of each.
    #[allow(dead_code, reason = "the bench says it")]
    pub fn summary(&self) -> String {
        let acked = self.readings.values().filter(|reading| reading.acked.is_some()).count();
        format!("{} readings, {acked} acknowledged; {}", self.readings.len(), disk::summary(&self.calls))
    }
}

/// A command for watchpost whose calls are written down, each thread's in a file of its own beside `log`.
fn traced(log: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Only what is looked at stops, and no write is longer than this.
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

/// Takes readings for so long, or until it is done, and acknowledges most of them.
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
            peer.says(&hello());
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
            peer.says(&ack(&header["boot"], first, last));
        }
    }
}

/// The last has come, and of each start of the agent all before its last.
fn is_all(readings: &BTreeMap<Id, Reading>, last: f64) -> bool {
    let mut by_boot: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (boot, number) in readings.keys() {
        let (count, most) = by_boot.entry(boot).or_default();
        (*count, *most) = (*count + 1, *number.max(most));
    }
    by_boot.len() == 2
        && by_boot.values().all(|(count, most)| count == most)
        && readings.values().any(|reading| reading.value.to_bits() == last.to_bits())
}

/// Cuts the power so many times, some while nothing is acknowledged, some in the middle of a call, and looks at what is there then.
pub fn cut(story: &Story, cuts: usize) -> Found {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Found::default()));
    scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (directory, mut rng) = (memory(), Rng::new());
                while next.fetch_add(1, Ordering::Relaxed) < cuts {
                    let at = moment(story, &mut rng);
                    let seed = rng.get_seed();
                    disk::write(&files_at(&story.calls, at, &mut rng), directory.path());
                    judge(story, at, directory.path(), &found)
                        .unwrap_or_else(|what| found.lock().unwrap().wrong.push(format!("{at:.6}, {seed}: {what}")));
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn moment(story: &Story, rng: &mut Rng) -> f64 {
    let calls = &story.calls;
    let (from, to) = match rng.u8(..3) {
        0 => (calls[0].start, calls[calls.len() - 1].end),
        1 => (story.alone.start, story.alone.end),
        _ => {
            let call = &calls[rng.usize(..calls.len())];
            (call.start, call.end)
        }
    };
    from + (to - from) * rng.f64()
}

fn judge(story: &Story, cut: f64, directory: &Path, found: &Mutex<Found>) -> Result<(), String> {
    let kept = read_spool(&directory.join("spool.sqlite"), &story.link);
    if !kept.status.up {
        return Err(kept.status.cause);
    }
    let mut there = BTreeSet::new();
    for (boot, batch) in &kept.batches {
        for (number, value) in (batch.seq..).zip(&batch.values) {
            let id = (boot.to_string(), number);
            let Some(reading) = story.readings.get(&id) else {
                return Err(format!("{id:?} was never measured: {batch:?}"));
            };
            if (reading.value.to_bits(), reading.captured_us) != (value.value.to_bits(), batch.captured_at_us) {
                return Err(format!("{id:?} was {reading:?} and is {batch:?}"));
            }
            if !there.insert(id.clone()) {
                return Err(format!("{id:?} is there twice"));
            }
        }
    }
    let is_old = |reading: &Reading| reading.captured_us as f64 / 1e6 < cut - story.young;
    let has_gone = |reading: &Reading| reading.acked.is_some_and(|at| at <= cut);
    let wanted = story.readings.iter().filter(|(_, reading)| is_old(reading) && !has_gone(reading));
    let wanted: Vec<_> = wanted.collect();
    {
        let mut found = found.lock().unwrap();
        found.wanted += wanted.len();
        found.set_aside += usize::from(kept.set_aside() > 0);
    }
    match wanted.iter().find(|(id, _)| !there.contains(*id)) {
        Some(lost) => Err(format!("lost: {lost:?}, of {} that are there", there.len())),
        None => Ok(()),
    }
}

#[test]
fn nothing_but_the_youngest_is_lost_when_the_power_goes() {
    // A second is promised, and the bench holds the agent to that; here others keep it from its work, too.
    let story = story(Duration::from_secs(9), 2.0);
    let found = cut(&story, 20);
    assert!(found.wanted > 100, "{found:?}");
    assert!(found.wrong.is_empty(), "{found:#?}");
}
