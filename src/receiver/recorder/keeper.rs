//! The recorder's thread: takes frames in groups, writes clusters, and bears with disks.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tracing::info;

use super::camera::{Camera, Flushed, Limits};
use super::captions::Captions;
use super::caretaker::{Closed, Task, files};
use super::library::{self, Entry, Library};
use super::queue::{Came, Queue};
use super::segment::dir_of;
use crate::config::Record;
use crate::receiver::log_throttle::LogThrottle;
use crate::service::Heartbeat;
use crate::store::StoreError;

/// The wait between tries on a disk that fails.
const AGAIN: Duration = Duration::from_secs(1);

/// Files that grow at once: each is a descriptor.
const MOST_OPEN: usize = 256;

/// Of all that may be kept, the part that grows and cannot be removed is at most one in so many.
const GROWING: u64 = 8;

/// Why frames are in no file, as they are counted.
const SLOW: &str = "disk_too_slow";
const FAILED: &str = "disk_failed";
const MANY: &str = "too_many_cameras";
const CHANGED: &str = "camera_changed_too_often";

pub(super) struct Keeper {
    config: Record,
    dir: PathBuf,
    queue: Arc<Queue>,
    library: Arc<Library>,
    captions: Captions,
    caretaker: Sender<Task>,
    cameras: HashMap<library::Camera, Camera>,
    /// The directory is this program's for as long.
    lock: Option<File>,
    /// When the lock, which is not to be had, is tried once more.
    again: Option<Instant>,
    /// Since when not all can be written, and whose frames cannot.
    failing: Option<Instant>,
    unwritten: BTreeSet<library::Camera>,
    failures: LogThrottle,
    losses: LogThrottle,
}

impl Keeper {
    pub(super) fn new(
        config: Record,
        dir: PathBuf,
        queue: Arc<Queue>,
        library: Arc<Library>,
        captions: Captions,
        caretaker: Sender<Task>,
    ) -> Keeper {
        Keeper {
            config,
            dir,
            queue,
            library,
            captions,
            caretaker,
            cameras: HashMap::new(),
            lock: None,
            again: None,
            failing: None,
            unwritten: BTreeSet::new(),
            failures: LogThrottle::default(),
            losses: LogThrottle::default(),
        }
    }

    /// Records what comes until no more does.
    pub(super) fn run(mut self, heartbeat: &Heartbeat) {
        self.claim();
        let mut came = Vec::new();
        loop {
            heartbeat.beat();
            let more = self.queue.gather(self.due(), &mut came);
            if self.lock.is_none() && self.again.is_none_or(|at| at <= Instant::now()) {
                self.claim();
            }
            for frame in came.drain(..) {
                self.record(&frame);
            }
            let refused = self.queue.refused();
            self.lose(SLOW, refused);
            if !more {
                break;
            }
            self.write_what_is_due();
        }
        let names: Vec<_> = self.cameras.keys().cloned().collect();
        for name in names {
            self.close(&name);
        }
        heartbeat.end();
    }

    /// Makes sure that no other receiver has the directory, whose unfinished files are not to be finished.
    fn claim(&mut self) {
        let path = self.dir.join(".lock");
        let file = fs::create_dir_all(&self.dir)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .map_err(StoreError::from);
        let claimed = file.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        });
        match claimed {
            Ok(file) => {
                self.lock = Some(file);
                let left = files(&self.dir).filter(|(_, _, times)| times.duration_ms.is_none()).collect();
                // It ends after this thread.
                let _ = self.caretaker.send(Task::Begin(left));
                self.is_well();
            }
            Err(trouble) => {
                self.again = Some(Instant::now() + AGAIN);
                self.fail(&trouble);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let retry = self.lock.is_none().then_some(self.again).flatten();
        self.cameras.values().filter_map(Camera::due).chain(retry).min()
    }

    fn record(&mut self, came: &Came) {
        let header = &came.shown.header;
        let name = (header.agent.clone(), header.camera.clone());
        if !self.config.wants(&name.0, &name.1) {
            return self.queue.give_back(came.size());
        }
        if self.lock.is_none() {
            self.queue.give_back(came.size());
            return self.lose(FAILED, 1);
        }
        let open = self.cameras.values().filter(|camera| camera.is_open()).count();
        let limits = Limits {
            longest_us: i64::try_from(self.config.segment.0.as_micros()).unwrap_or(i64::MAX),
            largest: self.config.max_size.0 / GROWING / open.max(1) as u64,
        };
        let text = self.captions.of(&name.0).unwrap_or_default();
        let dir = &self.dir;
        let camera = self.cameras.entry(name.clone()).or_insert_with(|| Camera::new(name.clone(), dir_of(dir, &name)));
        if !camera.is_open() && open >= MOST_OPEN {
            self.queue.give_back(came.size());
            return self.lose(MANY, 1);
        }
        if camera.again.is_some_and(|again| Instant::now() < again) {
            self.queue.give_back(came.size());
            return self.lose(FAILED, 1);
        }
        camera.again = None;
        let mut flushed = Vec::new();
        let prepared = camera.prepare(came, limits, &mut flushed, &text);
        let mut lost = None;
        match prepared.at_us {
            Some(at_us) if camera.is_due(at_us, self.config.fps) => camera.add(came, at_us, &mut flushed, &text),
            Some(_) => self.queue.give_back(came.size()),
            None => lost = Some(CHANGED),
        }
        self.settle(&name, flushed);
        self.finish(prepared.closed);
        if let Some(cause) = lost {
            self.queue.give_back(came.size());
            self.lose(cause, 1);
        }
    }

    fn write_what_is_due(&mut self) {
        let now = Instant::now();
        self.cameras.retain(|_, camera| !camera.is_forgotten(now));
        self.unwritten.retain(|name| self.cameras.contains_key(name));
        let all = self.queue.is_tight();
        let due = self.cameras.values().filter(|camera| camera.due().is_some_and(|due| all || due <= now));
        let names: Vec<_> = due.map(|camera| camera.name.clone()).collect();
        for name in names {
            let text = self.captions.of(&name.0).unwrap_or_default();
            let Some(camera) = self.cameras.get_mut(&name) else { continue };
            let mut flushed = Vec::new();
            let closed = camera.close_if_silent(now, &mut flushed);
            flushed.extend(camera.flush(&text));
            self.settle(&name, flushed);
            self.finish(closed);
        }
    }

    fn close(&mut self, name: &library::Camera) {
        let text = self.captions.of(&name.0).unwrap_or_default();
        let Some(camera) = self.cameras.get_mut(name) else { return };
        let mut flushed = Vec::new();
        let closed = camera.close(None, &mut flushed, &text);
        self.settle(name, flushed);
        self.finish(closed);
    }

    fn finish(&self, closed: Option<Closed>) {
        if let Some(closed) = closed {
            let _ = self.caretaker.send(Task::Finish(closed));
        }
    }

    /// Counts what was written, and what was not. To be done before the file is finished, which makes it another one in the
    /// catalogue.
    fn settle(&mut self, name: &library::Camera, flushed: Vec<Flushed>) {
        for Flushed { frames, size, written } in flushed {
            self.queue.give_back(size);
            match written {
                Ok((bytes, made)) => {
                    if let Some(open) = made {
                        let start_us = open.start_us;
                        self.library.catalogue().insert(name, start_us, Entry::Open(open));
                    }
                    let mut figures = self.library.change_figures();
                    figures.frames += frames;
                    figures.bytes += bytes;
                    drop(figures);
                    self.unwritten.remove(name);
                    self.is_well();
                }
                Err(error) => {
                    self.unwritten.insert(name.clone());
                    self.fail(&StoreError::from(error));
                    self.lose(FAILED, frames);
                    // What the file has is kept; the next frames are tried in another one.
                    if let Some(camera) = self.cameras.get_mut(name) {
                        camera.again = Some(Instant::now() + AGAIN);
                        let (frames, size) = camera.forget().unwrap_or_default();
                        let closed = camera.give_up(None);
                        self.queue.give_back(size);
                        self.finish(closed);
                        self.lose(FAILED, frames);
                    }
                }
            }
        }
    }

    fn lose(&mut self, cause: &'static str, frames: u64) {
        if frames > 0 {
            *self.library.change_figures().lost.entry(cause).or_default() += frames;
            self.losses.log_of(frames, &"recorder", &format_args!("frames not recorded: {}", cause.replace('_', " ")));
        }
    }

    fn fail(&mut self, trouble: &StoreError) {
        self.failing.get_or_insert_with(Instant::now);
        self.library.set_state(&trouble.to_string());
        let what = format_args!("nothing is recorded in {}: {trouble}; tried again each second", self.dir.display());
        self.failures.log(&"recorder", &what);
    }

    fn is_well(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        self.library.set_state("");
        if let Some(since) = self.failing.take() {
            info!("recorder: recording again in {}, after {:.0?}", self.dir.display(), since.elapsed());
        }
    }
}
