use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use watchpost::name::Name;
use watchpost::wire::Batch;

use crate::harness::hub::{Hub, acknowledge, spooling, take, value, waits_for};
use crate::harness::{Bench, Board, Program, kept};

/// Each so-manieth byte is changed, and each so-manieth length tried, so that it takes seconds. A prime: the places in pages
/// and frames are all had. `WATCHPOST_EVERY=1` has all, in minutes: `WATCHPOST_EVERY=1 cargo test --release spool_damage`.
fn every() -> usize {
    std::env::var("WATCHPOST_EVERY").map_or(193, |every| every.parse().expect("WATCHPOST_EVERY is a number"))
}

/// Of the file, and of what was written ahead of it.
#[derive(Clone)]
struct Files {
    file: Vec<u8>,
    ahead: Vec<u8>,
}

/// A file of an agent without a receiver, and what it holds.
struct Sample {
    files: Files,
    /// For whom it is kept.
    link: String,
    batches: Vec<(Name, Batch)>,
}

const NAME: &str = "spool.sqlite";
const AHEAD: &str = "spool.sqlite-wal";

/// A directory in memory: what is tried here by the thousand is not whether the disk keeps it.
fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a temporary directory")
}

impl Files {
    fn read(directory: &Path) -> Files {
        let file = fs::read(directory.join(NAME)).expect("a spool");
        Files { file, ahead: fs::read(directory.join(AHEAD)).unwrap_or_default() }
    }

    /// Alone in a directory.
    fn write(&self, directory: &Path) -> PathBuf {
        for entry in fs::read_dir(directory).expect("a directory") {
            fs::remove_file(entry.expect("an entry").path()).expect("a file");
        }
        let path = directory.join(NAME);
        fs::write(&path, &self.file).expect("a file");
        if !self.ahead.is_empty() {
            fs::write(directory.join(AHEAD), &self.ahead).expect("a file");
        }
        path
    }

    /// Cut off behind the last commit that is whole in so many bytes of what was written ahead.
    fn committed(&self, ahead: usize) -> Files {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + 4096;
        let ends = (HEADER..=ahead).step_by(FRAME).skip(1);
        // The size of the file, which only the last frame of a commit has.
        let end = ends.filter(|end| self.ahead[end - FRAME + 4..][..4] != [0; 4]).last().unwrap_or(0);
        Files { ahead: self.ahead[..end].to_vec(), ..self.clone() }
    }
}

/// An agent that waits for nobody, once for each of so many readings.
fn measure(bench: &Bench, hub: &Hub, numbers: std::ops::RangeInclusive<u64>) -> Program {
    let mut board = Board::new();
    let agent = spooling(bench, &board, hub, "");
    agent.logs("open at", "");
    for number in numbers {
        board.say(&format!("n-{number}-soil-{}", number * 7));
        // What comes together is one row.
        sleep(Duration::from_millis(3));
        if number % 32 == 0 {
            waits_for(bench, 2 * number);
        }
    }
    agent
}

fn sample(ends: impl Fn(&mut Program)) -> Sample {
    let (bench, hub) = (Bench::new(), Hub::new());
    measure(&bench, &hub, 1..=96).terminate();
    let mut agent = measure(&bench, &hub, 97..=160);
    ends(&mut agent);
    let files = Files::read(&bench.path("state/watchpost"));
    let directory = memory();
    let kept = kept(&files.write(directory.path()), &hub.address);
    assert_eq!(kept.batches.iter().map(|(_, batch)| batch.values.len()).sum::<usize>(), 320);
    assert_eq!(kept.set_aside(), 0);
    Sample { files, link: hub.address, batches: kept.batches }
}

/// Opens the files, twice: what is delivered was measured, what is not is in a file that was set aside, and the file that
/// came of it is sound. Gives what is otherwise.
fn judge(sample: &Sample, damaged: &Files, directory: &Path, wanted: usize) -> Result<(), String> {
    let path = damaged.write(directory);
    let first = kept(&path, &sample.link);
    if !first.status.up {
        return Err(first.status.cause);
    }
    if let Some(batch) = first.batches.iter().find(|batch| !sample.batches.contains(batch)) {
        return Err(format!("never measured: {batch:?}"));
    }
    let unique: BTreeSet<_> = first.batches.iter().map(|(boot, batch)| (boot, batch.seq)).collect();
    let came = first.batches.len();
    if unique.len() < came {
        return Err("twice".to_owned());
    }
    let is_aside = first.set_aside() > 0;
    if came < wanted && !is_aside {
        return Err(format!("{came} of {wanted}, without a word"));
    }
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    if is_aside != names.into_iter().any(|name| name.to_string_lossy().contains(".damaged-")) {
        return Err("a word, and nothing aside".to_owned());
    }
    let second = kept(&path, &sample.link);
    if second.batches == first.batches && second.set_aside() == 0 {
        Ok(())
    } else {
        Err(format!("not sound afterwards: {:?}", second.status))
    }
}

/// Does it for all numbers below `end`, on all processors.
fn for_each(end: usize, act: impl Fn(usize, &Path) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let directory = memory();
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < end
                {
                    if let Err(what) = act(number, directory.path()) {
                        wrong.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {end}:\n{}", wrong.len(), wrong.join("\n"));
}

fn flip_every_byte(sample: &Sample) {
    let all = sample.files.file.len() + sample.files.ahead.len();
    let start = fastrand::usize(..every());
    for_each((all - start).div_ceil(every()), |number, directory| {
        let place = start + number * every();
        let mut files = sample.files.clone();
        let in_file = files.file.len();
        let byte = if place < in_file { &mut files.file[place] } else { &mut files.ahead[place - in_file] };
        // All bits, or one of them: each by turns.
        let changed = *byte ^ if number % 2 == 0 { 0xff } else { 1 << (number / 2 % 8) };
        let before = std::mem::replace(byte, changed);
        judge(sample, &files, directory, sample.batches.len())
            .map_err(|what| format!("byte {place} of {in_file} and those ahead, {before}, is {changed}: {what}"))
    });
}

fn cut_at_every_length(sample: &Sample) {
    let (in_file, ahead) = (sample.files.file.len(), sample.files.ahead.len());
    let start = fastrand::usize(..every());
    for_each((in_file + ahead - start).div_ceil(every()), |number, directory| {
        let place = start + number * every();
        let mut files = sample.files.clone();
        let wanted = if place < in_file {
            files.file.truncate(place);
            // An empty file is a new one.
            if place == 0 && ahead == 0 { 0 } else { sample.batches.len() }
        } else {
            files.ahead.truncate(place - in_file);
            // A commit is there or it is not.
            kept(&sample.files.committed(place - in_file).write(directory), &sample.link).batches.len()
        };
        judge(sample, &files, directory, wanted)
            .map_err(|what| format!("{place} bytes of {in_file} and {ahead} ahead: {what}"))
    });
}

fn closed() -> Sample {
    let sample = sample(|agent| {
        agent.terminate();
    });
    assert!(sample.files.ahead.is_empty());
    sample
}

#[test]
fn a_file_with_a_byte_changed_gives_what_is_sound_of_it() {
    flip_every_byte(&closed());
}

#[test]
fn a_file_that_is_cut_short_gives_what_is_sound_of_it() {
    cut_at_every_length(&closed());
}

fn killed() -> Sample {
    let sample = sample(|agent| {
        agent.signal(Signal::SIGKILL);
        agent.wait();
    });
    assert!(sample.files.ahead.len() > 32 && sample.files.file.len() > 4096);
    sample
}

#[test]
fn what_was_written_ahead_with_a_byte_changed_gives_what_is_sound_of_it() {
    flip_every_byte(&killed());
}

#[test]
fn what_was_written_ahead_and_is_cut_short_gives_what_is_sound_of_it() {
    cut_at_every_length(&killed());
}

#[test]
fn an_agent_with_a_damaged_spool_sends_what_is_sound_of_it_and_what_comes() {
    let sample = closed();
    let length = sample.files.file.len();
    // The first page, a page of rows, half of it, and none of ours.
    for damage in 0..4 {
        let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
        let mut files = sample.files.clone();
        match damage {
            0 => files.file[..100].fill(0x55),
            1 => files.file[length - 600..length - 200].fill(0),
            2 => files.file.truncate(length / 2),
            _ => files.file = b"no database at all".to_vec(),
        }
        fs::create_dir_all(bench.path("state/watchpost")).expect("a temporary directory");
        files.write(&bench.path("state/watchpost"));
        let agent = spooling(&bench, &board, &hub, "");
        agent.logs("and what is sound of it was taken over", "");
        assert!(bench.path("state/watchpost/spool.sqlite.damaged-1").exists());
        board.say("n-1000");
        let peer = hub.open();
        let came = take(peer, [1000]);
        for reading in came.iter().filter(|reading| value(reading) != 1000) {
            assert!(sample.batches.iter().any(|(boot, _)| reading["boot"] == **boot), "{reading}");
        }
        acknowledge(peer, &came);
    }
}
