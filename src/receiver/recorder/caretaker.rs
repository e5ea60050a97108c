//! The thread that makes files whole and removes old ones, so that the one that writes frames never waits for it.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tracing::info;

use super::library::{Camera, Entry, Library};
use super::reader::scan;
use super::segment::{Open, Times, dir_of};
use crate::clock::Stamp;
use crate::config::Record;
use crate::name::Name;
use crate::receiver::complaint::Complaint;
use crate::store::Trouble;

/// How often old files are looked for, and files that could not be finished are tried again.
const OFTEN: Duration = Duration::from_secs(2);

/// That files were removed is said this often at most.
const LOG: Duration = Duration::from_hours(1);

/// Of so many hundredths of a disk in use the oldest goes.
const FULL: u64 = 90;

/// The catalogue is in memory.
const MOST_FILES: usize = 200_000;

/// What a file takes of a disk is a number of blocks.
const BLOCK: u64 = 4096;

/// The last frame of a file that was left behind is shown so long.
const LAST_MS: u64 = 40;

/// A file that is shorter and no recording was cut before its first frame.
const FRONT: u64 = 4096;

pub(super) enum Task {
    /// The directory is ours, and these files were left unfinished.
    Begin(Vec<Found>),
    Finish(Closed),
}

/// A file to which nothing is added any more.
pub(super) struct Closed {
    pub(super) camera: Camera,
    pub(super) open: Arc<Open>,
    pub(super) duration_ms: u64,
}

pub(super) struct Caretaker {
    config: Record,
    dir: PathBuf,
    library: Arc<Library>,
    tasks: Receiver<Task>,
    /// Not finished yet.
    closed: Vec<Closed>,
    failures: Complaint,
    removals: [(&'static str, Option<Instant>); 4],
}

const OLD: usize = 0;
const LARGE: usize = 1;
const DISK: usize = 2;
const MANY: usize = 3;

impl Caretaker {
    pub(super) fn new(config: Record, dir: PathBuf, library: Arc<Library>, tasks: Receiver<Task>) -> Caretaker {
        let removals = ["keep", "max_size", "disk over 90 % full", "too many files"].map(|cause| (cause, None));
        let failures = Complaint::default();
        Caretaker { config, dir, library, tasks, closed: Vec::new(), failures, removals }
    }

    /// Works until the tasks end.
    pub(super) fn run(mut self) {
        self.look();
        let mut ours = false;
        loop {
            match self.tasks.recv_timeout(OFTEN) {
                Ok(Task::Begin(left)) => {
                    ours = true;
                    for (camera, path, times) in left {
                        if let Err(error) = self.take_in(&camera, &path, times.start_us) {
                            let what = format_args!("{} was not finished and is no use: {error}", path.display());
                            self.failures.log(&"recorder", &what);
                        }
                    }
                }
                Ok(Task::Finish(closed)) => self.closed.push(closed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.finish(true);
            if ours {
                self.make_room();
            }
        }
        // What is on its way to the disk is safe from all but a power cut, and then finished at the next start.
        self.finish(false);
    }

    fn finish(&mut self, sync: bool) {
        for closed in std::mem::take(&mut self.closed) {
            // Of a disk that failed at its beginning.
            let is_empty = closed.open.whole().marks.is_empty();
            let finished = if is_empty {
                fs::remove_file(&closed.open.path).and(Err(io::ErrorKind::NotFound.into()))
            } else {
                closed.open.finish(closed.duration_ms, sync)
            };
            match finished {
                Ok(bytes) => {
                    let entry = Entry::Finished { duration_ms: closed.duration_ms, bytes: on_disk(bytes) };
                    self.library.catalogue().insert(&closed.camera, closed.open.start_us, entry);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.library.catalogue().remove(&closed.camera, closed.open.start_us);
                }
                Err(error) => {
                    let trouble = Trouble::from(error);
                    let what = format_args!(
                        "{} cannot be finished: {trouble}; it plays, and is tried again",
                        closed.open.path.display()
                    );
                    self.failures.log(&"recorder", &what);
                    self.closed.push(closed);
                }
            }
        }
    }

    /// Takes the files that are finished into the catalogue.
    fn look(&mut self) {
        for (camera, path, times) in files(&self.dir) {
            let Some(duration_ms) = times.duration_ms else { continue };
            // What is gone meanwhile is no loss.
            let Ok(bytes) = fs::metadata(path).map(|file| on_disk(file.len())) else { continue };
            self.library.catalogue().insert(&camera, times.start_us, Entry::Finished { duration_ms, bytes });
        }
    }

    /// Sees to a file that was left unfinished.
    fn take_in(&mut self, camera: &Camera, path: &Path, start_us: i64) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        match scan(&file)? {
            Some(whole) if !whole.marks.is_empty() => {
                let duration_ms = whole.last_ms + LAST_MS;
                let open = Arc::new(Open::found(file, path.to_owned(), start_us, whole));
                self.library.catalogue().insert(camera, start_us, Entry::Open(Arc::clone(&open)));
                self.closed.push(Closed { camera: camera.clone(), open, duration_ms });
            }
            None if file.metadata()?.len() >= FRONT => {
                let what = format_args!("{} begins as no recording does, and is left alone", path.display());
                self.failures.log(&"recorder", &what);
            }
            _ => fs::remove_file(path)?,
        }
        Ok(())
    }

    /// Removes the oldest files as long as there is too much of them.
    fn make_room(&mut self) {
        let oldest_us = Stamp::now().unix_us() - i64::try_from(self.config.keep.0.as_micros()).unwrap_or(i64::MAX);
        self.remove_while(OLD, |_, _, end_us| end_us < oldest_us);
        let most = self.config.max_size.0.saturating_sub(self.growing());
        self.remove_while(LARGE, |_, bytes, _| bytes > most);
        self.remove_while(MANY, |files, _, _| files > MOST_FILES);
        // A disk may free what was removed later on; so it is asked once, and then only so much goes.
        let (_, before) = self.library.size();
        let excess = excess(&self.dir);
        self.remove_while(DISK, |_, bytes, _| before - bytes < excess);
    }

    /// Removes the oldest file while files, their bytes and that one's end say so.
    fn remove_while(&mut self, cause: usize, is_too_much: impl Fn(usize, u64, i64) -> bool) {
        let mut removed = 0;
        loop {
            let (files, bytes) = self.library.size();
            let Some((camera, times, end_us)) = self.library.catalogue().oldest() else { break };
            if !is_too_much(files, bytes, end_us) {
                break;
            }
            let path = dir_of(&self.dir, &camera).join(times.file_name());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let what = format_args!("{} cannot be removed: {}", path.display(), Trouble::from(error));
                    self.failures.log(&"recorder", &what);
                    break;
                }
                _ => self.library.catalogue().remove(&camera, times.start_us),
            }
            removed += 1;
        }
        if removed > 0 {
            self.tell(cause, removed);
        }
    }

    /// Bytes of files that are not finished.
    fn growing(&self) -> u64 {
        let catalogue = self.library.catalogue();
        let entries = catalogue.cameras.values().flat_map(BTreeMap::values);
        entries.filter_map(|entry| if let Entry::Open(open) = entry { Some(open.whole().end) } else { None }).sum()
    }

    fn tell(&mut self, cause: usize, removed: u64) {
        let (name, logged) = &mut self.removals[cause];
        let mut figures = self.library.change_figures();
        let count = figures.removed.entry(*name).or_default();
        *count += removed;
        if logged.is_none_or(|at| at.elapsed() > LOG) {
            *logged = Some(Instant::now());
            info!("recorder: the oldest files are removed ({name}; {count} so far)");
        }
    }
}

fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// Bytes by which a disk is fuller than it is to be, as df counts it.
fn excess(dir: &Path) -> u64 {
    let Ok(disk) = statvfs(dir) else { return 0 };
    let used = disk.blocks().saturating_sub(disk.blocks_free());
    let most = (used + disk.blocks_available()) * FULL / 100;
    used.saturating_sub(most) * disk.fragment_size()
}

/// A file of a camera.
pub(super) type Found = (Camera, PathBuf, Times);

/// All files that have names of ours.
pub(super) fn files(dir: &Path) -> impl Iterator<Item = Found> + use<'_> {
    let agents = entries(dir).filter_map(|entry| named(&entry));
    let cameras = agents.flat_map(|agent| {
        let cameras = entries(&dir.join(&*agent)).filter_map(|entry| named(&entry)).collect::<Vec<_>>();
        cameras.into_iter().map(move |camera| (agent.clone(), camera))
    });
    cameras.flat_map(|camera| {
        let files = entries(&dir_of(dir, &camera)).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files.filter_map(move |entry| {
            let times = Times::of_file_name(entry.file_name().to_str()?)?;
            Some((camera.clone(), entry.path(), times))
        })
    })
}

fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// A directory that can be an agent's or a camera's.
fn named(entry: &DirEntry) -> Option<Name> {
    let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
    Name::try_from(entry.file_name().into_string().ok().filter(|_| is_dir)?).ok()
}
