//! The agent's spool: keeps readings until their receivers acknowledge them, across restarts and reboots.
//!
//! Readings go to the links and to the spool as they arrive. Those that every receiver acknowledges within a second are
//! never written, so an SD card wears only while a link is down or slow. The others are written together, at most
//! twice a second. A link sends them when it has nothing newer to send (`publish/backlog.rs`), and the spool deletes
//! them when they are acknowledged.
//!
//! The feed, the links and the writer thread share the state in `shared.rs`: the readings in memory (`pending.rs`) and
//! the links (`links.rs`) with their progress (`progress.rs`). `ledger.rs` counts what becomes of each reading. `writer.rs`
//! is the thread, and `plan.rs` one of its commits. `disk.rs` reads the file, `change.rs` changes it, `recovery.rs` opens
//! and repairs it. `row.rs` is a stored batch, and `page.rs` the batches that a link sends together. `list.rs` is for
//! `watchpost spool`.

mod change;
mod checksum;
mod columns;
mod disk;
mod ledger;
mod links;
mod list;
mod page;
mod pending;
mod plan;
mod progress;
mod recovery;
mod row;
mod shared;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::health::Part;
use crate::config;
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::reading::{Batch, State};
use crate::service::Heartbeat;
pub use list::{forget, list};
pub use page::Page;

use shared::Shared;
use writer::Writer;

/// The cause and remedy of a spool that is on and has no path.
pub const NO_PATH: &str = "readings are not spooled: this user has no home directory; set [spool] path, or off = true";

/// How long to wait for the disk when the agent stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The spool, as the agent starts and stops it.
pub struct Spool {
    shared: Arc<Shared>,
    thread: Option<Thread>,
    health: Part,
    heartbeat: Heartbeat,
    state: Arc<State>,
    /// Whether the clock was synchronised at the last report.
    was_synchronised: AtomicBool,
}

struct Thread {
    handle: JoinHandle<()>,
    stopped: oneshot::Receiver<()>,
}

impl Spool {
    /// A spool without links, for the agent start `boot`.
    #[must_use]
    pub fn new(boot: &Name, state: &Arc<State>, health: Part) -> Spool {
        let shared = Arc::new(Shared::new(boot.clone()));
        let heartbeat = Heartbeat::of("the spool's thread".to_owned());
        let was_synchronised = AtomicBool::new(false);
        Spool { shared, thread: None, health, heartbeat, state: Arc::clone(state), was_synchronised }
    }

    /// Keeps readings for a link from now on. `link` is its address.
    #[must_use]
    pub fn add_link(&self, link: &str) -> SpoolHandle {
        SpoolHandle { shared: Arc::clone(&self.shared), link: self.shared.add_link(link) }
    }

    /// Logs a warning for each link that the spool has but the configuration does not.
    pub fn warn_about_unconfigured_links(&self) {
        self.shared.warn_about_unconfigured_links();
    }

    /// Starts the writer thread. Add the links of the configuration first.
    ///
    /// # Errors
    /// When the thread cannot be started. Disk errors are retried for as long as the agent runs.
    pub fn start(&mut self, config: &config::Spool) -> Result<()> {
        let (health, heartbeat) = (self.health.clone(), self.heartbeat.clone());
        let writer = Writer::new(&self.shared, &self.state, health, heartbeat.clone(), config.clone());
        let (stop, stopped) = oneshot::channel();
        self.heartbeat.starts();
        let run = move || {
            writer.run();
            heartbeat.end();
            drop(stop);
        };
        let handle = std::thread::Builder::new().name("spool".into()).spawn(run).context("cannot start a thread")?;
        self.thread = Some(Thread { handle, stopped });
        Ok(())
    }

    /// The heartbeat of the writer thread.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Updates the counters, and dates the readings on the disk once the clock is synchronised. Call it every second.
    pub fn report(&self) {
        let is_synchronised = self.state.clock.zero_us().is_some();
        if is_synchronised && !self.was_synchronised.swap(true, Ordering::Relaxed) {
            self.shared.schedule_dating();
        }
        self.shared.check_for_forgotten_links();
        for (what, readings) in self.shared.settle() {
            self.health.count(what, readings);
        }
        self.health.gauge("readings_in_memory", self.shared.readings_in_memory());
    }

    /// Keeps the readings of `feed` until the shutdown, including those that arrived before it.
    pub fn keep_all(
        &self,
        mut feed: broadcast::Receiver<Arc<Batch>>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            while let Some(batch) = shutdown.run_until_cancelled(feed.recv()).await {
                match batch {
                    Ok(batch) => shared.push(batch),
                    // The number of the next batch shows how many readings were lost.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
            loop {
                match feed.try_recv() {
                    Ok(batch) => shared.push(batch),
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(_) => return,
                }
            }
        }
    }

    /// Writes the remaining readings and stops the thread, unless the disk hangs.
    pub async fn stop(self) {
        self.shared.stop();
        let Some(thread) = self.thread else { return };
        if timeout(STOP_TIMEOUT, thread.stopped).await.is_err() {
            warn!("spool: the disk does not respond; readings in memory are lost");
            return;
        }
        // The thread has stopped, so joining it does not block.
        let _ = thread.handle.join();
    }
}

/// One link's access to the spool. Numbers are of the current agent start unless another one is named.
#[derive(Clone, Debug)]
pub struct SpoolHandle {
    shared: Arc<Shared>,
    link: usize,
}

impl SpoolHandle {
    /// Records that the link left the configuration. The spool keeps the readings that its receiver lacks.
    pub fn unconfigure(&self) {
        self.shared.unconfigure_link(self.link);
    }

    /// Records that the link sends these readings live, and all later ones too.
    pub fn send_live(&self, seqs: SeqRange) {
        self.shared.send_live(self.link, seqs);
    }

    /// Records that the link sends readings live from the number `seq` on.
    pub fn set_live_from(&self, seq: u64) {
        self.shared.set_live_from(self.link, seq);
    }

    /// Records an acknowledgement; returns the whole acknowledged range around it. `None` if no such readings are
    /// known.
    #[must_use]
    pub fn acknowledge(&self, boot: &Name, seqs: SeqRange) -> Option<SeqRange> {
        self.shared.acknowledge(boot, self.link, seqs)
    }

    /// Makes readings available again that were to be sent live and were not.
    pub fn release_live(&self, seqs: SeqRange) {
        self.release(self.shared.boot(), seqs);
    }

    /// Makes readings available again that may not have arrived.
    pub fn release(&self, boot: &Name, seqs: SeqRange) {
        self.shared.release(boot, self.link, seqs);
    }

    /// Records whether the link's receiver acknowledges readings.
    pub fn set_acknowledges(&self, acknowledges: bool) {
        self.shared.set_acknowledges(self.link, acknowledges);
    }

    /// Makes all readings available again that are sent and not acknowledged.
    pub fn reset_in_flight(&self) {
        self.shared.reset_in_flight(self.link);
    }

    /// Requests the oldest readings that the receiver lacks, and marks them in flight. The page is empty if it lacks
    /// none.
    #[must_use]
    pub fn request_page(&self) -> oneshot::Receiver<Page> {
        self.shared.request_page(self.link)
    }
}
