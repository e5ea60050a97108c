use std::fs;
use std::path::Path;

use crate::harness::ffmpeg::pictures;
use crate::harness::recordings::{files, frames_in, is_finished, jpegs, recording};
use crate::harness::{Bench, Sender, eventually, now_us};

#[test]
fn truncated_file_keeps_all_but_the_last_second() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send_all(&jpegs, 250);
    eventually("all but the last second", || (frames_in(&bench) >= 225).then_some(()));
    receiver.program.kill();
    let left = files(&bench, "door").remove(0);
    assert!(!is_finished(&left));
    let whole = fs::read(&left).expect("a recording");
    let name = left.file_name().and_then(|name| name.to_str()).expect("a name");

    // Each truncated file belongs to its own camera.
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
        eventually("the file finished, or removed if it is empty", || {
            files(&bench, &camera).iter().all(|file| is_finished(file)).then_some(())
        });
        for file in files(&bench, &camera) {
            check_cut(&file, &jpegs, &whole, *length);
        }
    }
    let before = frames_in(&bench);
    eventually("more frames recorded", || {
        sender.send(&jpegs[0], now_us());
        (frames_in(&bench) > before).then_some(())
    });
}

/// Checks that a player reads all pictures within the first `length` bytes, except for those of the last second.
fn check_cut(file: &Path, jpegs: &[Vec<u8>], whole: &[u8], length: usize) {
    let mut count = 0;
    let mut from = 0;
    let mut complete = Vec::new();
    while let Some(offset) = memchr::memmem::find(&whole[from..length], &jpegs[count % 15]) {
        complete.extend_from_slice(&jpegs[count % 15]);
        (from, count) = (from + offset + jpegs[count % 15].len(), count + 1);
    }
    let wanted: usize = (0..count.saturating_sub(25)).map(|number| jpegs[number % 15].len()).sum();
    if wanted == 0 {
        return;
    }
    let read = pictures(file);
    assert!(
        read.len() >= wanted && read[..wanted] == complete[..wanted],
        "{} of {length}: {}",
        file.display(),
        read.len()
    );
}
