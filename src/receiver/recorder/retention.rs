//! The retention thread finishes files and deletes old ones, so that the writer never waits for either.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tracing::info;

use super::library::{CameraId, Entry, Library, Stuck};
use super::queue::Queue;
use super::reader::scan;
use super::segment::{OpenFile, Times, dir_of};
use crate::clock::{Stamp, WallClock};
use crate::config::Record;
use crate::name::{Name, StoredName};
use crate::receiver::log_throttle::LogThrottle;
use crate::service::Heartbeat;
use crate::store::StoreError;

/// How often to look for old files and to retry files that could not be finished.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Rate limit of the log line about deleted files, for each cause.
const LOG_INTERVAL: Duration = Duration::from_hours(1);

/// Disk usage (percent) above which the oldest files are deleted.
const MAX_DISK_PERCENT: u64 = 90;

/// Limits the size of the catalogue, which is in memory.
const MAX_FILES: usize = 200_000;

/// Files are counted in whole blocks of this size, as they use the disk.
const DISK_BLOCK: u64 = 4096;

/// Assumed duration of the last frame of a recovered file.
const LAST_FRAME_MS: u64 = 40;

/// A shorter file without a valid header was cut before its first frame. A longer one is not a recording.
const MIN_RECORDING: u64 = 4096;

/// A larger file without a complete cluster held more than one cluster, so its start is damaged.
const MAX_FIRST_CLUSTER: u64 = 64 * 1024 * 1024;

/// A file that starts this much later than now was recorded while the clock was wrong.
const MAX_CLOCK_SKEW_US: i64 = 86_400_000_000;

/// How long to wait when deleting files freed no space, for example because a program has them open.
const DISK_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Why finished files are deleted: identifiers, and words for the log. The first two are configuration keys.
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
    /// The directory is locked. Finish these files, which an earlier receiver left unfinished.
    Recover(Vec<FoundFile>),
    Finish(Closed),
}

/// A complete file that is not finished yet.
pub(super) struct Closed {
    pub(super) camera: CameraId,
    pub(super) open: Arc<OpenFile>,
    pub(super) duration_ms: u64,
}

pub(super) struct Retention {
    config: Record,
    dir: PathBuf,
    library: Arc<Library>,
    queue: Arc<Queue>,
    tasks: Receiver<Task>,
    /// Beats for each file, because some file systems block for long.
    heartbeat: Heartbeat,
    clock: WallClock,
    /// Files to finish.
    closed: Vec<Closed>,
    failures: LogThrottle,
    removals: [Removal; 4],
    /// Files that could not be deleted in this pass.
    stuck: Stuck,
    /// When to check a full disk again.
    disk_due: Option<Instant>,
}

const KEEP: usize = 0;
const MAX_SIZE: usize = 1;
const DISK_FULL: usize = 2;
const TOO_MANY_FILES: usize = 3;

impl Retention {
    pub(super) fn new(
        config: Record,
        dir: PathBuf,
        library: Arc<Library>,
        queue: Arc<Queue>,
        tasks: Receiver<Task>,
        heartbeat: Heartbeat,
    ) -> Retention {
        let removals = REMOVAL_CAUSES.map(|(cause, words)| Removal { cause, words, logged: None });
        let (clock, failures) = (WallClock::default(), LogThrottle::default());
        let (closed, stuck, disk_due) = (Vec::new(), Stuck::new(), None);
        Retention { config, dir, library, queue, tasks, heartbeat, clock, closed, failures, removals, stuck, disk_due }
    }

    /// Runs until the writer drops its sender.
    pub(super) fn run(mut self) {
        self.scan_files();
        let mut is_owner = false;
        loop {
            self.heartbeat.beat();
            match self.tasks.recv_timeout(POLL_INTERVAL) {
                Ok(Task::Recover(unfinished)) => {
                    is_owner = true;
                    // The disk may have been mounted only now.
                    self.scan_files();
                    for (camera, path, times) in unfinished {
                        if let Err(error) = self.recover(&camera, &path, times.start_us) {
                            let message = format_args!(
                                "cannot recover unfinished {}: {}",
                                path.display(),
                                StoreError::from(error)
                            );
                            self.failures.log(&"recorder", &message);
                        }
                    }
                }
                Ok(Task::Finish(closed)) => self.closed.push(closed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // At shutdown, skip the sync: only a power cut can lose data that is already written.
            self.finish(!self.queue.has_ended());
            if is_owner {
                self.make_room();
            }
        }
        self.finish(false);
        self.heartbeat.end();
    }

    fn finish(&mut self, sync: bool) {
        for closed in std::mem::take(&mut self.closed) {
            // The disk failed before the first cluster was written.
            let is_empty = closed.open.clusters().cue_points.is_empty();
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
                    let error = StoreError::from(error);
                    let message = format_args!(
                        "{} cannot be finished: {error}; it is playable, retrying",
                        closed.open.path.display()
                    );
                    self.failures.log(&"recorder", &message);
                    self.closed.push(closed);
                }
            }
        }
    }

    /// Adds the finished files to the catalogue.
    fn scan_files(&mut self) {
        for (camera, path, times) in files(&self.dir) {
            self.heartbeat.beat();
            let Some(duration_ms) = times.duration_ms else { continue };
            // A file deleted in the meantime is not an error.
            let Ok(bytes) = fs::metadata(path).map(|file| on_disk(file.len())) else { continue };
            self.library.catalogue().insert(&camera, times.start_us, Entry::Finished { duration_ms, bytes });
        }
    }

    /// Recovers an unfinished file: queues it for finishing, moves it aside or deletes it.
    fn recover(&mut self, camera: &CameraId, path: &Path, start_us: i64) -> io::Result<()> {
        self.heartbeat.beat();
        let file = File::options().read(true).write(true).open(path)?;
        match scan(&file)? {
            Some(clusters) if !clusters.cue_points.is_empty() => {
                let duration_ms = clusters.last_ms.saturating_add(LAST_FRAME_MS);
                let open = Arc::new(OpenFile::existing(file, path.to_owned(), start_us, clusters));
                self.library.catalogue().insert(camera, start_us, Entry::Open(Arc::clone(&open)));
                self.closed.push(Closed { camera: camera.clone(), open, duration_ms });
            }
            None if file.metadata()?.len() >= MIN_RECORDING => {
                let message = format_args!("{} is not a recording; ignoring it", path.display());
                self.failures.log(&"recorder", &message);
            }
            _ if file.metadata()?.len() > MAX_FIRST_CLUSTER => {
                let aside = path.with_extension("damaged");
                fs::rename(path, &aside)?;
                let message = format_args!("the start of {} is damaged; moved to {}", path.display(), aside.display());
                self.failures.log(&"recorder", &message);
            }
            _ => fs::remove_file(path)?,
        }
        Ok(())
    }

    /// Deletes the oldest files until all limits are met.
    fn make_room(&mut self) {
        self.stuck.clear();
        self.clock.update();
        let now_us = Stamp::now().unix_us();
        // With an unsynchronised clock, files that look old may be new.
        if self.clock.is_synchronised() {
            let keep_us = i64::try_from(self.config.keep.0.as_micros()).unwrap_or(i64::MAX);
            let oldest_us = now_us.saturating_sub(keep_us);
            self.remove_while(KEEP, i64::MAX, |_, _, end_us| end_us < oldest_us);
        }
        let future_us = now_us.saturating_add(MAX_CLOCK_SKEW_US);
        let max_bytes = self.config.max_size.0.saturating_sub(self.open_bytes());
        self.remove_while(MAX_SIZE, future_us, |_, bytes, _| bytes > max_bytes);
        self.remove_while(TOO_MANY_FILES, future_us, |files, _, _| files > MAX_FILES);
        if self.disk_due.is_none_or(|due| due <= Instant::now()) {
            self.free_disk(future_us);
        }
    }

    /// Deletes files until the disk is below the limit. Measures only once, because a disk may free space with a delay.
    fn free_disk(&mut self, future_us: i64) {
        let (_, before) = self.library.size();
        let excess_bytes = excess(&self.dir);
        self.remove_while(DISK_FULL, future_us, |_, bytes, _| before - bytes < excess_bytes);
        let removed = before - self.library.size().1;
        let is_freed = excess(&self.dir).saturating_add(removed / 2) <= excess_bytes;
        self.disk_due = (removed > 0 && !is_freed).then(|| Instant::now() + DISK_RETRY_DELAY);
    }

    /// Deletes the oldest file as long as `is_too_much` holds for the number of files, their bytes and the end of the
    /// oldest.
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
                    let message = format_args!("{} cannot be removed: {}", path.display(), StoreError::from(error));
                    self.failures.log(&"recorder", &message);
                    self.stuck.entry(camera).or_default().insert(times.start_us);
                }
                _ => {
                    self.library.catalogue().remove(&camera, times.start_us);
                    removed += 1;
                }
            }
        }
        if removed > 0 {
            self.count_removed(cause, removed);
        }
    }

    /// Bytes of unfinished files.
    fn open_bytes(&self) -> u64 {
        let catalogue = self.library.catalogue();
        let entries = catalogue.cameras.values().flat_map(BTreeMap::values);
        entries.filter_map(|entry| if let Entry::Open(open) = entry { Some(open.clusters().end) } else { None }).sum()
    }

    fn count_removed(&mut self, cause: usize, removed: u64) {
        let Removal { cause, words, logged } = &mut self.removals[cause];
        let count = {
            let mut stats = self.library.lock_stats();
            let count = stats.removed.entry(*cause).or_default();
            *count += removed;
            *count
        };
        if logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            *logged = Some(Instant::now());
            info!("recorder: deleting the oldest files ({words}; {count} so far)");
        }
    }
}

fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(DISK_BLOCK)
}

/// Bytes used above [`MAX_DISK_PERCENT`], computed as df does.
#[allow(clippy::useless_conversion, reason = "on 32-bit machines the system counts in fewer bits")]
fn excess(dir: &Path) -> u64 {
    let Ok(disk) = statvfs(dir) else { return 0 };
    let used = u64::from(disk.blocks().saturating_sub(disk.blocks_free()));
    let max_used = used.saturating_add(disk.blocks_available().into()).saturating_mul(MAX_DISK_PERCENT) / 100;
    used.saturating_sub(max_used).saturating_mul(disk.fragment_size().into())
}

/// A file in the directory, with its camera and the times in its name.
pub(super) type FoundFile = (CameraId, PathBuf, Times);

/// Lists all files whose names follow the recorder's scheme.
pub(super) fn files(dir: &Path) -> impl Iterator<Item = FoundFile> + use<'_> {
    let agents = entries(dir).filter_map(|entry| valid_name(&entry));
    let cameras = agents.flat_map(|agent| {
        let cameras = entries(&dir.join(&*agent)).filter_map(|entry| valid_name(&entry)).collect::<Vec<_>>();
        cameras.into_iter().map(move |camera| (agent.clone(), camera))
    });
    cameras.flat_map(|camera| {
        let files = entries(&dir_of(dir, &camera)).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files.filter_map(move |entry| {
            let times = Times::from_file_name(entry.file_name().to_str()?)?;
            Some((camera.clone(), entry.path(), times))
        })
    })
}

fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// The name of a directory, if an agent or a camera may have it or had it in an earlier version.
fn valid_name(entry: &DirEntry) -> Option<Name> {
    let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
    let StoredName(name) = StoredName::try_from(entry.file_name().into_string().ok().filter(|_| is_dir)?).ok()?;
    Some(name)
}
