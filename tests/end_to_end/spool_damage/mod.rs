mod sample;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use sample::{AHEAD, Files, NAME, PAGE, Sample, memory, sample};

use crate::harness::hub::{Hub, acknowledge, readings_in, spooling, spooling_of, take, value, waits_for};
use crate::harness::{Bench, Board, faulty, kept};

/// Each so-manieth byte is changed, and each so-manieth length tried, so that it takes seconds. A prime: the places in pages
/// and frames are all had. `WATCHPOST_EVERY=1` has all, in minutes: `WATCHPOST_EVERY=1 cargo test --release spool_damage`.
fn every() -> usize {
    std::env::var("WATCHPOST_EVERY").map_or(193, |every| every.parse().expect("WATCHPOST_EVERY is a number"))
}

/// Opens the files, twice: what is delivered was measured, what is not is in a file that was set aside, and the file that
/// came of it is sound. Without a file aside these are `wanted` rows, with one `sound` or more. Gives what is otherwise.
fn judge(sample: &Sample, damaged: &Files, directory: &Path, wanted: usize, sound: usize) -> Result<(), String> {
    let path = damaged.write(directory);
    let first = kept(&path, &sample.link);
    if !first.status.up {
        return Err(first.status.cause);
    }
    if let Some(batch) = first.batches.iter().find(|batch| !sample.has_measured(batch)) {
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
    if came < sound {
        return Err(format!("{came} of {wanted}, and {sound} are sound"));
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
        let (in_file, rows) = (files.file.len(), sample.batches.len());
        let sound = match place.checked_sub(in_file) {
            None => rows - files.rows_at(place, rows).min(rows),
            Some(ahead) => sample.committed(ahead, directory),
        };
        let byte = if place < in_file { &mut files.file[place] } else { &mut files.ahead[place - in_file] };
        // All bits, or one of them: each by turns.
        let changed = *byte ^ if number % 2 == 0 { 0xff } else { 1 << (number / 2 % 8) };
        let before = std::mem::replace(byte, changed);
        judge(sample, &files, directory, rows, sound)
            .map_err(|what| format!("byte {place} of {in_file} and those ahead, {before}, is {changed}: {what}"))
    });
}

fn cut_at_every_length(sample: &Sample) {
    let (in_file, ahead) = (sample.files.file.len(), sample.files.ahead.len());
    let start = fastrand::usize(..every());
    for_each((in_file + ahead - start).div_ceil(every()), |number, directory| {
        let place = start + number * every();
        let mut files = sample.files.clone();
        let (wanted, sound) = if place < in_file {
            files.file.truncate(place);
            // An empty file is a new one. Of one that is shorter than it says nothing is read.
            (if place == 0 && ahead == 0 { 0 } else { sample.batches.len() }, 0)
        } else {
            files.ahead.truncate(place - in_file);
            let committed = sample.committed(place - in_file, directory);
            (committed, committed)
        };
        judge(sample, &files, directory, wanted, sound)
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

/// `SQLite` opens it, and would never write it.
#[test]
fn a_file_whose_header_forbids_writing_is_set_aside_and_all_of_it_taken_over() {
    let sample = closed();
    let mut files = sample.files.clone();
    files.file[18] = 253;
    let rows = sample.batches.len();
    judge(&sample, &files, memory().path(), rows, rows).expect("all of it");
}

#[test]
fn a_file_that_is_cut_short_gives_what_is_sound_of_it() {
    cut_at_every_length(&closed());
}

fn killed() -> Sample {
    let sample = sample(|agent| {
        agent.kill();
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
        agent.logs(".damaged-1, recovered ", " readings");
        agent.logs("open at", "");
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

/// Of an agent that has these files: its place for them, and what it needs.
fn with(files: &Files) -> (Bench, Board, Hub, PathBuf) {
    let (bench, board, hub) = (Bench::new(), Board::new(), Hub::new());
    let directory = bench.path("state/watchpost");
    fs::create_dir_all(&directory).expect("a temporary directory");
    files.write(&directory);
    (bench, board, hub, directory)
}

/// With a page of rows that makes no sense.
fn with_a_page_damaged(sample: &Sample) -> (Files, usize) {
    let mut files = sample.files.clone();
    let page = (0..files.file.len()).step_by(PAGE).rfind(|page| files.rows_at(*page, 0) > 20).expect("a page of rows");
    let sound = sample.batches.len() - files.rows_at(page, 0);
    files.file[page..page + 8].fill(0x55);
    (files, sound)
}

#[test]
fn what_there_was_no_room_for_is_taken_over_when_there_is() {
    let sample = closed();
    let (files, sound) = with_a_page_damaged(&sample);
    let (bench, board, hub, directory) = with(&files);
    let new = [NAME, AHEAD].map(|name| directory.join(name));
    let full = faulty(&["pwrite64:error=ENOSPC"], &new.each_ref().map(PathBuf::as_path));
    let mut agent = spooling_of(full, &bench, &board, &hub, "");
    agent.logs("the disk is full; readings wait in memory", "");
    agent.kill();
    let kept = kept(&directory.join(NAME), &sample.link);
    assert!(kept.status.up && kept.batches.len() >= sound, "{} of {sound}: {:?}", kept.batches.len(), kept.status);
    assert_eq!(kept.set_aside(), 1);
}

#[test]
fn what_cannot_be_read_is_damage_and_the_rest_is_had() {
    let sample = closed();
    // While it is looked at, and while what is sound of it is taken over.
    for (damaged, endings, when) in [(false, [""; 2], "when=6"), (true, [".old", ".damaged-1"], "when=7+")] {
        let files = if damaged { with_a_page_damaged(&sample).0 } else { sample.files.clone() };
        let (bench, mut board, hub, directory) = with(&files);
        let bad = endings.map(|ending| directory.join(format!("{NAME}{ending}")));
        let fault = format!("pread64:error=EIO:{when}");
        let bad = faulty(&[&fault], &bad.each_ref().map(PathBuf::as_path));
        let agent = spooling_of(bad, &bench, &board, &hub, "");
        agent.logs(".damaged-1, recovered ", " readings");
        agent.logs("open at", "");
        let taken = readings_in(&directory.join(NAME));
        assert!(taken == 320 || damaged && (1..320).contains(&taken), "{taken} readings");
        board.say("n-1000");
        waits_for(&bench, taken + 1);
    }
}

#[test]
fn a_file_that_was_being_moved_when_the_machine_stopped_is_whole() {
    let sample = killed();
    let directory = memory();
    let path = sample.files.write(directory.path());
    fs::rename(&path, directory.path().join(format!("{NAME}.old"))).expect("a file");
    let kept = kept(&path, &sample.link);
    assert_eq!((kept.set_aside(), kept.batches.len()), (0, sample.batches.len()));
}

/// `SQLite` calls it empty.
#[test]
fn a_file_that_is_cut_to_its_first_byte_is_set_aside() {
    for sample in [closed(), killed()] {
        let directory = memory();
        let mut files = sample.files.clone();
        files.file.truncate(1);
        judge(&sample, &files, directory.path(), sample.batches.len(), 0).expect("it is set aside");
    }
}

#[test]
fn rows_of_a_start_whose_name_is_damaged_have_another() {
    let sample = closed();
    let directory = memory();
    let path = sample.files.write(directory.path());
    Connection::open(&path)
        .and_then(|file| file.execute("UPDATE starts SET boot = 'x' WHERE id = 1", []))
        .expect("a row");
    let kept = kept(&path, &sample.link);
    assert_eq!((kept.set_aside(), kept.batches.len()), (1, sample.batches.len()));
    assert!(kept.batches.iter().all(|batch| sample.has_measured(batch) && *batch.0 != *"x"));
}
