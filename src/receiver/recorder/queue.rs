//! The queue of frames for the writer thread. It is bounded in bytes and emptied in groups, so that not every frame
//! wakes the thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Stamp;
use crate::lock::lock;
use crate::receiver::budget::{Pool, Share};
use crate::receiver::live_frame::LiveFrame;
use crate::service::HEARTBEAT_INTERVAL;

/// How long frames wait for more, unless there are this many bytes.
const GATHER_TIME: Duration = Duration::from_millis(250);
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// One agent can use half of the memory. If more than this part (1/4) is used, it fills.
const FILLING_DIVISOR: u64 = 4;

/// A frame and when it arrived.
pub(super) struct ReceivedFrame {
    pub(super) live: Arc<LiveFrame>,
    /// Arrival, in microseconds since 1970 by this machine's clock.
    pub(super) at_us: i64,
    /// Its part of the memory for frames that are not written yet.
    pub(super) memory: Share,
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wakeup: Condvar,
    memory: Pool,
    refused: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<ReceivedFrame>,
    bytes: usize,
    /// When the oldest waiting frame arrived.
    since: Option<Instant>,
    ended: bool,
}

impl Queue {
    /// A queue for frames in this memory.
    pub(super) fn new(memory: Pool) -> Queue {
        Queue { waiting: Mutex::default(), wakeup: Condvar::new(), memory, refused: AtomicU64::new(0) }
    }

    /// Queues a frame, or counts it as refused if its agent already uses too much memory.
    pub(super) fn put(&self, live: &Arc<LiveFrame>) {
        let Some(memory) = self.memory.take_fairly(&live.header.agent, live.jpeg.len()) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let size = live.jpeg.len();
        let frame = ReceivedFrame { live: Arc::clone(live), at_us: Stamp::now().unix_us(), memory };
        let mut waiting = self.waiting();
        let was_large = waiting.bytes >= GROUP_BYTES;
        waiting.bytes += size;
        waiting.frames.push(frame);
        let is_first = waiting.since.is_none();
        if is_first {
            waiting.since = Some(Instant::now());
        }
        let is_large = waiting.bytes >= GROUP_BYTES;
        drop(waiting);
        if is_first || is_large && !was_large {
            self.wakeup.notify_one();
        }
    }

    /// Waits for a group of frames or until `due`, and appends the frames to `frames`. Returns early enough for the
    /// thread's heartbeat. Returns false when no more frames will come.
    pub(super) fn gather(&self, due: Option<Instant>, frames: &mut Vec<ReceivedFrame>) -> bool {
        let mut waiting = self.waiting();
        loop {
            let gathered = waiting.since.map(|since| since + GATHER_TIME);
            let until = gathered.into_iter().chain(due).min();
            let now = Instant::now();
            if waiting.ended || waiting.bytes >= GROUP_BYTES || until.is_some_and(|until| until <= now) {
                frames.append(&mut waiting.frames);
                (waiting.bytes, waiting.since) = (0, None);
                return !waiting.ended;
            }
            let wait = until.map_or(HEARTBEAT_INTERVAL, |until| until - now).min(HEARTBEAT_INTERVAL);
            let (waited, time) = self.wakeup.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner);
            if wait == HEARTBEAT_INTERVAL && time.timed_out() {
                return true;
            }
            waiting = waited;
        }
    }

    /// Whether the memory fills, and held frames should be written.
    pub(super) fn is_filling(&self) -> bool {
        self.memory.is_filled_to(FILLING_DIVISOR)
    }

    /// Returns how many frames were refused since the last call.
    pub(super) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Marks the queue as ended: it accepts the frames it has and then stops the writer.
    pub(super) fn end(&self) {
        self.waiting().ended = true;
        self.wakeup.notify_one();
    }

    /// Whether [`Queue::end`] was called.
    pub(super) fn has_ended(&self) -> bool {
        self.waiting().ended
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}
