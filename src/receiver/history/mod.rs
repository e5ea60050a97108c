//! Every reading that comes is kept, once.
//!
//! A link's task hands readings over without waiting (`Feed`); a thread of its own, because disks block, writes them in groups
//! (`keeper.rs`) into an `SQLite` file (`book.rs`, `known.rs`; dates in `ahead.rs`). What is there is acknowledged over the link that it came from, and an agent
//! sends again what was not acknowledged, so whatever goes wrong here loses nothing and holds up nothing.

mod ahead;
mod book;
mod keeper;
mod known;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

pub use known::Ack;

use crate::clock::Stamp;
use crate::name::Name;
use crate::store::Trouble;
use crate::wire::{Batch, Readings, Value};
use keeper::Keeper;

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
    feeds: Vec<Feed>,
    thread: JoinHandle<()>,
}

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
    /// Opens the file, for so many links. A disk that is full or fails is no error: it is tried again until it is well.
    ///
    /// # Errors
    /// When the file is another receiver's or a newer one's, or may not be used.
    pub async fn open(path: PathBuf, links: usize) -> Result<History, Trouble> {
        let (came, taken) = sync_channel(MESSAGES);
        let room = Arc::new(AtomicUsize::new(ROOM));
        let (mut feeds, mut acks) = (Vec::new(), Vec::new());
        for link in 0..links {
            let (sender, receiver) = mpsc::channel(ACKS);
            acks.push(sender);
            feeds.push(Feed { link, came: came.clone(), room: Arc::clone(&room), acks: receiver });
        }
        let (told, opened) = oneshot::channel();
        let keeper = Keeper::new(path.clone(), taken, room, acks);
        let thread = Builder::new().name("history".to_owned()).spawn(move || keeper.run(told))?;
        match timeout(OPENED, opened).await {
            Ok(Ok(Err(trouble))) => return Err(trouble),
            Ok(_) => {}
            Err(_) => info!("history: {} is large and still being looked at", path.display()),
        }
        Ok(History { feeds, thread })
    }

    /// What each link needs, in their order; the history ends when they are gone.
    pub fn feeds(&mut self) -> impl Iterator<Item = Feed> {
        std::mem::take(&mut self.feeds).into_iter()
    }

    /// Waits until all is written.
    pub async fn end(self) {
        drop(self.feeds);
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
