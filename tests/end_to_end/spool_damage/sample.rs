//! The files of an agent's spool, to be damaged, and what they hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use watchpost::name::Name;
use watchpost::wire::Batch;

use crate::harness::hub::{Hub, spooling, waits_for};
use crate::harness::{Bench, Board, Program, read_spool};

/// Of the file, and of what was written ahead of it.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) file: Vec<u8>,
    pub(super) ahead: Vec<u8>,
}

/// A file of an agent without a receiver, and what it holds.
pub(super) struct Sample {
    pub(super) files: Files,
    /// For whom it is kept.
    pub(super) link: String,
    pub(super) batches: Vec<(Name, Batch)>,
    /// How many there are with so much of what was written ahead, as far as that was looked at.
    rows_by_ahead: Mutex<BTreeMap<usize, usize>>,
}

/// Bytes of a page, and how pages of a table without rowids begin (<https://sqlite.org/fileformat2.html#b_tree_pages>): those
/// that lead to others, and those that have only rows.
pub(super) const PAGE: usize = 4096;
const LEADS: u8 = 2;
const ROWS: u8 = 10;

pub(super) const NAME: &str = "spool.sqlite";
pub(super) const AHEAD: &str = "spool.sqlite-wal";

/// A directory in memory: what is tried here by the thousand is not whether the disk keeps it.
pub(super) fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a temporary directory")
}

impl Files {
    pub(super) fn read(directory: &Path) -> Files {
        let file = fs::read(directory.join(NAME)).expect("a spool");
        Files { file, ahead: fs::read(directory.join(AHEAD)).unwrap_or_default() }
    }

    /// Alone in a directory.
    pub(super) fn write(&self, directory: &Path) -> PathBuf {
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

    /// So many rows may be lost with the page of the file that has this byte: all with the first page and with one that leads
    /// to others, and one with any that may have the end of a long one.
    pub(super) fn rows_at(&self, place: usize, all: usize) -> usize {
        let page = place / PAGE * PAGE;
        match self.file[page] {
            _ if page == 0 => all,
            LEADS => all,
            ROWS => usize::from(u16::from_be_bytes([self.file[page + 3], self.file[page + 4]])),
            _ => 1,
        }
    }

    /// Cut off behind the last commit that is whole in so many bytes of what was written ahead.
    pub(super) fn committed(&self, ahead: usize) -> Files {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + PAGE;
        let ends = (HEADER..=ahead).step_by(FRAME).skip(1);
        // The size of the file, which only the last frame of a commit has.
        let end = ends.filter(|end| self.ahead[end - FRAME + 4..][..4] != [0; 4]).last().unwrap_or(0);
        Files { ahead: self.ahead[..end].to_vec(), ..self.clone() }
    }
}

impl Sample {
    /// Of a start whose name was damaged it has another one.
    pub(super) fn has_measured(&self, (boot, batch): &(Name, Batch)) -> bool {
        let is_known = self.batches.iter().any(|(known, _)| known == boot);
        self.batches.iter().any(|(known, measured)| (known == boot || !is_known) && measured == batch)
    }

    /// How many rows there are when so much of what was written ahead is: a commit is there or it is not.
    pub(super) fn committed(&self, ahead: usize, directory: &Path) -> usize {
        let files = self.files.committed(ahead);
        let known = self.rows_by_ahead.lock().unwrap().get(&files.ahead.len()).copied();
        known.unwrap_or_else(|| {
            let rows = read_spool(&files.write(directory), &self.link).batches.len();
            self.rows_by_ahead.lock().unwrap().insert(files.ahead.len(), rows);
            rows
        })
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

pub(super) fn sample(ends: impl Fn(&mut Program)) -> Sample {
    let (bench, hub) = (Bench::new(), Hub::new());
    measure(&bench, &hub, 1..=96).terminate();
    let mut agent = measure(&bench, &hub, 97..=160);
    ends(&mut agent);
    let files = Files::read(&bench.path("state/watchpost"));
    let directory = memory();
    let kept = read_spool(&files.write(directory.path()), &hub.address);
    assert_eq!(kept.batches.iter().map(|(_, batch)| batch.values.len()).sum::<usize>(), 320);
    assert_eq!(kept.set_aside(), 0);
    Sample { files, link: hub.address, batches: kept.batches, rows_by_ahead: Mutex::default() }
}
