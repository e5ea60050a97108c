//! What is on a disk when the power goes, of what a program wrote: strace has written down each of its calls, and a disk may
//! keep any part of what was not synced.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The calls that matter, for strace; `SQLite` writes nothing without saying where to.
pub const CALLS: &str = "trace=openat,pwrite64,ftruncate,fsync,fdatasync,/^rename,/^unlink";

/// One call, and when it began and returned, in seconds since 1970.
#[derive(Debug)]
pub struct Call {
    pub start: f64,
    pub end: f64,
    what: What,
}

/// Files by their names in the directory.
#[derive(Debug)]
enum What {
    Create(String),
    Write(String, usize, Vec<u8>),
    Truncate(String, usize),
    Sync(String),
    SyncNames,
    Rename(String, String),
    Remove(String),
}

/// All calls about files of this directory in a log of strace (`-ttt -T -y -xx`), in order.
pub fn calls(log: &str, directory: &Path) -> Vec<Call> {
    log.lines().filter_map(|line| call(line, directory)).collect()
}

fn call(line: &str, directory: &Path) -> Option<Call> {
    let (start, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    if result.starts_with('-') {
        return None;
    }
    let took = result.rsplit_once('<')?.1.strip_suffix('>')?;
    let start: f64 = start.parse().ok()?;
    let strings = strings(arguments);
    let path = |place: usize| -> Option<&Path> { Some(Path::new(std::str::from_utf8(strings.get(place)?).ok()?)) };
    let file = |place: usize| -> Option<String> {
        let name = path(place)?.strip_prefix(directory).ok()?.to_str()?;
        // Memory that is shared, and not read after a cut.
        (!name.is_empty() && !name.ends_with("-shm")).then(|| name.to_owned())
    };
    let number = |from_end: usize| arguments.rsplit(", ").nth(from_end)?.parse().ok();
    let what = match name {
        "openat" => What::Create(file(1).filter(|_| arguments.contains("O_CREAT"))?),
        "pwrite64" => What::Write(file(0)?, number(0)?, strings.into_iter().nth(1)?),
        "ftruncate" => What::Truncate(file(0)?, number(0)?),
        "fsync" | "fdatasync" if path(0)? == directory => What::SyncNames,
        "fsync" | "fdatasync" => What::Sync(file(0)?),
        "rename" => What::Rename(file(0)?, file(1)?),
        "renameat" | "renameat2" => What::Rename(file(1)?, file(3)?),
        "unlink" => What::Remove(file(0)?),
        "unlinkat" => What::Remove(file(1)?),
        other => panic!("{other} of {:?} is not reckoned with", file(0)?),
    };
    Some(Call { start, end: start + took.parse::<f64>().ok()?, what })
}

/// What stands in quotes or, after a descriptor, in brackets, all of it in hexadecimal.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    let parts = arguments.split(['"', '<', '>']).skip(1).step_by(2);
    parts
        .map(|part| part.split("\\x").skip(1).map(|hex| u8::from_str_radix(hex, 16).expect("two digits")).collect())
        .collect()
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

type Names = BTreeMap<String, usize>;

#[derive(Default)]
struct Disk {
    files: Vec<File>,
    names: Names,
    /// The names as they were before each change that was not synced.
    before: Vec<Names>,
}

/// The files when the power goes at a moment: what was synced, and of the rest nothing, all, or any part.
pub fn files_at(calls: &[Call], cut: f64, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    let mut disk = Disk::default();
    for call in calls.iter().take_while(|call| call.start <= cut) {
        disk.takes(&call.what, call.end <= cut);
    }
    let chance = [0.0, 1.0, 0.5, 0.9, 0.1][rng.usize(..5)];
    // Names change in order: file systems have a journal for them.
    let unsynced = disk.before.len();
    let lost = (0..unsynced).take_while(|_| rng.f64() >= chance).count();
    let names = if lost == 0 { &disk.names } else { &disk.before[unsynced - lost] };
    names.iter().map(|(name, file)| (name.clone(), disk.files[*file].after_a_cut(chance, rng))).collect()
}

impl Disk {
    fn takes(&mut self, what: &What, returned: bool) {
        match what {
            What::Create(name) if self.names.contains_key(name) => {}
            What::Create(name) => {
                self.files.push(File::default());
                let new = self.files.len() - 1;
                self.rename(|names| names.insert(name.clone(), new));
            }
            What::Rename(from, to) => self.rename(|names| {
                let file = names.remove(from)?;
                names.insert(to.clone(), file)
            }),
            What::Remove(name) => self.rename(|names| names.remove(name)),
            What::Write(name, at, bytes) => self.file(name).pending.push(Change::Write(*at, bytes.clone())),
            What::Truncate(name, length) => self.file(name).pending.push(Change::Truncate(*length)),
            What::Sync(name) if returned => {
                self.file(name).sync();
                self.before.clear();
            }
            What::SyncNames if returned => self.before.clear(),
            What::Sync(_) | What::SyncNames => {}
        }
    }

    fn rename(&mut self, change: impl FnOnce(&mut Names) -> Option<usize>) {
        self.before.push(self.names.clone());
        change(&mut self.names);
    }

    fn file(&mut self, name: &str) -> &mut File {
        let file = *self.names.get(name).unwrap_or_else(|| panic!("{name} was opened"));
        &mut self.files[file]
    }
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.happens(&mut self.synced);
        }
    }

    fn after_a_cut(&self, chance: f64, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.pending {
            for part in change.sectors() {
                if rng.f64() < chance {
                    part.happens(&mut bytes);
                }
            }
        }
        bytes
    }
}

impl Change {
    /// Its parts that a disk writes apart from each other.
    fn sectors(&self) -> Vec<Change> {
        let Change::Write(at, bytes) = self else { return vec![self.clone()] };
        let (mut at, mut rest, mut parts) = (*at, bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            parts.push(Change::Write(at, part.to_vec()));
            (at, rest) = (at + part.len(), more);
        }
        parts
    }

    fn happens(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(length) => to.resize(*length, 0),
            Change::Write(at, bytes) => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// How many calls of each kind there are.
#[allow(dead_code, reason = "the bench says it")]
pub fn summary(calls: &[Call]) -> String {
    let count = |is: fn(&What) -> bool| calls.iter().filter(|call| is(&call.what)).count();
    format!(
        "{} writes, {} syncs, {} cuts to a length, {} new names",
        count(|what| matches!(what, What::Write(..))),
        count(|what| matches!(what, What::Sync(_) | What::SyncNames)),
        count(|what| matches!(what, What::Truncate(..))),
        count(|what| matches!(what, What::Create(_) | What::Rename(..) | What::Remove(_)))
    )
}

/// Writes files into a directory that has no others then.
pub fn write(files: &BTreeMap<String, Vec<u8>>, directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).expect("a file");
    }
}
