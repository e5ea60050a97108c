//! Receivers that record, and their files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchpost::receiver::recorder::reader;

use super::film::film_of;
use super::{Bench, Receiver};

/// A receiver that records into the bench's directory, with more lines of its `[record]` table.
pub fn recording(bench: &Bench, lines: &str) -> Receiver {
    recording_by(Command::new(env!("CARGO_BIN_EXE_watchpost")), bench, lines)
}

/// The same of a program with an environment of its own.
pub fn recording_by(watchpost: Command, bench: &Bench, lines: &str) -> Receiver {
    let dir = bench.path("recordings");
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    let config = format!("{link}[history]\noff = true\n[record]\ndir = \"{}\"\n{lines}", dir.display());
    bench.receiver_by(watchpost, &config)
}

/// The files of a camera, in the order of their beginnings.
pub fn files(bench: &Bench, camera: &str) -> Vec<PathBuf> {
    let dir = bench.path("recordings/shed").join(camera);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.into_iter().collect()
}

pub fn is_finished(file: &Path) -> bool {
    file.to_str().is_some_and(|name| name.ends_with("ms.mkv"))
}

/// How many frames of the door can be read now.
pub fn frames_in(bench: &Bench) -> usize {
    frames_of(bench, "door")
}

pub fn frames_of(bench: &Bench, camera: &str) -> usize {
    let files = files(bench, camera);
    let whole = |file: &PathBuf| {
        let file = fs::File::open(file).ok()?;
        let clusters = reader::scan(&file).ok()??;
        let frames = clusters.cue_points.iter().filter_map(|mark| {
            let cluster = reader::cluster(&file, mark.position).ok()??;
            Some(reader::blocks(&cluster).filter(reader::Block::is_picture).count())
        });
        Some(frames.sum::<usize>())
    };
    files.iter().filter_map(whole).sum()
}

/// Different pictures of 480x320.
pub fn jpegs(bench: &Bench, count: u8) -> Vec<Vec<u8>> {
    film_of(bench, "film", count, (480, 320)).1
}
