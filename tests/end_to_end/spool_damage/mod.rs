mod sample;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use sample::{Files, NAME, PAGE, Sample, WAL, memory, sample};

use crate::harness::hub::{Hub, acknowledge, readings_in, spooling, spooling_of, take, value, waits_for};
use crate::harness::{Bench, Board, faulty, read_spool};

/// The step between the bytes that are changed and the lengths that are tried; it keeps the tests to seconds. It is
/// prime, to meet every position in pages and frames. `WATCHPOST_EVERY=1 cargo test --release spool_damage` tries all,
/// in minutes.
fn step() -> usize {
    std::env::var("WATCHPOST_EVERY").map_or(193, |every| every.parse().expect("WATCHPOST_EVERY is a number"))
}

/// Opens the damaged files twice; fails with a description of the first problem. All delivered rows must have been
/// measured. At least `intact` rows must be delivered, and `wanted` if no file was set aside. The second time, the file
/// must be undamaged.
fn check(sample: &Sample, damaged: &Files, directory: &Path, wanted: usize, intact: usize) -> Result<(), String> {
    let path = damaged.write(directory);
    let first = read_spool(&path, &sample.link);
    if !first.status.up {
        return Err(first.status.cause);
    }
    if let Some(batch) = first.batches.iter().find(|batch| !sample.contains(batch)) {
        return Err(format!("never measured: {batch:?}"));
    }
    let unique: BTreeSet<_> = first.batches.iter().map(|(boot, batch)| (boot, batch.seq)).collect();
    let delivered = first.batches.len();
    if unique.len() < delivered {
        return Err("rows delivered twice".to_owned());
    }
    let is_aside = first.set_aside() > 0;
    if delivered < wanted && !is_aside {
        return Err(format!("{delivered} of {wanted} rows, and no file set aside"));
    }
    if delivered < intact {
        return Err(format!("{delivered} of {wanted} rows, although {intact} are intact"));
    }
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    if is_aside != names.into_iter().any(|name| name.to_string_lossy().contains(".damaged-")) {
        return Err("the report and the files set aside disagree".to_owned());
    }
    let second = read_spool(&path, &sample.link);
    if second.batches == first.batches && second.set_aside() == 0 {
        Ok(())
    } else {
        Err(format!("damaged when opened again: {:?}", second.status))
    }
}

/// Calls `act` with all numbers below `end`, on all processors.
fn for_each(end: usize, act: impl Fn(usize, &Path) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let directory = memory();
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < end
                {
                    if let Err(error) = act(number, directory.path()) {
                        wrong.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {end}:\n{}", wrong.len(), wrong.join("\n"));
}

fn flip_every_byte(sample: &Sample) {
    let all = sample.files.file.len() + sample.files.wal.len();
    let start = fastrand::usize(..step());
    for_each((all - start).div_ceil(step()), |number, directory| {
        let offset = start + number * step();
        let mut files = sample.files.clone();
        let (database, rows) = (files.file.len(), sample.batches.len());
        let intact = match offset.checked_sub(database) {
            None => rows - files.rows_at(offset, rows).min(rows),
            Some(wal) => sample.committed(wal, directory),
        };
        let byte = if offset < database { &mut files.file[offset] } else { &mut files.wal[offset - database] };
        // Alternately all bits and a single one.
        let changed = *byte ^ if number % 2 == 0 { 0xff } else { 1 << (number / 2 % 8) };
        let before = std::mem::replace(byte, changed);
        check(sample, &files, directory, rows, intact).map_err(|error| {
            format!("byte {offset} (database of {database} bytes) changed from {before} to {changed}: {error}")
        })
    });
}

fn cut_at_every_length(sample: &Sample) {
    let (database, wal) = (sample.files.file.len(), sample.files.wal.len());
    let start = fastrand::usize(..step());
    for_each((database + wal - start).div_ceil(step()), |number, directory| {
        let offset = start + number * step();
        let mut files = sample.files.clone();
        let (wanted, intact) = if offset < database {
            files.file.truncate(offset);
            // An empty file counts as new. A file shorter than its header says is not read.
            (if offset == 0 && wal == 0 { 0 } else { sample.batches.len() }, 0)
        } else {
            files.wal.truncate(offset - database);
            let committed = sample.committed(offset - database, directory);
            (committed, committed)
        };
        check(sample, &files, directory, wanted, intact)
            .map_err(|error| format!("{offset} bytes of {database} and {wal} in the WAL: {error}"))
    });
}

fn closed_sample() -> Sample {
    let sample = sample(|agent| {
        agent.terminate();
    });
    assert!(sample.files.wal.is_empty());
    sample
}

#[test]
fn changed_byte_in_the_database_keeps_sound_rows() {
    flip_every_byte(&closed_sample());
}

/// `SQLite` opens such a file but never writes it.
#[test]
fn file_whose_header_forbids_writing_is_fully_recovered() {
    let sample = closed_sample();
    let mut files = sample.files.clone();
    files.file[18] = 253;
    let rows = sample.batches.len();
    check(&sample, &files, memory().path(), rows, rows).expect("all rows");
}

#[test]
fn truncated_database_keeps_sound_rows() {
    cut_at_every_length(&closed_sample());
}

fn killed_sample() -> Sample {
    let sample = sample(|agent| {
        agent.kill();
    });
    assert!(sample.files.wal.len() > 32 && sample.files.file.len() > 4096);
    sample
}

#[test]
fn changed_byte_in_the_wal_keeps_sound_rows() {
    flip_every_byte(&killed_sample());
}

#[test]
fn truncated_wal_keeps_sound_rows() {
    cut_at_every_length(&killed_sample());
}

#[test]
fn agent_with_damaged_spool_sends_sound_and_new_readings() {
    let sample = closed_sample();
    let length = sample.files.file.len();
    // Damages the header or a page of rows, removes half of the file, or replaces it.
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
        agent.wait_for_log(".damaged-1, recovered ", " readings");
        agent.wait_for_log("open at", "");
        assert!(bench.path("state/watchpost/spool.sqlite.damaged-1").exists());
        board.write_line("n-1000");
        let peer = hub.open();
        let received = take(peer, [1000]);
        for reading in received.iter().filter(|reading| value(reading) != 1000) {
            assert!(sample.batches.iter().any(|(boot, _)| reading["boot"] == **boot), "{reading}");
        }
        acknowledge(peer, &received);
    }
}

/// Prepares an agent with these spool files; returns it with its board and hub, and the spool's directory.
fn bench_with(files: &Files) -> (Bench, Board, Hub, PathBuf) {
    let (bench, board, hub) = (Bench::new(), Board::new(), Hub::new());
    let directory = bench.path("state/watchpost");
    fs::create_dir_all(&directory).expect("a temporary directory");
    files.write(&directory);
    (bench, board, hub, directory)
}

/// Damages a page of rows; returns the files and the number of intact rows.
fn damage_a_page(sample: &Sample) -> (Files, usize) {
    let mut files = sample.files.clone();
    let page = (0..files.file.len()).step_by(PAGE).rfind(|page| files.rows_at(*page, 0) > 20).expect("a page of rows");
    let intact = sample.batches.len() - files.rows_at(page, 0);
    files.file[page..page + 8].fill(0x55);
    (files, intact)
}

#[test]
fn recovery_interrupted_by_a_full_disk_is_completed() {
    let sample = closed_sample();
    let (files, intact) = damage_a_page(&sample);
    let (bench, board, hub, directory) = bench_with(&files);
    let new = [NAME, WAL].map(|name| directory.join(name));
    let full = faulty(&["pwrite64:error=ENOSPC"], &new.each_ref().map(PathBuf::as_path));
    let mut agent = spooling_of(full, &bench, &board, &hub, "");
    agent.wait_for_log("the disk is full; readings wait in memory", "");
    agent.kill();
    let kept = read_spool(&directory.join(NAME), &sample.link);
    assert!(kept.status.up && kept.batches.len() >= intact, "{} of {intact}: {:?}", kept.batches.len(), kept.status);
    assert_eq!(kept.set_aside(), 1);
}

#[test]
fn read_errors_count_as_damage() {
    let sample = closed_sample();
    // Errors while the file is checked, and while its intact rows are recovered.
    for (damaged, endings, when) in [(false, [""; 2], "when=6"), (true, [".old", ".damaged-1"], "when=7+")] {
        let files = if damaged { damage_a_page(&sample).0 } else { sample.files.clone() };
        let (bench, mut board, hub, directory) = bench_with(&files);
        let bad = endings.map(|ending| directory.join(format!("{NAME}{ending}")));
        let fault = format!("pread64:error=EIO:{when}");
        let bad = faulty(&[&fault], &bad.each_ref().map(PathBuf::as_path));
        let agent = spooling_of(bad, &bench, &board, &hub, "");
        agent.wait_for_log(".damaged-1, recovered ", " readings");
        agent.wait_for_log("open at", "");
        let recovered = readings_in(&directory.join(NAME));
        assert!(recovered == 320 || damaged && (1..320).contains(&recovered), "{recovered} readings");
        board.write_line("n-1000");
        waits_for(&bench, recovered + 1);
    }
}

#[test]
fn file_being_moved_at_a_crash_is_complete() {
    let sample = killed_sample();
    let directory = memory();
    let path = sample.files.write(directory.path());
    fs::rename(&path, directory.path().join(format!("{NAME}.old"))).expect("a file");
    let kept = read_spool(&path, &sample.link);
    assert_eq!((kept.set_aside(), kept.batches.len()), (0, sample.batches.len()));
}

/// `SQLite` treats such a file as empty.
#[test]
fn file_of_one_byte_is_set_aside() {
    for sample in [closed_sample(), killed_sample()] {
        let directory = memory();
        let mut files = sample.files.clone();
        files.file.truncate(1);
        check(&sample, &files, directory.path(), sample.batches.len(), 0).expect("a file set aside");
    }
}

#[test]
fn rows_of_a_damaged_start_name_get_another_name() {
    let sample = closed_sample();
    let directory = memory();
    let path = sample.files.write(directory.path());
    Connection::open(&path)
        .and_then(|file| file.execute("UPDATE starts SET boot = 'x' WHERE id = 1", []))
        .expect("a row");
    let kept = read_spool(&path, &sample.link);
    assert_eq!((kept.set_aside(), kept.batches.len()), (1, sample.batches.len()));
    assert!(kept.batches.iter().all(|batch| sample.contains(batch) && *batch.0 != *"x"));
}
