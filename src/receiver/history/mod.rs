//! Every reading that comes is kept, once.
//!
//! A link's task hands readings over without waiting (`Feed`); a thread of its own, because disks block, writes them in groups
//! (`writer.rs`) into an `SQLite` file (`database.rs`, `cache.rs`; dates in `clock_offset.rs`), with what they come to in minutes and hours
//! (`aggregates.rs`), and lets go of them when they are old (`expiry.rs`). What is there is acknowledged over the link that it came
//! from, and an agent sends again what was not acknowledged, so whatever goes wrong here loses nothing and holds up nothing. Who
//! reads it (`reader.rs`) has connections of its own: charts (`chart.rs`), and all readings of a time (`export.rs`).

mod aggregates;
mod cache;
mod chart;
mod clock_offset;
mod database;
mod expiry;
mod expiry_pass;
mod export;
mod read_error;
mod reader;
mod state;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

pub use cache::Ack;
pub use chart::{Ask, Chart, Point};
pub use export::{Export, Row};
pub use read_error::ReadError;
pub use reader::{Reader, Series};

use crate::clock::Stamp;
use crate::config::Period;
use crate::name::Name;
use crate::service::Heartbeat;
use crate::store::StoreError;
use crate::wire::{Batch, Readings, Value};
use state::State;
use writer::Writer;

/// Bytes of readings that wait to be written, by estimate, and messages that wait to be put into a group.
const ROOM: usize = 8 * 1024 * 1024;
const MESSAGES: usize = 1024;

/// Acks that wait for one link's task.
const ACKS: usize = 1024;

/// A large file takes longer than this to be looked at, and the receiver shows what comes meanwhile; that it cannot be used at
/// all is known sooner.
const OPENED: Duration = Duration::from_secs(5);

/// At the end, so long is waited for a disk that is slow: the receiver ends within two seconds, of which links have one. What
/// is not written then was not acknowledged.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_millis(700);

/// A history, and the thread that writes it.
pub struct History {
    came: SyncSender<ReceivedReadings>,
    room: Arc<AtomicUsize>,
    links: AtomicUsize,
    reader: Reader,
    heartbeat: Heartbeat,
    thread: JoinHandle<()>,
}

/// What one link gives to the history, and hears from it.
pub struct Feed {
    link: usize,
    came: SyncSender<ReceivedReadings>,
    /// Bytes for which there still is [`ROOM`].
    room: Arc<AtomicUsize>,
    /// What is there now, for this link's agents.
    pub acks: mpsc::Receiver<Ack>,
    /// Where that is said.
    told: mpsc::Sender<Ack>,
}

/// Why readings are not kept.
#[derive(Debug)]
pub enum Unkept {
    /// They come faster than they are written.
    NoRoom,
    /// The history has ended.
    Ended,
}

/// Readings as they came.
struct ReceivedReadings {
    /// Who is told when they are there.
    from: Option<Peer>,
    /// Microseconds since 1970, by this machine's clock.
    at_us: i64,
    readings: Readings,
    /// Bytes, by estimate.
    size: usize,
}

struct Peer {
    link: usize,
    /// Its link's [`Feed`] hears it.
    told: mpsc::Sender<Ack>,
    name: Bytes,
}

impl History {
    /// Opens the file; readings that are older than `keep` go. A disk that is full or fails is no error: it is tried again until
    /// it is well.
    ///
    /// # Errors
    /// When the file is another receiver's or a newer one's, or may not be used.
    pub async fn open(path: PathBuf, keep: Period) -> Result<History, StoreError> {
        let (came, taken) = sync_channel(MESSAGES);
        let room = Arc::new(AtomicUsize::new(ROOM));
        let heartbeat = Heartbeat::of("the history's thread".to_owned());
        let (told, opened) = oneshot::channel();
        let state = Arc::new(State::default());
        let keeper = Writer::new(path.clone(), keep, taken, Arc::clone(&room), Arc::clone(&state), heartbeat.clone());
        let ending = heartbeat.clone();
        let run = move || {
            keeper.run(told);
            ending.end();
        };
        let thread = Builder::new().name("history".to_owned()).spawn(run)?;
        match timeout(OPENED, opened).await {
            Ok(Ok(Err(trouble))) => return Err(trouble),
            Ok(_) => {}
            Err(_) => info!("history: {} is large and still being looked at", path.display()),
        }
        let (links, reader) = (AtomicUsize::new(0), Reader::new(path, state));
        Ok(History { came, room, links, reader, heartbeat, thread })
    }

    /// For whoever wants to know what is in it.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What one more link needs.
    #[must_use]
    pub fn feed(&self) -> Feed {
        let (told, acks) = mpsc::channel(ACKS);
        let link = self.links.fetch_add(1, Ordering::Relaxed);
        Feed { link, came: self.came.clone(), room: Arc::clone(&self.room), acks, told }
    }

    /// Its thread's.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Waits until all is written of links that have ended, and the file is closed, but not for longer than `limit`.
    pub async fn end(self, limit: impl Future<Output = ()>) {
        drop(self.came);
        tokio::select! {
            ended = spawn_blocking(|| self.thread.join()) => {
                if !matches!(ended, Ok(Ok(()))) {
                    warn!("history: its thread failed");
                }
            }
            () = limit => warn!("history: left behind, the disk takes too long"),
        }
    }
}

impl Feed {
    /// Hands readings over, to be acknowledged to `peer` if that one listens.
    ///
    /// # Errors
    /// When they are not kept.
    pub fn offer(&self, readings: &Readings, peer: Option<&Bytes>) -> Result<(), Unkept> {
        let size = size(readings);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size)).is_err() {
            return Err(Unkept::NoRoom);
        }
        let from = peer.map(|name| Peer { link: self.link, told: self.told.clone(), name: name.clone() });
        let came = ReceivedReadings { from, at_us: Stamp::now().unix_us(), readings: readings.clone(), size };
        self.came.try_send(came).map_err(|refused| {
            self.room.fetch_add(size, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Unkept::NoRoom,
                TrySendError::Disconnected(_) => Unkept::Ended,
            }
        })
    }

    /// No more comes from this link; what is still to be written is told, and then there is an end.
    #[must_use]
    pub fn finish(self) -> mpsc::Receiver<Ack> {
        self.acks
    }
}

impl ReceivedReadings {
    /// Agent and boot.
    fn start(&self) -> (Name, Name) {
        (self.readings.agent.clone(), self.readings.boot.clone())
    }
}

/// What an allocation takes beside its content: a text's two counters, and what the allocator needs.
const ALLOCATION: usize = 32;

fn size(readings: &Readings) -> usize {
    let of_value = |value: &Value| size_of::<Value>() + 2 * ALLOCATION + value.quantity.len() + value.unit.len();
    let of_batch = |batch: &Batch| {
        size_of::<Batch>() + 2 * ALLOCATION + batch.port.len() + batch.values.iter().map(of_value).sum::<usize>()
    };
    size_of::<ReceivedReadings>() + 4 * ALLOCATION + readings.batches.iter().map(of_batch).sum::<usize>()
}
