//! Stores every reading once.
//!
//! A link's task hands readings over without waiting ([`Feed`]). A thread, because disks block, writes them in groups
//! (`writer.rs`) to an `SQLite` file (`database.rs`; `cache.rs` knows which readings are new, `clock_offset.rs` dates
//! them, `series_index.rs` finds their series and `unconfirmed.rs` keeps those without one), adds them to minutes and
//! hours (`aggregates.rs`), and deletes them when they expire (`expiry.rs`, `expiry_pass.rs`). Stored readings are
//! acknowledged over their link, and agents repeat what was not acknowledged, so a failure here loses nothing and blocks
//! nothing. Readers (`reader.rs`) have connections of their own, for the list of series (`series_list.rs`), charts
//! (`chart.rs`, interrupted at `gaps.rs`) and exports (`export.rs`). Viewers' changes (`maintenance.rs`) go to the writer.

mod aggregates;
mod cache;
mod chart;
mod clock_offset;
mod database;
mod expiry;
mod expiry_pass;
mod export;
mod gaps;
mod label;
mod maintenance;
mod read_error;
mod reader;
mod series_index;
mod series_list;
mod unconfirmed;
mod upgrade;
mod writer_state;
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

pub use cache::Answer;
pub use chart::{Chart, ChartQuery, Point};
pub use export::{Export, Row};
pub use maintenance::{Job, JobError};
pub use read_error::ReadError;
pub use reader::Reader;
pub use series_list::{Series, SeriesPage, SeriesQuery};

use crate::clock::Stamp;
use crate::config;
use crate::name::Name;
use crate::receiver::budget::{MAX_QUEUED_READINGS, Pool, Share};
use crate::receiver::quotas::Quotas;
use crate::service::Heartbeat;
use crate::store::StoreError;
use crate::wire::{Batch, Readings, Value};
use maintenance::{JobQueue, Request};
use writer::Writer;
use writer_state::WriterState;

/// Answers waiting for one link's task.
const ANSWER_QUEUE: usize = 1024;

/// How long to wait for the file to open. Checking a large file takes longer, and the receiver starts meanwhile; a file
/// that cannot be used fails sooner.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long shutdown waits for the disk. The receiver stops within two seconds, and its links take one of them.
/// Readings that are not written by then were not acknowledged.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_millis(700);

/// The history and its writer thread.
pub struct History {
    incoming: Arc<SyncSender<Input>>,
    queue: Pool,
    links: AtomicUsize,
    reader: Reader,
    heartbeat: Heartbeat,
    thread: JoinHandle<()>,
}

/// One link's connection to the history.
pub struct Feed {
    link: usize,
    incoming: SyncSender<Input>,
    /// The memory of readings that wait.
    queue: Pool,
    /// Answers to this link's agents.
    pub answers: mpsc::Receiver<Answer>,
    /// The sender of `answers`, for the writer.
    answer_sender: mpsc::Sender<Answer>,
}

/// Why readings were not accepted.
#[derive(Debug)]
pub enum NotStored {
    /// They arrive faster than they are written, and the agent's share of the queue is full.
    NoRoom,
    /// The writer has stopped.
    Ended,
}

/// Input of the writer thread.
enum Input {
    Readings(ReceivedReadings),
    Job(Request),
}

/// Received readings.
struct ReceivedReadings {
    /// The peer to answer.
    from: Option<Peer>,
    /// When they arrived, in microseconds since 1970, by this machine's clock.
    at_us: i64,
    readings: Readings,
    /// Its memory in the queue.
    _memory: Share,
}

struct Peer {
    link: usize,
    /// Leads to its link's [`Feed`].
    answers: mpsc::Sender<Answer>,
    name: Bytes,
}

impl History {
    /// Opens the file at `path`, and reports what is refused to `quotas`; readings wait in `queue`. A full or failing disk is not an error:
    /// the writer retries.
    ///
    /// # Errors
    /// When another program uses the file, a newer watchpost wrote it, or permissions forbid its use.
    pub async fn open(
        path: PathBuf,
        config: &config::History,
        quotas: Quotas,
        queue: Pool,
    ) -> Result<History, StoreError> {
        let (incoming, received) = sync_channel(MAX_QUEUED_READINGS);
        let heartbeat = Heartbeat::of("the history's thread".to_owned());
        let (told, opened) = oneshot::channel();
        let state = Arc::new(WriterState::default());
        let writer = Writer::new(path.clone(), config, received, quotas, Arc::clone(&state), heartbeat.clone());
        let ending = heartbeat.clone();
        heartbeat.starts();
        let run = move || {
            writer.run(told);
            ending.end();
        };
        let thread = Builder::new().name("history".to_owned()).spawn(run)?;
        match timeout(OPEN_TIMEOUT, opened).await {
            Ok(Ok(Err(error))) => return Err(error),
            Ok(_) => {}
            Err(_) => info!("history: {} is large and still being checked", path.display()),
        }
        let incoming = Arc::new(incoming);
        let (links, jobs) = (AtomicUsize::new(0), JobQueue::new(Arc::downgrade(&incoming)));
        let reader = Reader::new(path, state, jobs);
        Ok(History { incoming, queue, links, reader, heartbeat, thread })
    }

    /// Read access to the history.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Connects one more link.
    #[must_use]
    pub fn feed(&self) -> Feed {
        let (answer_sender, answers) = mpsc::channel(ANSWER_QUEUE);
        let link = self.links.fetch_add(1, Ordering::Relaxed);
        Feed { link, incoming: SyncSender::clone(&self.incoming), queue: self.queue.clone(), answers, answer_sender }
    }

    /// The writer thread's heartbeat.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Waits until everything is written and the file is closed, but at most until `limit`. End all links first.
    pub async fn end(self, limit: impl Future<Output = ()>) {
        drop(self.incoming);
        tokio::select! {
            ended = spawn_blocking(|| self.thread.join()) => {
                if !matches!(ended, Ok(Ok(()))) {
                    warn!("history: its thread failed");
                }
            }
            () = limit => warn!("history: the disk takes too long; abandoning its thread"),
        }
    }
}

impl Feed {
    /// Hands readings over; `peer` gets the answer.
    ///
    /// # Errors
    /// When they are not accepted.
    pub fn offer(&self, readings: &Readings, peer: Option<&Bytes>) -> Result<(), NotStored> {
        let memory = self.queue.take_fairly(&readings.agent, size(readings)).ok_or(NotStored::NoRoom)?;
        let from = peer.map(|name| Peer { link: self.link, answers: self.answer_sender.clone(), name: name.clone() });
        let at_us = Stamp::now().unix_us();
        let message = ReceivedReadings { from, at_us, readings: readings.clone(), _memory: memory };
        self.incoming.try_send(Input::Readings(message)).map_err(|refused| match refused {
            TrySendError::Full(_) => NotStored::NoRoom,
            TrySendError::Disconnected(_) => NotStored::Ended,
        })
    }

    /// Ends the feed; the channel returns the remaining answers and then closes.
    #[must_use]
    pub fn finish(self) -> mpsc::Receiver<Answer> {
        self.answers
    }
}

impl ReceivedReadings {
    /// Whether it has no readings.
    fn is_empty(&self) -> bool {
        self.readings.batches.iter().all(|batch| batch.values.is_empty())
    }

    /// Agent and boot.
    fn start(&self) -> (Name, Name) {
        (self.readings.agent.clone(), self.readings.boot.clone())
    }
}

/// Overhead of an allocation: a text's two counters, and the allocator's header.
const ALLOCATION: usize = 32;

fn size(readings: &Readings) -> usize {
    let of_value = |value: &Value| size_of::<Value>() + 2 * ALLOCATION + value.quantity.len() + value.unit.len();
    let of_batch = |batch: &Batch| {
        size_of::<Batch>() + 2 * ALLOCATION + batch.port.len() + batch.values.iter().map(of_value).sum::<usize>()
    };
    size_of::<ReceivedReadings>() + 4 * ALLOCATION + readings.batches.iter().map(of_batch).sum::<usize>()
}
