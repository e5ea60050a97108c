//! Reconstructs the files of a program after a power cut from a log of its system calls by strace. A disk may keep any
//! part of unsynced data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// strace's filter for the calls that matter. `SQLite` always writes at an explicit offset.
pub const CALLS: &str = "trace=openat,pwrite64,ftruncate,fsync,fdatasync,/^rename,/^unlink";

/// One system call, with its start and end in seconds since 1970.
#[derive(Debug)]
pub struct Call {
    pub start: f64,
    pub end: f64,
    effect: Effect,
}

/// The effect of a call. Files are named relative to the directory.
#[derive(Debug)]
enum Effect {
    Create(String),
    Write(String, usize, Vec<u8>),
    Truncate(String, usize),
    Sync(String),
    SyncNames,
    Rename(String, String),
    Remove(String),
}

/// Parses a log of strace (`-ttt -T -y -xx`); returns the calls on files in this directory, in order.
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
    let path = |index: usize| -> Option<&Path> { Some(Path::new(std::str::from_utf8(strings.get(index)?).ok()?)) };
    let file = |index: usize| -> Option<String> {
        let name = path(index)?.strip_prefix(directory).ok()?.to_str()?;
        // Shared memory, which is not read after a power cut.
        (!name.is_empty() && !name.ends_with("-shm")).then(|| name.to_owned())
    };
    let number = |from_end: usize| arguments.rsplit(", ").nth(from_end)?.parse().ok();
    let effect = match name {
        "openat" => Effect::Create(file(1).filter(|_| arguments.contains("O_CREAT"))?),
        "pwrite64" => Effect::Write(file(0)?, number(0)?, strings.into_iter().nth(1)?),
        "ftruncate" => Effect::Truncate(file(0)?, number(0)?),
        "fsync" | "fdatasync" if path(0)? == directory => Effect::SyncNames,
        "fsync" | "fdatasync" => Effect::Sync(file(0)?),
        "rename" => Effect::Rename(file(0)?, file(1)?),
        "renameat" | "renameat2" => Effect::Rename(file(1)?, file(3)?),
        "unlink" => Effect::Remove(file(0)?),
        "unlinkat" => Effect::Remove(file(1)?),
        other => panic!("unexpected call {other} on {:?}", file(0)?),
    };
    Some(Call { start, end: start + took.parse::<f64>().ok()?, effect })
}

/// Decodes the hexadecimal strings in quotes or, after a descriptor, in angle brackets.
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
    /// The names before each unsynced change.
    unsynced_names: Vec<Names>,
}

/// Returns the files after a power cut: all synced data, and none, all or a random part of the rest.
pub fn files_at(calls: &[Call], cut: f64, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    let mut disk = Disk::default();
    for call in calls.iter().take_while(|call| call.start <= cut) {
        disk.apply(&call.effect, call.end <= cut);
    }
    let chance = [0.0, 1.0, 0.5, 0.9, 0.1][rng.usize(..5)];
    // Names change in order, because file systems journal them.
    let unsynced = disk.unsynced_names.len();
    let lost = (0..unsynced).take_while(|_| rng.f64() >= chance).count();
    let names = if lost == 0 { &disk.names } else { &disk.unsynced_names[unsynced - lost] };
    names.iter().map(|(name, file)| (name.clone(), disk.files[*file].after_cut(chance, rng))).collect()
}

impl Disk {
    fn apply(&mut self, effect: &Effect, returned: bool) {
        match effect {
            Effect::Create(name) if self.names.contains_key(name) => {}
            Effect::Create(name) => {
                self.files.push(File::default());
                let new = self.files.len() - 1;
                self.rename(|names| names.insert(name.clone(), new));
            }
            Effect::Rename(from, to) => self.rename(|names| {
                let file = names.remove(from)?;
                names.insert(to.clone(), file)
            }),
            Effect::Remove(name) => self.rename(|names| names.remove(name)),
            Effect::Write(name, at, bytes) => self.file(name).pending.push(Change::Write(*at, bytes.clone())),
            Effect::Truncate(name, length) => self.file(name).pending.push(Change::Truncate(*length)),
            Effect::Sync(name) if returned => {
                self.file(name).sync();
                self.unsynced_names.clear();
            }
            Effect::SyncNames if returned => self.unsynced_names.clear(),
            Effect::Sync(_) | Effect::SyncNames => {}
        }
    }

    fn rename(&mut self, change: impl FnOnce(&mut Names) -> Option<usize>) {
        self.unsynced_names.push(self.names.clone());
        change(&mut self.names);
    }

    fn file(&mut self, name: &str) -> &mut File {
        let file = *self.names.get(name).unwrap_or_else(|| panic!("{name} was never opened"));
        &mut self.files[file]
    }
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.synced);
        }
    }

    fn after_cut(&self, chance: f64, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.pending {
            for part in change.sectors() {
                if rng.f64() < chance {
                    part.apply(&mut bytes);
                }
            }
        }
        bytes
    }
}

impl Change {
    /// Splits the change into the parts that a disk writes independently.
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

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(length) => to.resize(*length, 0),
            Change::Write(at, bytes) => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// Counts the calls of each kind.
#[allow(dead_code, reason = "only the bench prints it")]
pub fn summary(calls: &[Call]) -> String {
    let count = |is: fn(&Effect) -> bool| calls.iter().filter(|call| is(&call.effect)).count();
    format!(
        "{} writes, {} syncs, {} truncations, {} changed names",
        count(|effect| matches!(effect, Effect::Write(..))),
        count(|effect| matches!(effect, Effect::Sync(_) | Effect::SyncNames)),
        count(|effect| matches!(effect, Effect::Truncate(..))),
        count(|effect| matches!(effect, Effect::Create(_) | Effect::Rename(..) | Effect::Remove(_)))
    )
}

/// Replaces the contents of a directory with these files.
pub fn write(files: &BTreeMap<String, Vec<u8>>, directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).expect("a file");
    }
}
