//! Puts one camera's frames into files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::library::{self, CameraId};
use super::matroska::{Cluster, FileInfo};
use super::queue::ReceivedFrame;
use super::retention::Closed;
use super::segment::{OpenFile, US_PER_MS};
use super::timing::Timing;
use crate::config::Fps;
use crate::name::Name;
use crate::receiver::budget::Share;

/// Limits of a cluster: the time it spans, how long it is held in memory, and the bytes of its pictures.
const MAX_CLUSTER_MS: u64 = 1_000;
const MAX_HOLD: Duration = Duration::from_millis(750);
const MAX_CLUSTER_BYTES: usize = 1024 * 1024;

/// A file is closed after this time without a frame, or after two intervals of a slow camera.
const MIN_SILENCE: Duration = Duration::from_secs(10);

/// A camera with a longer gap between frames was away, not slow.
const MAX_INTERVAL_US: i64 = 120_000_000;

/// A camera without frames for this long is dropped from memory.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// How many files a camera whose frames keep changing may start at once; after that, one per second.
const NEW_FILE_BURST: f64 = 20.0;

/// The state of a camera that is being recorded.
pub(super) struct Camera {
    pub(super) name: CameraId,
    dir: PathBuf,
    title: String,
    segment: Option<Segment>,
    /// When the next frame is due, if `fps` limits the rate.
    next_due_us: Option<i64>,
    /// Time between the last two frames, for a slow camera also across files.
    interval_us: i64,
    last: Option<Last>,
    /// When the last frame arrived.
    last_received: Instant,
    /// After a failure, when to write again.
    pub(super) retry_at: Option<Instant>,
    new_file_tokens: f64,
    tokens_at: Instant,
}

/// A file being written.
struct Segment {
    timing: Timing,
    boot: Option<Name>,
    size: (u32, u32),
    start_us: i64,
    last_us: i64,
    received: Instant,
    /// Created with the first cluster.
    open: Option<Arc<OpenFile>>,
    cluster: Option<HeldCluster>,
}

/// The last frame, to compare the next one with.
struct Last {
    at_us: i64,
    boot: Option<Name>,
    size: (u32, u32),
}

/// A cluster that is not written yet.
struct HeldCluster {
    cluster: Cluster,
    since: Instant,
    /// The memory of its frames.
    memory: Vec<Share>,
}

/// Duration and size at which the next file starts.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_us: i64,
    pub(super) max_bytes: u64,
}

/// The outcome of writing a cluster.
pub(super) struct Flushed {
    pub(super) frames: u64,
    /// Bytes written, and the file if it is new.
    pub(super) written: io::Result<(u64, Option<Arc<OpenFile>>)>,
}

/// Which file a frame belongs to.
enum Fit {
    Current(i64),
    /// The current file is full; the next one starts where it stops.
    Next(i64),
    /// Size, boot or clock changed, or the camera paused.
    New,
}

impl Camera {
    pub(super) fn new(name: CameraId, dir: PathBuf) -> Camera {
        let title = format!("{}/{}", name.0, name.1);
        Camera {
            name,
            dir,
            title,
            segment: None,
            next_due_us: None,
            interval_us: 0,
            last: None,
            last_received: Instant::now(),
            retry_at: None,
            new_file_tokens: NEW_FILE_BURST,
            tokens_at: Instant::now(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.segment.is_some()
    }

    /// When the last frame arrived.
    pub(super) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Whether the camera can be dropped from memory.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.segment.is_none() && self.last_received + IDLE_TIMEOUT <= now
    }

    /// Closes the current file if the frame belongs to another one.
    pub(super) fn prepare(
        &mut self,
        frame: &ReceivedFrame,
        limits: Limits,
        flushed: &mut Vec<Flushed>,
        caption: &str,
    ) -> Prepared {
        self.last_received = frame.live.received;
        let fit = match &mut self.segment {
            Some(segment) => segment.fit(frame, limits, self.interval_us),
            None => Fit::New,
        };
        let closed = match fit {
            Fit::Current(at_us) => {
                self.last.iter_mut().for_each(|last| last.at_us = at_us);
                return Prepared { at_us: Some(at_us), closed: None };
            }
            Fit::Next(at_us) => self.close(Some(at_us), flushed, caption),
            Fit::New => self.close(None, flushed, caption),
        };
        if !matches!(fit, Fit::Next(_)) && !self.may_start_file() {
            return Prepared { at_us: None, closed };
        }
        let (timing, at_us) = Timing::start(frame);
        self.update_interval(frame, at_us);
        let header = &frame.live.header;
        // Times in files are whole milliseconds; the first frame is at the start of the file.
        let start_us = (at_us + US_PER_MS / 2).div_euclid(US_PER_MS) * US_PER_MS;
        self.segment = Some(Segment {
            timing,
            boot: header.boot.clone(),
            size: (header.width, header.height),
            start_us,
            last_us: at_us,
            received: frame.live.received,
            open: None,
            cluster: None,
        });
        Prepared { at_us: Some(at_us), closed }
    }

    /// Measures the time since the last frame, also across files. Otherwise a slow camera would get one file per frame.
    fn update_interval(&mut self, frame: &ReceivedFrame, at_us: i64) {
        let header = &frame.live.header;
        let (boot, size) = (header.boot.clone(), (header.width, header.height));
        let previous = self.last.replace(Last { at_us, boot: boot.clone(), size });
        let previous = previous.filter(|last| (&last.boot, last.size) == (&boot, size));
        let gap_us = previous.map_or(0, |last| at_us.saturating_sub(last.at_us));
        if (library::GAP_US..=MAX_INTERVAL_US).contains(&gap_us) {
            self.interval_us = gap_us;
        }
    }

    fn may_start_file(&mut self) -> bool {
        let now = Instant::now();
        self.new_file_tokens =
            (self.new_file_tokens + now.duration_since(self.tokens_at).as_secs_f64()).min(NEW_FILE_BURST);
        self.tokens_at = now;
        let may = self.new_file_tokens >= 1.0;
        if may {
            self.new_file_tokens -= 1.0;
        }
        may
    }

    /// Whether the frame is due at this rate. A tolerance of a third of the interval keeps jitter from costing frames.
    pub(super) fn is_due(&mut self, at_us: i64, fps: Option<Fps>) -> bool {
        let Some(fps) = fps else { return true };
        let interval_us = (1e6 / fps.get()) as i64;
        match self.next_due_us {
            // A clock that was set back must not stop the recording.
            Some(next_due_us) if at_us + interval_us / 3 < next_due_us && next_due_us - at_us < 2 * interval_us => {
                false
            }
            Some(next_due_us) if (at_us - next_due_us).abs() < interval_us => {
                self.next_due_us = Some(next_due_us + interval_us);
                true
            }
            _ => {
                self.next_due_us = Some(at_us + interval_us);
                true
            }
        }
    }

    /// Adds a frame to the file; first flushes the cluster if it is full.
    pub(super) fn add(&mut self, frame: ReceivedFrame, at_us: i64, flushed: &mut Vec<Flushed>, caption: &str) {
        let Some(segment) = &mut self.segment else { return };
        let offset_ms = segment.offset_ms(at_us);
        if let Some(held) = &segment.cluster
            && (offset_ms >= held.cluster.at_ms() + MAX_CLUSTER_MS || held.cluster.picture_bytes() >= MAX_CLUSTER_BYTES)
        {
            flushed.extend(self.flush(caption));
        }
        let Some(segment) = &mut self.segment else { return };
        // Flushing may have moved the file's start a little earlier.
        let offset_ms = segment.offset_ms(at_us);
        if at_us > segment.last_us {
            self.interval_us = at_us - segment.last_us;
        }
        (segment.last_us, segment.received) = (at_us, frame.live.received);
        let since = frame.live.received;
        let held = segment.cluster.get_or_insert_with(|| HeldCluster {
            cluster: Cluster::new(offset_ms),
            since,
            memory: Vec::new(),
        });
        held.cluster.add(offset_ms, frame.live.jpeg.clone());
        held.memory.push(frame.memory);
    }

    /// When to flush the cluster or close the file.
    pub(super) fn due(&self) -> Option<Instant> {
        let segment = self.segment.as_ref()?;
        Some(match &segment.cluster {
            Some(held) => held.since + MAX_HOLD,
            None => segment.received + self.silence_limit(),
        })
    }

    fn silence_limit(&self) -> Duration {
        MIN_SILENCE.max(Duration::from_micros(2 * self.interval_us.unsigned_abs()))
    }

    /// Closes the file if no frame arrived for too long.
    pub(super) fn close_if_silent(&mut self, now: Instant, flushed: &mut Vec<Flushed>) -> Option<Closed> {
        let segment = self.segment.as_ref()?;
        let is_silent = segment.cluster.is_none() && segment.received + self.silence_limit() <= now;
        if is_silent { self.close(None, flushed, "") } else { None }
    }

    /// Writes the held cluster. If it fails, close the file with [`Camera::close_file`].
    pub(super) fn flush(&mut self, caption: &str) -> Option<Flushed> {
        let caption_ms = self.caption_ms();
        let segment = self.segment.as_mut()?;
        let held = segment.cluster.take()?;
        let frames = held.cluster.frames() as u64;
        let written = segment.write(&self.dir, &self.title, held.cluster, caption, caption_ms);
        Some(Flushed { frames, written })
    }

    /// Drops the held cluster; returns the number of its frames.
    pub(super) fn discard_held(&mut self) -> u64 {
        let held = self.segment.as_mut().and_then(|segment| segment.cluster.take());
        held.map_or(0, |held| held.cluster.frames() as u64)
    }

    /// How long to show a caption: until the next one is likely.
    fn caption_ms(&self) -> u64 {
        let Some(held) = self.segment.as_ref().and_then(|segment| segment.cluster.as_ref()) else { return 0 };
        let interval_ms = self.interval_us.unsigned_abs() / US_PER_MS as u64;
        let span_ms = held.cluster.last_ms() - held.cluster.at_ms();
        if span_ms == 0 {
            interval_ms.clamp(MAX_CLUSTER_MS, 120_000)
        } else {
            span_ms + interval_ms.min(MAX_CLUSTER_MS)
        }
    }

    /// Writes the held cluster and closes the file; `next_us` is when the next file starts, if known.
    pub(super) fn close(&mut self, next_us: Option<i64>, flushed: &mut Vec<Flushed>, caption: &str) -> Option<Closed> {
        flushed.extend(self.flush(caption));
        self.close_file(next_us)
    }

    /// Closes the file with what is written.
    pub(super) fn close_file(&mut self, next_us: Option<i64>) -> Option<Closed> {
        let segment = self.segment.take()?;
        let open = segment.open?;
        // Assume that the last frame lasts as long as the one before it.
        let last_us = open.end_us() + self.interval_us.clamp(US_PER_MS, MAX_INTERVAL_US);
        let longest_us = library::GAP_US.max(2 * self.interval_us);
        let end_us = next_us.filter(|next| (open.start_us..=open.end_us() + longest_us).contains(next));
        let duration_ms = (end_us.unwrap_or(last_us) - open.start_us) / US_PER_MS;
        Some(Closed { camera: self.name.clone(), open, duration_ms: duration_ms as u64 })
    }
}

/// The outcome of [`Camera::prepare`].
pub(super) struct Prepared {
    /// The frame's time; `None` if the camera starts files too often and the frame is dropped.
    pub(super) at_us: Option<i64>,
    /// The previous file, if it was closed.
    pub(super) closed: Option<Closed>,
}

impl Segment {
    /// Milliseconds from the file's start.
    fn offset_ms(&self, at_us: i64) -> u64 {
        ((at_us - self.start_us + US_PER_MS / 2) / US_PER_MS).max(0) as u64
    }

    /// Writes a cluster, creating the file with the first; returns the bytes written and the file if it is new.
    fn write(
        &mut self,
        dir: &Path,
        title: &str,
        mut cluster: Cluster,
        caption: &str,
        caption_ms: u64,
    ) -> io::Result<(u64, Option<Arc<OpenFile>>)> {
        let is_new = self.open.is_none();
        let open = match self.open.take() {
            Some(open) => open,
            None => Arc::new(OpenFile::create(dir, self.start_us)?),
        };
        cluster.shift(((self.start_us - open.start_us) / US_PER_MS) as u64);
        self.start_us = open.start_us;
        self.open = Some(Arc::clone(&open));
        let (width, height) = self.size;
        let info = FileInfo { start_us: open.start_us, width, height, title };
        let bytes = open.append(&info, &cluster, caption, caption_ms)?;
        Ok((bytes, is_new.then_some(open)))
    }

    fn fit(&mut self, frame: &ReceivedFrame, limits: Limits, interval_us: i64) -> Fit {
        let header = &frame.live.header;
        let is_same = self.size == (header.width, header.height) && self.boot == header.boot;
        // Compare with the last frame received, even if the rate limit dropped it.
        let before_us = self.timing.last_us;
        self.received = frame.live.received;
        let Some(at_us) = self.timing.time_of(frame).filter(|_| is_same) else { return Fit::New };
        if at_us - before_us > library::GAP_US.max(2 * interval_us) {
            return Fit::New;
        }
        let is_large = self.open.as_ref().is_some_and(|open| open.clusters().end > limits.max_bytes);
        if at_us - self.start_us >= limits.max_us || is_large { Fit::Next(at_us) } else { Fit::Current(at_us) }
    }
}
