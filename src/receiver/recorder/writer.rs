//! The writer thread: takes frames in groups, writes clusters and retries when the disk fails.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tracing::info;

use super::camera::{Camera, Flushed, Limits};
use super::captions::Captions;
use super::library::{CameraId, Entry, Library};
use super::queue::{Queue, ReceivedFrame};
use super::retention::{Closed, Task, files};
use super::segment::{create_dir, dir_of, private_file};
use super::slots::{self, Room};
use crate::config::Record;
use crate::receiver::log_throttle::LogThrottle;
use crate::receiver::quotas::{Quota, Quotas};
use crate::service::Heartbeat;
use crate::store::StoreError;

/// How long to wait before using a failed disk again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Cameras in memory for each one that may have a file. A camera that comes back needs fewer files if it is remembered.
const KNOWN_CAMERAS: usize = 4;

/// Files being written cannot be deleted. Together they may use this fraction (1/8) of `max_size`.
const OPEN_FILES_DIVISOR: u64 = 8;

/// Why frames are not recorded: the causes of the metric.
const DISK_TOO_SLOW: &str = "disk_too_slow";
const DISK_FAILED: &str = "disk_failed";
const TOO_MANY_CAMERAS: &str = "too_many_cameras";
const CHANGED_TOO_OFTEN: &str = "camera_changed_too_often";

pub(super) struct Writer {
    config: Record,
    dir: PathBuf,
    queue: Arc<Queue>,
    library: Arc<Library>,
    captions: Captions,
    retention: Sender<Task>,
    cameras: HashMap<CameraId, Camera>,
    /// Held while this receiver owns the directory.
    lock: Option<File>,
    /// When to retry locking the directory.
    lock_retry_at: Option<Instant>,
    /// When frames could first not be written, and the cameras affected.
    failing_since: Option<Instant>,
    unwritten: BTreeSet<CameraId>,
    failures: LogThrottle,
    losses: LogThrottle,
    quotas: Quotas,
    /// Maximum number of files being written.
    max_open: usize,
}

impl Writer {
    pub(super) fn new(
        config: Record,
        dir: PathBuf,
        queue: Arc<Queue>,
        library: Arc<Library>,
        captions: Captions,
        retention: Sender<Task>,
        quotas: Quotas,
    ) -> Writer {
        Writer {
            config,
            dir,
            queue,
            library,
            captions,
            retention,
            cameras: HashMap::new(),
            lock: None,
            lock_retry_at: None,
            failing_since: None,
            unwritten: BTreeSet::new(),
            failures: LogThrottle::default(),
            losses: LogThrottle::default(),
            quotas,
            max_open: slots::max_total(),
        }
    }

    /// Records frames until the queue ends.
    pub(super) fn run(mut self, heartbeat: &Heartbeat) {
        self.lock_directory();
        let mut frames = Vec::new();
        loop {
            heartbeat.beat();
            let is_open = self.queue.gather(self.due(), &mut frames);
            if self.lock.is_none() && self.lock_retry_at.is_none_or(|at| at <= Instant::now()) {
                self.lock_directory();
            }
            for frame in frames.drain(..) {
                self.record(frame);
            }
            let refused = self.queue.take_refused();
            self.count_lost(DISK_TOO_SLOW, refused);
            if !is_open {
                break;
            }
            self.write_due();
        }
        let names: Vec<_> = self.cameras.keys().cloned().collect();
        for name in names {
            self.close(&name);
        }
        heartbeat.end();
    }

    /// Locks the directory, so that no other receiver writes to it or finishes this one's files.
    fn lock_directory(&mut self) {
        let path = self.dir.join(".lock");
        let file = create_dir(&self.dir)
            .and_then(|()| private_file().create(true).append(true).open(&path))
            .map_err(StoreError::from);
        let claimed = file.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        });
        match claimed {
            Ok(file) => {
                self.lock = Some(file);
                let unfinished = files(&self.dir).filter(|(_, _, times)| times.duration_ms.is_none()).collect();
                // Sending cannot fail: the retention thread outlives this one.
                let _ = self.retention.send(Task::Recover(unfinished));
                self.report_recovery();
            }
            Err(error) => {
                self.lock_retry_at = Some(Instant::now() + RETRY_DELAY);
                self.report_failure(&error);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let retry = self.lock.is_none().then_some(self.lock_retry_at).flatten();
        self.cameras.values().filter_map(Camera::due).chain(retry).min()
    }

    fn record(&mut self, frame: ReceivedFrame) {
        let header = &frame.live.header;
        let name = (header.agent.clone(), header.camera.clone());
        if !self.config.wants(&name.0, &name.1) {
            return;
        }
        if self.lock.is_none() {
            return self.count_lost(DISK_FAILED, 1);
        }
        if !self.has_slot(&name) {
            self.quotas.refuse(Quota::RecordedCameras, 1, &format!("{}/{}", name.0, name.1));
            return self.count_lost(TOO_MANY_CAMERAS, 1);
        }
        let limits = Limits {
            max_us: i64::try_from(self.config.segment.0.as_micros()).unwrap_or(i64::MAX),
            max_bytes: self.config.max_size.0 / OPEN_FILES_DIVISOR / self.open_files().max(1) as u64,
        };
        let caption = self.captions.of(&name.0).unwrap_or_default();
        let dir = &self.dir;
        let camera = self.cameras.entry(name.clone()).or_insert_with(|| Camera::new(name.clone(), dir_of(dir, &name)));
        if camera.retry_at.is_some_and(|at| Instant::now() < at) {
            return self.count_lost(DISK_FAILED, 1);
        }
        camera.retry_at = None;
        if !frame.live.is_plausible() {
            self.library.lock_stats().implausible_times += 1;
        }
        let mut flushed = Vec::new();
        let prepared = camera.prepare(&frame, limits, &mut flushed, &caption);
        let mut lost_cause = None;
        match prepared.at_us {
            Some(at_us) if camera.is_due(at_us, self.config.fps) => camera.add(frame, at_us, &mut flushed, &caption),
            Some(_) => {}
            None => lost_cause = Some(CHANGED_TOO_OFTEN),
        }
        self.count_written(&name, flushed);
        self.finish_later(prepared.closed);
        if let Some(cause) = lost_cause {
            self.count_lost(cause, 1);
        }
    }

    fn open_files(&self) -> usize {
        self.cameras.values().filter(|camera| camera.is_open()).count()
    }

    /// Whether a camera has a file or may start one; another camera may have to make room for it.
    fn has_slot(&mut self, name: &CameraId) -> bool {
        if self.cameras.get(name).is_some_and(Camera::is_open) {
            return true;
        }
        let open = self.cameras.iter().filter(|(_, camera)| camera.is_open());
        let open: Vec<_> = open.map(|(name, camera)| (name, camera.last_received())).collect();
        match slots::find(&name.0, self.max_open, &open) {
            Room::Free => {}
            Room::Of(other) => self.close(&other),
            Room::None => return false,
        }
        if self.cameras.len() >= KNOWN_CAMERAS * self.max_open && !self.cameras.contains_key(name) {
            let closed = self.cameras.iter().filter(|(_, camera)| !camera.is_open());
            let longest = closed.min_by_key(|(_, camera)| camera.last_received()).map(|(name, _)| name.clone());
            longest.map(|longest| self.cameras.remove(&longest));
        }
        true
    }

    fn write_due(&mut self) {
        let now = Instant::now();
        self.cameras.retain(|_, camera| !camera.is_idle(now));
        self.unwritten.retain(|name| self.cameras.contains_key(name));
        self.quotas.set(Quota::RecordedCameras, self.open_files() as u64, self.max_open as u64);
        let write_all = self.queue.is_filling();
        let due = self.cameras.values().filter(|camera| camera.due().is_some_and(|due| write_all || due <= now));
        let names: Vec<_> = due.map(|camera| camera.name.clone()).collect();
        for name in names {
            let caption = self.captions.of(&name.0).unwrap_or_default();
            let Some(camera) = self.cameras.get_mut(&name) else { continue };
            let mut flushed = Vec::new();
            let closed = camera.close_if_silent(now, &mut flushed);
            flushed.extend(camera.flush(&caption));
            self.count_written(&name, flushed);
            self.finish_later(closed);
        }
    }

    fn close(&mut self, name: &CameraId) {
        let caption = self.captions.of(&name.0).unwrap_or_default();
        let Some(camera) = self.cameras.get_mut(name) else { return };
        let mut flushed = Vec::new();
        let closed = camera.close(None, &mut flushed, &caption);
        self.count_written(name, flushed);
        self.finish_later(closed);
    }

    fn finish_later(&self, closed: Option<Closed>) {
        if let Some(closed) = closed {
            let _ = self.retention.send(Task::Finish(closed));
        }
    }

    /// Counts written and lost frames. Call it before the file is finished, because finishing replaces its entry in the
    /// catalogue.
    fn count_written(&mut self, name: &CameraId, flushed: Vec<Flushed>) {
        for Flushed { frames, written } in flushed {
            match written {
                Ok((bytes, new_file)) => {
                    if let Some(open) = new_file {
                        let start_us = open.start_us;
                        self.library.catalogue().insert(name, start_us, Entry::Open(open));
                    }
                    let mut stats = self.library.lock_stats();
                    stats.frames += frames;
                    stats.bytes += bytes;
                    drop(stats);
                    self.unwritten.remove(name);
                    self.report_recovery();
                }
                Err(error) => {
                    self.unwritten.insert(name.clone());
                    self.report_failure(&StoreError::from(error));
                    self.count_lost(DISK_FAILED, frames);
                    // Keep what the file holds and continue with another file.
                    if let Some(camera) = self.cameras.get_mut(name) {
                        camera.retry_at = Some(Instant::now() + RETRY_DELAY);
                        let frames = camera.discard_held();
                        let closed = camera.close_file(None);
                        self.finish_later(closed);
                        self.count_lost(DISK_FAILED, frames);
                    }
                }
            }
        }
    }

    fn count_lost(&mut self, cause: &'static str, frames: u64) {
        if frames > 0 {
            *self.library.lock_stats().lost.entry(cause).or_default() += frames;
            self.losses.log_of(frames, &"recorder", &format_args!("frames not recorded: {}", cause.replace('_', " ")));
        }
    }

    fn report_failure(&mut self, error: &StoreError) {
        self.failing_since.get_or_insert_with(Instant::now);
        self.library.set_state(&error.to_string());
        let message = format_args!("cannot record in {}: {error}; retrying every second", self.dir.display());
        self.failures.log(&"recorder", &message);
    }

    fn report_recovery(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        self.library.set_state("");
        if let Some(since) = self.failing_since.take() {
            info!("recorder: recording again in {}, after {:.0?}", self.dir.display(), since.elapsed());
        }
    }
}
