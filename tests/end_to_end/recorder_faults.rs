use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::harness::http::get;
use crate::harness::recordings::{files, frames_in, is_finished, jpegs, recording, recording_by};
use crate::harness::{Bench, Clock, Program, Sender, eventually, now_us};

const HOUR_US: i64 = 3_600_000_000;

/// Creates a finished recording of camera door, filled with zeros; returns its path.
fn finished_file(bench: &Bench, start_us: i64, bytes: usize) -> PathBuf {
    let start = jiff::Timestamp::from_microsecond(start_us).expect("a time");
    let dir = bench.path("recordings/shed/door");
    fs::create_dir_all(&dir).expect("a temporary directory");
    let path = dir.join(format!("{}_600000ms.mkv", start.strftime("%Y-%m-%dT%H-%M-%S.%3fZ")));
    fs::write(&path, vec![0; bytes]).expect("a temporary file");
    path
}

#[test]
fn oldest_files_are_deleted_while_recording_continues() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let clock = Clock::new(&bench);
    clock.set(0, true, "first");
    let lines = "segment = \"1s\"\nmax_size = \"1 MB\"\nkeep = \"1h\"";
    let receiver = recording_by(clock.watchpost(), &bench, lines);
    let mut sender = Sender::new(&receiver.link, "door");
    // Older than `keep`.
    let long_ago = now_us() - 2 * 3_600_000_000;
    (0..100).for_each(|number| sender.send(&jpegs[0], long_ago + number * 40_000));
    receiver.program.wait_for_log("deleting the oldest files (keep;", "");
    eventually("expired files deleted", || files(&bench, "door").is_empty().then_some(()));
    let mut sent = Vec::new();
    let size = || files(&bench, "door").iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum::<u64>();
    let enough = 5_000_000 / jpegs[0].len();
    sent.extend(sender.send_all(&jpegs, enough));
    receiver.program.wait_for_log("deleting the oldest files (max_size;", "");
    eventually("the size below max_size", || (size() <= 1_000_000 && size() > 500_000).then_some(()));
    let newest = sent.last().expect("frames");
    let path = format!("/api/recordings/shed/door/frame.jpg?at_us={}", newest + 1_000);
    eventually("the newest frame", || {
        let captured_us = get(&receiver.page, &path).number("x-captured-at-us");
        captured_us.is_some_and(|captured_us| captured_us.abs_diff(*newest) < 1_000).then_some(())
    });
}

#[test]
fn files_dated_in_the_future_are_deleted_first() {
    let bench = Bench::in_memory();
    let ahead = finished_file(&bench, now_us() + 10_000 * HOUR_US, 600_000);
    let present = [2, 1].map(|hours| finished_file(&bench, now_us() - hours * HOUR_US, 300_000));
    let receiver = recording(&bench, "max_size = \"1 MB\"");
    receiver.program.wait_for_log("deleting the oldest files (max_size;", "");
    assert!(!ahead.exists() && present.iter().all(|file| file.exists()));
}

#[test]
fn unsynchronised_clock_expires_nothing() {
    let bench = Bench::in_memory();
    let old = finished_file(&bench, now_us() - 2 * HOUR_US, 1_000);
    let large = finished_file(&bench, now_us() - 3 * HOUR_US, 1_000_000);
    let clock = Clock::new(&bench);
    clock.set(3 * 366 * 86_400, false, "first");
    let receiver = recording_by(clock.watchpost(), &bench, "keep = \"1h\"\nmax_size = \"1 MB\"");
    // The recorder applies `keep` before `max_size`.
    receiver.program.wait_for_log("deleting the oldest files (max_size;", "");
    assert!(old.exists() && !large.exists());
    clock.set(0, true, "first");
    receiver.program.wait_for_log("deleting the oldest files (keep;", "");
    assert!(!old.exists());
}

#[test]
fn files_on_a_disk_mounted_late_are_found_and_expired() {
    let bench = Bench::in_memory();
    let dir = bench.path("recordings");
    fs::write(&dir, "not a directory").expect("a temporary file");
    let receiver = recording(&bench, "max_size = \"1 MB\"");
    receiver.program.wait_for_log("cannot record in", "retrying");
    let other = Bench::in_memory();
    let files = [3, 2, 1].map(|hours| finished_file(&other, now_us() - hours * HOUR_US, 400_000));
    fs::remove_file(&dir).expect("the file exists");
    copy(&other.path("recordings"), &dir);
    receiver.program.wait_for_log("deleting the oldest files (max_size;", "");
    let names = files.map(|file| dir.join("shed/door").join(file.file_name().expect("a name")));
    assert_eq!(names.map(|file| file.exists()), [false, true, true]);
    let spans = get(&receiver.page, &format!("/api/recordings?from_us=0&to_us={}", now_us())).json();
    assert_eq!(spans["cameras"][0]["spans"].as_array().map(Vec::len), Some(2), "{spans}");
}

/// Copies a directory tree, which appears in one step.
fn copy(from: &Path, to: &Path) {
    let whole = to.with_extension("whole");
    let copied = Command::new("cp").arg("-r").arg(from).arg(&whole).status().expect("cp");
    assert!(copied.success());
    fs::rename(whole, to).expect("a temporary directory");
}

#[test]
fn undeletable_file_does_not_protect_others() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let stuck = finished_file(&bench, now_us() - 3 * HOUR_US, 400_000);
    let next = finished_file(&bench, now_us() - 2 * HOUR_US, 400_000);
    let receiver = recording(&bench, "segment = \"1s\"\nmax_size = \"1 MB\"");
    eventually("both files indexed", || {
        let spans = get(&receiver.page, &format!("/api/recordings?from_us=0&to_us={}", now_us())).json();
        (spans["cameras"][0]["spans"].as_array()?.len() == 2).then_some(())
    });
    // Not even root can unlink a directory.
    fs::remove_file(&stuck).expect("the file exists");
    fs::create_dir(&stuck).expect("a temporary directory");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send_all(&jpegs, 500_000 / jpegs[0].len());
    receiver.program.wait_for_log("deleting the oldest files (max_size;", "");
    assert!(stuck.exists() && !next.exists());
    assert!(receiver.program.log().contains("cannot be removed: "));
}

#[test]
fn second_receiver_leaves_the_directory_alone() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let first = recording(&bench, "");
    let mut sender = Sender::new(&first.link, "door");
    eventually("a file", || {
        sender.send(&jpegs[0], now_us());
        (frames_in(&bench) > 0).then_some(())
    });
    let second = recording(&bench, "");
    second.program.wait_for_log("in use by another program; retrying", "");
    assert!(!is_finished(&files(&bench, "door")[0]));
}

/// Mounts a small file system for the receiver only, which needs root.
#[test]
fn recording_resumes_after_a_full_disk() {
    if !geteuid().is_root() {
        return;
    }
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let dir = bench.path("recordings");
    fs::create_dir_all(&dir).expect("a temporary directory");
    let config = bench.path("full.toml");
    let text = format!(
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n[record]\ndir = \"{}\"\n",
        dir.display()
    );
    fs::write(&config, text).expect("a temporary file");
    let mut unshare = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=8M recordings \"$0\" && exec \"$@\"";
    unshare.args(["--mount", "sh", "-c", mount]).arg(&dir).arg(env!("CARGO_BIN_EXE_watchpost"));
    unshare.args(["receive", "--json", "--config"]).arg(config).env("XDG_STATE_HOME", bench.path("state"));
    let program = Program::start(&mut unshare);
    let link = format!("tcp://{}", program.wait_for_log("link tcp://", ": open"));
    let mut sender = Sender::new(&link, "door");
    let inside =
        PathBuf::from(format!("/proc/{}/root", program.id())).join(dir.strip_prefix("/").expect("an absolute path"));
    let mut send = || sender.send(&jpegs[0], now_us());
    let written = || {
        let files = fs::read_dir(inside.join("shed/door")).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>()
    };
    eventually("recording started", || {
        send();
        (written() > 0).then_some(())
    });
    let mut filler = fs::File::create(inside.join("filler")).expect("a file");
    while filler.write(&[0; 4096]).is_ok() {}
    let full = eventually("the cause in the log", || {
        send();
        program.log().contains("cannot record in").then(|| program.log())
    });
    assert!(full.contains("the disk is full; retrying"), "{full}");
    // Live frames still arrive.
    program.clear_output();
    send();
    program.wait_for_json("a frame", |message| message["type"] == "frame");
    drop(filler);
    fs::remove_file(inside.join("filler")).expect("the file exists");
    let (mut freed, before) = (program.stopwatch(), written());
    eventually("recording resumed", || {
        send();
        (written() > before + 100_000).then_some(())
    });
    let took = freed.elapsed();
    assert!(took < Duration::from_secs(5), "after {took:?}");
    program.wait_for_log("recording again in", "");
}

#[test]
fn unrecordable_camera_is_reported_until_it_recovers() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let receiver = recording(&bench, "");
    let dir = bench.path("recordings/shed/yard");
    fs::create_dir_all(dir.parent().expect("a directory")).expect("a temporary directory");
    fs::write(&dir, "not a directory").expect("a temporary file");
    let mut sender = Sender::new(&receiver.link, "door");
    let mut send = || {
        for camera in ["door", "yard"] {
            sender.camera = camera;
            sender.send(&jpegs[0], now_us());
        }
    };
    let log = || receiver.program.log();
    eventually("one camera recorded, the other not", || {
        send();
        (frames_in(&bench) > 200 && log().contains("cannot record in")).then_some(())
    });
    assert!(!log().contains("recording again in"), "{}", log());
    fs::remove_file(&dir).expect("the file exists");
    eventually("the other camera recorded too", || {
        send();
        log().contains("recording again in").then_some(())
    });
    assert_eq!(log().matches("recording again in").count(), 1);
}
