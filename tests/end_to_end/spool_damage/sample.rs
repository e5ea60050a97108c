//! Sample spool files to damage, and their contents.

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

/// The bytes of the database and of its write-ahead log.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) file: Vec<u8>,
    pub(super) wal: Vec<u8>,
}

/// The spool of an agent without a receiver, and its contents.
pub(super) struct Sample {
    pub(super) files: Files,
    /// The link that the spool keeps the readings for.
    pub(super) link: String,
    pub(super) batches: Vec<(Name, Batch)>,
    /// Cache: the number of rows by the length of the write-ahead log.
    rows_by_wal_length: Mutex<BTreeMap<usize, usize>>,
}

/// Bytes per page, and the first bytes of pages of a table without rowids
/// (<https://sqlite.org/fileformat2.html#b_tree_pages>): interior pages, which point to others, and leaf pages.
pub(super) const PAGE: usize = 4096;
const INTERIOR: u8 = 2;
const LEAF: u8 = 10;

pub(super) const NAME: &str = "spool.sqlite";
pub(super) const WAL: &str = "spool.sqlite-wal";

/// A directory in memory, because thousands of attempts need no durable disk.
pub(super) fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a temporary directory")
}

impl Files {
    pub(super) fn read(directory: &Path) -> Files {
        let file = fs::read(directory.join(NAME)).expect("a spool");
        Files { file, wal: fs::read(directory.join(WAL)).unwrap_or_default() }
    }

    /// Replaces the contents of a directory with the files; returns the database's path.
    pub(super) fn write(&self, directory: &Path) -> PathBuf {
        for entry in fs::read_dir(directory).expect("a directory") {
            fs::remove_file(entry.expect("an entry").path()).expect("a file");
        }
        let path = directory.join(NAME);
        fs::write(&path, &self.file).expect("a file");
        if !self.wal.is_empty() {
            fs::write(directory.join(WAL), &self.wal).expect("a file");
        }
        path
    }

    /// Returns how many rows may be lost with the page that contains this byte: all for the first and for interior
    /// pages, and one for a page that may hold the end of a long row.
    pub(super) fn rows_at(&self, offset: usize, all: usize) -> usize {
        let page = offset / PAGE * PAGE;
        match self.file[page] {
            _ if page == 0 => all,
            INTERIOR => all,
            LEAF => usize::from(u16::from_be_bytes([self.file[page + 3], self.file[page + 4]])),
            _ => 1,
        }
    }

    /// Truncates the write-ahead log after the last complete commit within this many bytes.
    pub(super) fn committed(&self, wal_bytes: usize) -> Files {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + PAGE;
        let ends = (HEADER..=wal_bytes).step_by(FRAME).skip(1);
        // Only the last frame of a commit has the size of the database.
        let end = ends.filter(|end| self.wal[end - FRAME + 4..][..4] != [0; 4]).last().unwrap_or(0);
        Files { wal: self.wal[..end].to_vec(), ..self.clone() }
    }
}

impl Sample {
    /// True if the sample has this batch. A batch of a damaged start name matches under any name.
    pub(super) fn contains(&self, (boot, batch): &(Name, Batch)) -> bool {
        let is_known = self.batches.iter().any(|(known, _)| known == boot);
        self.batches.iter().any(|(known, measured)| (known == boot || !is_known) && measured == batch)
    }

    /// Returns the number of rows with the complete commits within this many bytes of the write-ahead log.
    pub(super) fn committed(&self, wal_bytes: usize, directory: &Path) -> usize {
        let files = self.files.committed(wal_bytes);
        let known = self.rows_by_wal_length.lock().unwrap().get(&files.wal.len()).copied();
        known.unwrap_or_else(|| {
            let rows = read_spool(&files.write(directory), &self.link).batches.len();
            self.rows_by_wal_length.lock().unwrap().insert(files.wal.len(), rows);
            rows
        })
    }
}

/// Starts an agent without a receiver and measures these numbers; returns the running agent.
fn measure(bench: &Bench, hub: &Hub, numbers: std::ops::RangeInclusive<u64>) -> Program {
    let mut board = Board::new();
    let agent = spooling(bench, &board, hub, "");
    agent.wait_for_log("open at", "");
    for number in numbers {
        board.write_line(&format!("n-{number}-soil-{}", number * 7));
        // Lines that arrive together share a row.
        sleep(Duration::from_millis(3));
        if number % 32 == 0 {
            waits_for(bench, 2 * number);
        }
    }
    agent
}

pub(super) fn sample(stop: impl Fn(&mut Program)) -> Sample {
    let (bench, hub) = (Bench::new(), Hub::new());
    measure(&bench, &hub, 1..=96).terminate();
    let mut agent = measure(&bench, &hub, 97..=160);
    stop(&mut agent);
    let files = Files::read(&bench.path("state/watchpost"));
    let directory = memory();
    let kept = read_spool(&files.write(directory.path()), &hub.address);
    assert_eq!(kept.batches.iter().map(|(_, batch)| batch.values.len()).sum::<usize>(), 320);
    assert_eq!(kept.set_aside(), 0);
    Sample { files, link: hub.address, batches: kept.batches, rows_by_wal_length: Mutex::default() }
}
