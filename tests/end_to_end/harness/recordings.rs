//! Receivers that record, and their recordings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchpost::receiver::recorder::reader;

use super::film::film_of;
use super::{Bench, Receiver};

/// Starts a receiver that records into the bench, with additional `lines` in its `[record]` table.
pub fn recording(bench: &Bench, lines: &str) -> Receiver {
    recording_by(Command::new(env!("CARGO_BIN_EXE_watchpost")), bench, lines)
}

/// Like [`recording`], from a prepared command.
pub fn recording_by(watchpost: Command, bench: &Bench, lines: &str) -> Receiver {
    let dir = bench.path("recordings");
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    let config = format!("{link}[history]\noff = true\n[record]\ndir = \"{}\"\n{lines}", dir.display());
    bench.receiver_by(watchpost, &config)
}

/// The recordings of a camera, sorted by start time.
pub fn files(bench: &Bench, camera: &str) -> Vec<PathBuf> {
    let dir = bench.path("recordings/shed").join(camera);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.into_iter().collect()
}

/// Whether the file's name ends with a duration, which only finished recordings have.
pub fn is_finished(file: &Path) -> bool {
    file.to_str().is_some_and(|name| name.ends_with("ms.mkv"))
}

/// The number of readable frames of the camera `door`.
pub fn frames_in(bench: &Bench) -> usize {
    frames_of(bench, "door")
}

/// The number of readable frames of a camera.
pub fn frames_of(bench: &Bench, camera: &str) -> usize {
    let files = files(bench, camera);
    let readable = |file: &PathBuf| {
        let file = fs::File::open(file).ok()?;
        let scan = reader::scan(&file).ok()??;
        let frames = scan.cue_points.iter().filter_map(|cue_point| {
            let cluster = reader::cluster(&file, cue_point.position).ok()??;
            Some(reader::blocks(&cluster).filter(reader::Block::is_picture).count())
        });
        Some(frames.sum::<usize>())
    };
    files.iter().filter_map(readable).sum()
}

/// `count` different JPEGs of 480x320.
pub fn jpegs(bench: &Bench, count: u8) -> Vec<Vec<u8>> {
    film_of(bench, "film", count, (480, 320)).1
}
