//! Frames on their way to the recorder's thread: bounded by bytes, and taken in groups, so that it is not woken for each.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Stamp;
use crate::lock::lock;
use crate::receiver::wall::Shown;
use crate::service::BEAT;

/// Bytes of frames that are in memory until they are written.
const ROOM: usize = 32 * 1024 * 1024;

/// Frames wait so long for others, or until there are so many bytes.
const GATHER: Duration = Duration::from_millis(250);
const MANY: usize = 4 * 1024 * 1024;

/// What a frame takes beside its picture.
const HEADER: usize = 512;

/// A frame that came.
pub(super) struct Came {
    pub(super) shown: Arc<Shown>,
    /// Microseconds since 1970 by this machine's clock.
    pub(super) at_us: i64,
}

impl Came {
    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        HEADER + self.shown.jpeg.len()
    }
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
    /// Bytes for which there still is [`ROOM`].
    room: AtomicUsize,
    refused: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    came: Vec<Came>,
    bytes: usize,
    /// When the first came.
    since: Option<Instant>,
    ended: bool,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            waiting: Mutex::default(),
            news: Condvar::new(),
            room: AtomicUsize::new(ROOM),
            refused: AtomicU64::new(0),
        }
    }
}

impl Queue {
    /// Takes in a frame, if there is room.
    pub(super) fn put(&self, shown: &Arc<Shown>) {
        let came = Came { shown: Arc::clone(shown), at_us: Stamp::now().unix_us() };
        let size = came.size();
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size)).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut waiting = self.waiting();
        let was_many = waiting.bytes >= MANY;
        waiting.bytes += size;
        waiting.came.push(came);
        let is_first = waiting.since.is_none();
        if is_first {
            waiting.since = Some(Instant::now());
        }
        let is_many = waiting.bytes >= MANY;
        drop(waiting);
        if is_first || is_many && !was_many {
            self.news.notify_one();
        }
    }

    /// Waits for a group, or until `due`, and puts it into `came`; not so long that nobody would know whether the thread lives.
    /// False: no more will come.
    pub(super) fn gather(&self, due: Option<Instant>, came: &mut Vec<Came>) -> bool {
        let mut waiting = self.waiting();
        loop {
            let gathered = waiting.since.map(|since| since + GATHER);
            let until = gathered.into_iter().chain(due).min();
            let now = Instant::now();
            if waiting.ended || waiting.bytes >= MANY || until.is_some_and(|until| until <= now) {
                came.append(&mut waiting.came);
                (waiting.bytes, waiting.since) = (0, None);
                return !waiting.ended;
            }
            let wait = until.map_or(BEAT, |until| until - now).min(BEAT);
            let (waited, time) = self.news.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner);
            if wait == BEAT && time.timed_out() {
                return true;
            }
            waiting = waited;
        }
    }

    /// So many bytes are no longer in memory.
    pub(super) fn give_back(&self, bytes: usize) {
        self.room.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Less than half of the room is left.
    pub(super) fn is_tight(&self) -> bool {
        self.room.load(Ordering::Relaxed) < ROOM / 2
    }

    /// How many frames found no room since it was last asked.
    pub(super) fn refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// What waits is the last.
    pub(super) fn end(&self) {
        self.waiting().ended = true;
        self.news.notify_one();
    }

    /// See [`Queue::end`].
    pub(super) fn has_ended(&self) -> bool {
        self.waiting().ended
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}
