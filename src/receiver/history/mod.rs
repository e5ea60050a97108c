//! Every reading that comes is kept, once.
//!
//! A link's task hands readings over without waiting (`Feed`); a thread of its own, because disks block, writes them in groups
//! (`keeper.rs`) into an `SQLite` file (`book.rs`, `known.rs`; dates in `ahead.rs`), with what they come to in minutes and hours
//! (`aggregates.rs`), and lets go of them when they are old (`expiry.rs`). What is there is acknowledged over the link that it came
//! from, and an agent sends again what was not acknowledged, so whatever goes wrong here loses nothing and holds up nothing. Who
//! reads it (`reader.rs`) has connections of its own: charts (`chart.rs`), and all readings of a time (`export.rs`).

mod aggregates;
mod ahead;
mod book;
mod chart;
mod expiry;
mod export;
mod keeper;
mod known;
mod reader;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

pub use chart::{Ask, Chart, Point};
pub use export::{Export, Row};
pub use known::Ack;
pub use reader::{NotRead, Reader, Series};

use crate::clock::Stamp;
use crate::config::Period;
use crate::name::Name;
use crate::service::Life;
use crate::store::Trouble;
use crate::wire::{Batch, Readings, Value};
use keeper::Keeper;
use state::State;

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
const WRITTEN: Duration = Duration::from_millis(700);

/// A history, and the thread that writes it.
pub struct History {
    came: SyncSender<Came>,
    room: Arc<AtomicUsize>,
    acks: Acks,
    links: AtomicUsize,
    reader: Reader,
    life: Life,
    thread: JoinHandle<()>,
}

/// Where each link hears what is there, by its number; with none, the history has ended.
type Acks = Arc<Mutex<Option<BTreeMap<usize, mpsc::Sender<Ack>>>>>;

/// What one link gives to the history, and hears from it.
pub struct Feed {
    link: usize,
    came: SyncSender<Came>,
    /// Bytes for which there still is [`ROOM`].
    room: Arc<AtomicUsize>,
    /// What is there now, for this link's agents; it ends with the history.
    pub acks: mpsc::Receiver<Ack>,
}

/// Readings as they came.
struct Came {
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
    name: Bytes,
}

impl History {
    /// Opens the file; readings that are older than `keep` go. A disk that is full or fails is no error: it is tried again until
    /// it is well.
    ///
    /// # Errors
    /// When the file is another receiver's or a newer one's, or may not be used.
    pub async fn open(path: PathBuf, keep: Period) -> Result<History, Trouble> {
        let (came, taken) = sync_channel(MESSAGES);
        let room = Arc::new(AtomicUsize::new(ROOM));
        let acks: Acks = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let life = Life::of("the history's thread".to_owned());
        let (told, opened) = oneshot::channel();
        let state = Arc::new(State::default());
        let (shared, told_to) = (Arc::clone(&room), Arc::clone(&acks));
        let keeper = Keeper::new(path.clone(), keep, taken, shared, told_to, Arc::clone(&state), life.clone());
        let thread = Builder::new().name("history".to_owned()).spawn(move || keeper.run(told))?;
        match timeout(OPENED, opened).await {
            Ok(Ok(Err(trouble))) => return Err(trouble),
            Ok(_) => {}
            Err(_) => info!("history: {} is large and still being looked at", path.display()),
        }
        let (links, reader) = (AtomicUsize::new(0), Reader::new(path, state));
        Ok(History { came, room, acks, links, reader, life, thread })
    }

    /// For whoever wants to know what is in it.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What one more link needs.
    #[must_use]
    pub fn feed(&self) -> Feed {
        let (sender, acks) = mpsc::channel(ACKS);
        let link = self.links.fetch_add(1, Ordering::Relaxed);
        if let Some(links) = &mut *self.acks.lock().unwrap_or_else(PoisonError::into_inner) {
            links.insert(link, sender);
        }
        Feed { link, came: self.came.clone(), room: Arc::clone(&self.room), acks }
    }

    /// Its thread's.
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Waits until all is written of links that have ended.
    pub async fn end(self) {
        drop(self.came);
        match timeout(WRITTEN, spawn_blocking(|| self.thread.join())).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => warn!("history: its thread failed"),
            Err(_) => warn!("history: left behind, the disk takes too long"),
        }
    }
}

impl Feed {
    /// Hands readings over, to be acknowledged to `peer` if that one listens. False: there is no room, and they are not kept.
    #[must_use]
    pub fn offer(&self, readings: &Readings, peer: Option<&Bytes>) -> bool {
        let size = size(readings);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size)).is_err() {
            return false;
        }
        let from = peer.map(|name| Peer { link: self.link, name: name.clone() });
        let came = Came { from, at_us: Stamp::now().unix_us(), readings: readings.clone(), size };
        let taken = self.came.try_send(came).is_ok();
        if !taken {
            self.room.fetch_add(size, Ordering::Relaxed);
        }
        taken
    }

    /// No more comes from this link; what is there is still told.
    #[must_use]
    pub fn finish(self) -> mpsc::Receiver<Ack> {
        self.acks
    }
}

impl Came {
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
    size_of::<Came>() + 4 * ALLOCATION + readings.batches.iter().map(of_batch).sum::<usize>()
}
