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

use super::library::{Camera, Entry, Library, Stuck};
use super::queue::Queue;
use super::reader::scan;
use super::segment::{Open, Times, dir_of};
use crate::clock::{Stamp, WallClock};
use crate::config::Record;
use crate::name::Name;
use crate::receiver::log_throttle::LogThrottle;
use crate::service::Heartbeat;
use crate::store::StoreError;

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

/// A file that is larger had more in it than a first cluster.
const LARGE_FRONT: u64 = 64 * 1024 * 1024;

/// A file that begins so much later than now was recorded while the clock was wrong.
const AHEAD_US: i64 = 86_400_000_000;

/// A disk on which removed files free nothing, because somebody reads them, say, is left alone for so long.
const NOT_FREED: Duration = Duration::from_mins(1);

/// Why finished files are deleted: identifiers, and words for the log. The first two are keys of the configuration.
const REMOVAL_CAUSES: [(&str, &str); 4] = [
    ("keep", "keep"),
    ("max_size", "max_size"),
    ("disk_full", "disk over 90 % full"),
    ("too_many_files", "too many files"),
];

/// Deletions for one cause.
struct Removal {
    cause: &'static str,
    words: &'static str,
    /// When they were last logged.
    logged: Option<Instant>,
}

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
    queue: Arc<Queue>,
    tasks: Receiver<Task>,
    /// Heard of with each file: some file systems let their callers sleep.
    heartbeat: Heartbeat,
    clock: WallClock,
    /// Not finished yet.
    closed: Vec<Closed>,
    failures: LogThrottle,
    removals: [Removal; 4],
    /// In this pass.
    stuck: Stuck,
    /// When a disk that is too full is looked at again.
    disk_due: Option<Instant>,
}

const OLD: usize = 0;
const LARGE: usize = 1;
const DISK: usize = 2;
const MANY: usize = 3;

impl Caretaker {
    pub(super) fn new(
        config: Record,
        dir: PathBuf,
        library: Arc<Library>,
        queue: Arc<Queue>,
        tasks: Receiver<Task>,
        heartbeat: Heartbeat,
    ) -> Caretaker {
        let removals = REMOVAL_CAUSES.map(|(cause, words)| Removal { cause, words, logged: None });
        let (clock, failures) = (WallClock::default(), LogThrottle::default());
        let (closed, stuck, disk_due) = (Vec::new(), Stuck::new(), None);
        Caretaker { config, dir, library, queue, tasks, heartbeat, clock, closed, failures, removals, stuck, disk_due }
    }

    /// Works until the tasks end.
    pub(super) fn run(mut self) {
        self.look();
        let mut ours = false;
        loop {
            self.heartbeat.beat();
            match self.tasks.recv_timeout(OFTEN) {
                Ok(Task::Begin(left)) => {
                    ours = true;
                    // A disk may have been mounted only now.
                    self.look();
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
            // At the end nobody waits for disks: what is on its way there is safe from all but a power cut.
            self.finish(!self.queue.has_ended());
            if ours {
                self.make_room();
            }
        }
        self.finish(false);
        self.heartbeat.end();
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
                    let trouble = StoreError::from(error);
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
            self.heartbeat.beat();
            let Some(duration_ms) = times.duration_ms else { continue };
            // What is gone meanwhile is no loss.
            let Ok(bytes) = fs::metadata(path).map(|file| on_disk(file.len())) else { continue };
            self.library.catalogue().insert(&camera, times.start_us, Entry::Finished { duration_ms, bytes });
        }
    }

    /// Sees to a file that was left unfinished.
    fn take_in(&mut self, camera: &Camera, path: &Path, start_us: i64) -> io::Result<()> {
        self.heartbeat.beat();
        let file = File::options().read(true).write(true).open(path)?;
        match scan(&file)? {
            Some(whole) if !whole.marks.is_empty() => {
                let duration_ms = whole.last_ms.saturating_add(LAST_MS);
                let open = Arc::new(Open::found(file, path.to_owned(), start_us, whole));
                self.library.catalogue().insert(camera, start_us, Entry::Open(Arc::clone(&open)));
                self.closed.push(Closed { camera: camera.clone(), open, duration_ms });
            }
            None if file.metadata()?.len() >= FRONT => {
                let what = format_args!("{} begins as no recording does, and is left alone", path.display());
                self.failures.log(&"recorder", &what);
            }
            _ if file.metadata()?.len() > LARGE_FRONT => {
                let aside = path.with_extension("damaged");
                fs::rename(path, &aside)?;
                let what = format_args!("{} is damaged where it begins, and is kept aside", aside.display());
                self.failures.log(&"recorder", &what);
            }
            _ => fs::remove_file(path)?,
        }
        Ok(())
    }

    /// Removes the oldest files as long as there is too much of them.
    fn make_room(&mut self) {
        self.stuck.clear();
        self.clock.update();
        let now_us = Stamp::now().unix_us();
        // What is old by a clock that may be wrong may be new.
        if self.clock.is_synchronised() {
            let keep_us = i64::try_from(self.config.keep.0.as_micros()).unwrap_or(i64::MAX);
            let oldest_us = now_us.saturating_sub(keep_us);
            self.remove_while(OLD, i64::MAX, |_, _, end_us| end_us < oldest_us);
        }
        let future_us = now_us.saturating_add(AHEAD_US);
        let most = self.config.max_size.0.saturating_sub(self.growing());
        self.remove_while(LARGE, future_us, |_, bytes, _| bytes > most);
        self.remove_while(MANY, future_us, |files, _, _| files > MOST_FILES);
        if self.disk_due.is_none_or(|due| due <= Instant::now()) {
            self.relieve_disk(future_us);
        }
    }

    /// A disk may free what was removed later on; so it is asked once, and then only so much goes.
    fn relieve_disk(&mut self, future_us: i64) {
        let (_, before) = self.library.size();
        let too_much = excess(&self.dir);
        self.remove_while(DISK, future_us, |_, bytes, _| before - bytes < too_much);
        let removed = before - self.library.size().1;
        let is_freed = excess(&self.dir).saturating_add(removed / 2) <= too_much;
        self.disk_due = (removed > 0 && !is_freed).then(|| Instant::now() + NOT_FREED);
    }

    /// Removes the oldest file while files, their bytes and that one's end say so.
    fn remove_while(&mut self, cause: usize, future_us: i64, is_too_much: impl Fn(usize, u64, i64) -> bool) {
        let mut removed = 0;
        loop {
            self.heartbeat.beat();
            let (files, bytes) = self.library.size();
            let oldest = self.library.catalogue().oldest(future_us, &self.stuck);
            let Some((camera, times, end_us)) = oldest else { break };
            if !is_too_much(files, bytes, end_us) {
                break;
            }
            let path = dir_of(&self.dir, &camera).join(times.file_name());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let what = format_args!("{} cannot be removed: {}", path.display(), StoreError::from(error));
                    self.failures.log(&"recorder", &what);
                    self.stuck.entry(camera).or_default().insert(times.start_us);
                }
                _ => {
                    self.library.catalogue().remove(&camera, times.start_us);
                    removed += 1;
                }
            }
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
        let Removal { cause, words, logged } = &mut self.removals[cause];
        let count = {
            let mut figures = self.library.change_figures();
            let count = figures.removed.entry(*cause).or_default();
            *count += removed;
            *count
        };
        if logged.is_none_or(|at| at.elapsed() > LOG) {
            *logged = Some(Instant::now());
            info!("recorder: deleting the oldest files ({words}; {count} so far)");
        }
    }
}

fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// Bytes by which a disk is fuller than it is to be, as df counts it.
#[allow(clippy::useless_conversion, reason = "on 32-bit machines the system counts in fewer bits")]
fn excess(dir: &Path) -> u64 {
    let Ok(disk) = statvfs(dir) else { return 0 };
    let used = u64::from(disk.blocks().saturating_sub(disk.blocks_free()));
    let most = used.saturating_add(disk.blocks_available().into()).saturating_mul(FULL) / 100;
    used.saturating_sub(most).saturating_mul(disk.fragment_size().into())
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
