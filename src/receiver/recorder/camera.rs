//! One camera's frames into its files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caretaker::Closed;
use super::library;
use super::matroska::{About, Cluster};
use super::queue::Came;
use super::segment::{MS, Open};
use super::timing::Timing;
use crate::config::Fps;
use crate::name::Name;

/// A cluster spans so many milliseconds at most, and is written when its first frame came so long ago or its pictures have so
/// many bytes.
const LONGEST_MS: u64 = 1_000;
const HELD: Duration = Duration::from_millis(750);
const LARGE: usize = 1024 * 1024;

/// A file ends when no frame came for so long, or for as long as two frames are apart.
const SILENT: Duration = Duration::from_secs(10);

/// A camera that takes no frame in so long is not slow but was away.
const SLOWEST_US: i64 = 120_000_000;

/// A camera of which nothing came for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// What changes all the time makes so many files at once, and then one a second.
const CHANGES: f64 = 20.0;

/// A camera that is recorded.
pub(super) struct Camera {
    pub(super) name: library::Camera,
    dir: PathBuf,
    title: String,
    segment: Option<Segment>,
    /// When the next frame is wanted, if not all are.
    due_us: Option<i64>,
    /// Between the last two frames, those of a slow camera even if they are in two files.
    interval_us: i64,
    last: Option<Last>,
    /// When the last frame came.
    came: Instant,
    /// After a failure nothing is tried until then.
    pub(super) again: Option<Instant>,
    changes: f64,
    changed: Instant,
}

/// A file that grows.
struct Segment {
    timing: Timing,
    boot: Option<Name>,
    size: (u32, u32),
    start_us: i64,
    last_us: i64,
    received: Instant,
    /// Made with the first cluster.
    open: Option<Arc<Open>>,
    cluster: Option<Held>,
}

/// A frame that came.
struct Last {
    at_us: i64,
    boot: Option<Name>,
    size: (u32, u32),
}

/// Frames that are not written yet.
struct Held {
    cluster: Cluster,
    since: Instant,
    /// Bytes in memory.
    size: usize,
}

/// When a file is long or large enough.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) longest_us: i64,
    pub(super) largest: u64,
}

/// What became of frames that were held.
pub(super) struct Flushed {
    pub(super) frames: u64,
    /// Bytes that are no longer in memory.
    pub(super) size: usize,
    /// Bytes that were written, to a file that is new or not.
    pub(super) written: io::Result<(u64, Option<Arc<Open>>)>,
}

/// How a frame goes with the file that there is.
enum Fit {
    Same(i64),
    /// It is long enough: the next begins where this one ends.
    Next(i64),
    /// Something is another.
    Other,
}

impl Camera {
    pub(super) fn new(name: library::Camera, dir: PathBuf) -> Camera {
        let title = format!("{}/{}", name.0, name.1);
        Camera {
            name,
            dir,
            title,
            segment: None,
            due_us: None,
            interval_us: 0,
            last: None,
            came: Instant::now(),
            again: None,
            changes: CHANGES,
            changed: Instant::now(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.segment.is_some()
    }

    /// There is nothing that would have to be remembered of it.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        self.segment.is_none() && self.came + FORGOTTEN <= now
    }

    /// Ends the file where this frame belongs into another.
    pub(super) fn prepare(&mut self, came: &Came, limits: Limits, flushed: &mut Vec<Flushed>, text: &str) -> Prepared {
        self.came = came.shown.received;
        let fit = match &mut self.segment {
            Some(segment) => segment.fit(came, limits, self.interval_us),
            None => Fit::Other,
        };
        let closed = match fit {
            Fit::Same(at_us) => {
                self.last.iter_mut().for_each(|last| last.at_us = at_us);
                return Prepared { at_us: Some(at_us), closed: None };
            }
            Fit::Next(at_us) => self.close(Some(at_us), flushed, text),
            Fit::Other => self.close(None, flushed, text),
        };
        if !matches!(fit, Fit::Next(_)) && !self.may_change() {
            return Prepared { at_us: None, closed };
        }
        let (timing, at_us) = Timing::begin(came);
        self.compare(came, at_us);
        let header = &came.shown.header;
        // Files count milliseconds; the first frame is at the first of them.
        let start_us = (at_us + MS / 2).div_euclid(MS) * MS;
        self.segment = Some(Segment {
            timing,
            boot: header.boot.clone(),
            size: (header.width, header.height),
            start_us,
            last_us: at_us,
            received: came.shown.received,
            open: None,
            cluster: None,
        });
        Prepared { at_us: Some(at_us), closed }
    }

    /// With the frame before, though that one is in another file: else a slow camera would have a file for each frame.
    fn compare(&mut self, came: &Came, at_us: i64) {
        let header = &came.shown.header;
        let (boot, size) = (header.boot.clone(), (header.width, header.height));
        let before = self.last.replace(Last { at_us, boot: boot.clone(), size });
        let before = before.filter(|last| (&last.boot, last.size) == (&boot, size));
        let gap_us = before.map_or(0, |last| at_us.saturating_sub(last.at_us));
        if (library::GAP_US..=SLOWEST_US).contains(&gap_us) {
            self.interval_us = gap_us;
        }
    }

    fn may_change(&mut self) -> bool {
        let now = Instant::now();
        self.changes = (self.changes + now.duration_since(self.changed).as_secs_f64()).min(CHANGES);
        self.changed = now;
        let may = self.changes >= 1.0;
        if may {
            self.changes -= 1.0;
        }
        may
    }

    /// Whether a frame of this time is wanted at this rate; a third of an interval of leeway keeps the jitter of a camera of
    /// that rate from costing frames.
    pub(super) fn is_due(&mut self, at_us: i64, fps: Option<Fps>) -> bool {
        let Some(fps) = fps else { return true };
        let interval_us = (1e6 / fps.get()) as i64;
        match self.due_us {
            // A clock that was set back must not stop it.
            Some(due_us) if at_us + interval_us / 3 < due_us && due_us - at_us < 2 * interval_us => false,
            Some(due_us) if (at_us - due_us).abs() < interval_us => {
                self.due_us = Some(due_us + interval_us);
                true
            }
            _ => {
                self.due_us = Some(at_us + interval_us);
                true
            }
        }
    }

    /// Adds a frame to the file, behind a cluster that is complete.
    pub(super) fn add(&mut self, came: &Came, at_us: i64, flushed: &mut Vec<Flushed>, text: &str) {
        let Some(segment) = &mut self.segment else { return };
        let place = segment.place(at_us);
        if let Some(held) = &segment.cluster
            && (place >= held.cluster.at_ms() + LONGEST_MS || held.cluster.picture_bytes() >= LARGE)
        {
            flushed.extend(self.flush(text));
        }
        let Some(segment) = &mut self.segment else { return };
        // The file that was just made may begin a little earlier.
        let place = segment.place(at_us);
        if at_us > segment.last_us {
            self.interval_us = at_us - segment.last_us;
        }
        (segment.last_us, segment.received) = (at_us, came.shown.received);
        let since = came.shown.received;
        let held = segment.cluster.get_or_insert_with(|| Held { cluster: Cluster::new(place), since, size: 0 });
        held.cluster.add(place, came.shown.jpeg.clone());
        held.size += came.size();
    }

    /// When there is something to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let segment = self.segment.as_ref()?;
        Some(match &segment.cluster {
            Some(held) => held.since + HELD,
            None => segment.received + self.patience(),
        })
    }

    fn patience(&self) -> Duration {
        SILENT.max(Duration::from_micros(2 * self.interval_us.unsigned_abs()))
    }

    /// Ends the file if there is no more of it.
    pub(super) fn close_if_silent(&mut self, now: Instant, flushed: &mut Vec<Flushed>) -> Option<Closed> {
        let segment = self.segment.as_ref()?;
        let is_silent = segment.cluster.is_none() && segment.received + self.patience() <= now;
        if is_silent { self.close(None, flushed, "") } else { None }
    }

    /// Writes what is held. After a failure the file is to be given up: see [`Camera::give_up`].
    pub(super) fn flush(&mut self, text: &str) -> Option<Flushed> {
        let shown_ms = self.shown_ms();
        let segment = self.segment.as_mut()?;
        let held = segment.cluster.take()?;
        let (frames, size) = (held.cluster.frames() as u64, held.size);
        let written = segment.write(&self.dir, &self.title, held.cluster, text, shown_ms);
        Some(Flushed { frames, size, written })
    }

    /// Forgets what is held: how many frames, and how many bytes.
    pub(super) fn forget(&mut self) -> Option<(u64, usize)> {
        let held = self.segment.as_mut()?.cluster.take()?;
        Some((held.cluster.frames() as u64, held.size))
    }

    /// A text is shown until the next is likely to come.
    fn shown_ms(&self) -> u64 {
        let Some(held) = self.segment.as_ref().and_then(|segment| segment.cluster.as_ref()) else { return 0 };
        let of_last = self.interval_us.unsigned_abs() / MS as u64;
        let between = held.cluster.last_ms() - held.cluster.at_ms();
        if between == 0 { of_last.clamp(LONGEST_MS, 120_000) } else { between + of_last.min(LONGEST_MS) }
    }

    /// Writes what is held and ends the file, where the next begins at once if that is known.
    pub(super) fn close(&mut self, next_us: Option<i64>, flushed: &mut Vec<Flushed>, text: &str) -> Option<Closed> {
        flushed.extend(self.flush(text));
        self.give_up(next_us)
    }

    /// Ends the file with what is there of it.
    pub(super) fn give_up(&mut self, next_us: Option<i64>) -> Option<Closed> {
        let segment = self.segment.take()?;
        let open = segment.open?;
        // How long the last frame is shown is not known, but it is as long as the one before.
        let last_us = open.end_us() + self.interval_us.clamp(MS, SLOWEST_US);
        let longest_us = library::GAP_US.max(2 * self.interval_us);
        let end_us = next_us.filter(|next| (open.start_us..=open.end_us() + longest_us).contains(next));
        let duration_ms = (end_us.unwrap_or(last_us) - open.start_us) / MS;
        Some(Closed { camera: self.name.clone(), open, duration_ms: duration_ms as u64 })
    }
}

/// What is to be done before a frame is added.
pub(super) struct Prepared {
    /// The frame's time; none: it is in no file, because they change too often.
    pub(super) at_us: Option<i64>,
    /// The file before.
    pub(super) closed: Option<Closed>,
}

impl Segment {
    /// Milliseconds from the file's start.
    fn place(&self, at_us: i64) -> u64 {
        ((at_us - self.start_us + MS / 2) / MS).max(0) as u64
    }

    /// Writes a cluster, into a file that is made with the first; gives its bytes, and the file if it is new.
    fn write(
        &mut self,
        dir: &Path,
        title: &str,
        mut cluster: Cluster,
        text: &str,
        shown_ms: u64,
    ) -> io::Result<(u64, Option<Arc<Open>>)> {
        let is_new = self.open.is_none();
        let open = match self.open.take() {
            Some(open) => open,
            None => Arc::new(Open::create(dir, self.start_us)?),
        };
        cluster.delay(((self.start_us - open.start_us) / MS) as u64);
        self.start_us = open.start_us;
        self.open = Some(Arc::clone(&open));
        let (width, height) = self.size;
        let about = About { start_us: open.start_us, width, height, title };
        let bytes = open.append(&about, &cluster, text, shown_ms)?;
        Ok((bytes, is_new.then_some(open)))
    }

    fn fit(&mut self, came: &Came, limits: Limits, interval_us: i64) -> Fit {
        let header = &came.shown.header;
        let is_same = self.size == (header.width, header.height) && self.boot == header.boot;
        // Those that came count, not those that the rate leaves over.
        let before_us = self.timing.last_us;
        self.received = came.shown.received;
        let Some(at_us) = self.timing.of(came).filter(|_| is_same) else { return Fit::Other };
        if at_us - before_us > library::GAP_US.max(2 * interval_us) {
            return Fit::Other;
        }
        let is_large = self.open.as_ref().is_some_and(|open| open.whole().end > limits.largest);
        if at_us - self.start_us >= limits.longest_us || is_large { Fit::Next(at_us) } else { Fit::Same(at_us) }
    }
}
