use std::fs;
use std::path::Path;

use crate::harness::ffmpeg::pictures;
use crate::harness::recordings::{files, frames_in, is_finished, jpegs, recording};
use crate::harness::{Bench, Sender, eventually, now_us};

#[test]
fn a_file_that_is_cut_anywhere_plays_to_the_last_second_and_is_carried_on() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.sends_all(&jpegs, 250);
    eventually("all but the last second", || (frames_in(&bench) >= 225).then_some(()));
    receiver.program.kill();
    let left = files(&bench, "door").remove(0);
    assert!(!is_finished(&left));
    let whole = fs::read(&left).expect("a recording");
    let name = left.file_name().and_then(|name| name.to_str()).expect("a name");

    // Each is a camera of its own; every other one has the name of a file that was finished.
    let cuts: usize = std::env::var("WATCHPOST_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(20);
    let lengths: Vec<usize> = (0..cuts).map(|_| fastrand::usize(0..whole.len())).collect();
    for (number, length) in lengths.iter().enumerate() {
        let dir = bench.path(&format!("recordings/shed/cut-{number}"));
        fs::create_dir_all(&dir).expect("a temporary directory");
        fs::write(dir.join(name), &whole[..*length]).expect("a temporary file");
        check_cut(&dir.join(name), &jpegs, &whole, *length);
    }
    let receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    for (number, length) in lengths.iter().enumerate() {
        let camera = format!("cut-{number}");
        eventually("the file is finished or, if nothing is in it, gone", || {
            files(&bench, &camera).iter().all(|file| is_finished(file)).then_some(())
        });
        for file in files(&bench, &camera) {
            check_cut(&file, &jpegs, &whole, *length);
        }
    }
    let before = frames_in(&bench);
    eventually("more is recorded", || {
        sender.sends(&jpegs[0], now_us());
        (frames_in(&bench) > before).then_some(())
    });
}

/// Of the pictures that are in the first bytes, at most those of the last second are not read.
fn check_cut(file: &Path, jpegs: &[Vec<u8>], whole: &[u8], length: usize) {
    let mut there = 0;
    let mut from = 0;
    let mut all = Vec::new();
    while let Some(place) = memchr::memmem::find(&whole[from..length], &jpegs[there % 15]) {
        all.extend_from_slice(&jpegs[there % 15]);
        (from, there) = (from + place + jpegs[there % 15].len(), there + 1);
    }
    let wanted: usize = (0..there.saturating_sub(25)).map(|number| jpegs[number % 15].len()).sum();
    if wanted == 0 {
        return;
    }
    let read = pictures(file);
    assert!(read.len() >= wanted && read[..wanted] == all[..wanted], "{} of {length}: {}", file.display(), read.len());
}
