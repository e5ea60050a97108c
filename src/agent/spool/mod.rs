//! What the agent keeps of readings until their receivers have them: on the disk, past its own end and the machine's.
//!
//! Readings go to links as they come, and here. What a receiver acknowledges within a second is never written, so that an SD
//! card wears only while a link is down or slow. What it does not is written, each second's together, and given to the link
//! when it has nothing newer to send (`publish/backlog.rs`), until it is acknowledged; then it is forgotten.
//!
//! `desk.rs` is what the feed, the links and the thread (`keeper.rs`, with what a commit is to do in `plan.rs`) have between
//! them, with a `ledger.rs` of each link. `disk.rs` is the file and what is read of it, `change.rs` what is changed in it,
//! `recovery.rs` how it is opened whatever is the matter with it, `row.rs` a batch as it is kept. `list.rs` is for `watchpost spool`.

mod change;
mod checksum;
mod desk;
mod disk;
mod keeper;
mod ledger;
mod list;
mod plan;
mod recovery;
mod row;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::health::Part;
use crate::backoff::Backoff;
use crate::config;
use crate::name::Name;
use crate::reading::{Batch, State};
use crate::service::Heartbeat;
use crate::wire;
pub use desk::Page;
pub use list::{forget, list};

use desk::Desk;
use keeper::Keeper;

/// At the end, the disk is waited for so long.
const LAST: Duration = Duration::from_secs(1);

/// The spool, as an agent starts and ends it.
pub struct Spool {
    desk: Arc<Desk>,
    thread: Option<Thread>,
    health: Part,
    heartbeat: Heartbeat,
    state: Arc<State>,
    /// The clock was right when it was last looked at.
    was_right: AtomicBool,
}

struct Thread {
    handle: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Spool {
    /// Of this start of the agent, `boot`, with no links yet.
    #[must_use]
    pub fn new(boot: &Name, state: &Arc<State>, health: Part) -> Spool {
        let desk = Arc::new(Desk::new(boot.clone()));
        let heartbeat = Heartbeat::of("the spool's thread".to_owned());
        Spool { desk, thread: None, health, heartbeat, state: Arc::clone(state), was_right: AtomicBool::new(false) }
    }

    /// Keeps for a link, which is called by its address, from now on.
    #[must_use]
    pub fn keep_for(&self, link: &str) -> Shelf {
        Shelf { desk: Arc::clone(&self.desk), link: self.desk.keep_for(link) }
    }

    /// Says which links are kept for and in no configuration.
    pub fn warn_of_strays(&self) {
        self.desk.warn_of_strays();
    }

    /// Begins to write down what is not acknowledged, when it has been told of the links that are in the configuration.
    ///
    /// # Errors
    /// When its thread cannot be started. The disk is none of them: it is tried for as long as the agent runs.
    pub fn begin(&mut self, config: &config::Spool) -> Result<()> {
        let keeper = Keeper {
            desk: Arc::clone(&self.desk),
            state: Arc::clone(&self.state),
            health: self.health.clone(),
            heartbeat: self.heartbeat.clone(),
            path: config.path.clone(),
            max_size: config.max_size.0,
            keep: config.keep.map(|keep| keep.0),
            machine: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            disk: None,
            starts: BTreeMap::new(),
            distrusted: false,
            parked: Vec::new(),
            backoff: Backoff::new(keeper::FIRST_RETRY_DELAY, keeper::MAX_RETRY_DELAY),
            written: BTreeMap::new(),
        };
        let (end, ended) = oneshot::channel();
        let heartbeat = self.heartbeat.clone();
        let run = move || {
            keeper.run();
            heartbeat.end();
            drop(end);
        };
        let handle = std::thread::Builder::new().name("spool".into()).spawn(run).context("cannot start a thread")?;
        self.thread = Some(Thread { handle, ended });
        Ok(())
    }

    /// Its thread's.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Says how much there is in memory, and has what is on the disk dated when the clock is right for the first time.
    pub fn report(&self) {
        let is_right = self.state.clock.zero_us().is_some();
        if is_right && !self.was_right.swap(true, Ordering::Relaxed) {
            self.desk.date();
        }
        self.desk.look_after_given_up();
        let mut papers = self.desk.papers();
        self.health.gauge("readings_in_memory", papers.waiting_readings());
        self.health.count(keeper::NO_ROOM, std::mem::take(&mut papers.lost));
    }

    /// Keeps what comes, until the shutdown and then what came before.
    pub fn follow(
        &self,
        mut feed: broadcast::Receiver<Arc<Batch>>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (desk, health) = (Arc::clone(&self.desk), self.health.clone());
        async move {
            while let Some(batch) = shutdown.run_until_cancelled(feed.recv()).await {
                match batch {
                    Ok(batch) => desk.put(batch),
                    Err(RecvError::Lagged(batches)) => health.count("batches_lost_overload", batches),
                    Err(RecvError::Closed) => return,
                }
            }
            while let Ok(batch) = feed.try_recv() {
                desk.put(batch);
            }
        }
    }

    /// Writes what is left, unless the disk hangs.
    pub async fn end(self) {
        self.desk.end();
        let Some(thread) = self.thread else { return };
        if timeout(LAST, thread.ended).await.is_err() {
            warn!("spool: the disk hangs; what waits in memory is lost");
            return;
        }
        // It has said that it is at its end.
        let _ = thread.handle.join();
    }
}

/// What one link has to do with the spool. Numbers are of readings of this start of the agent, if no other is named.
#[derive(Clone, Debug)]
pub struct Shelf {
    desk: Arc<Desk>,
    link: usize,
}

impl Shelf {
    /// The link is not in the configuration any more. Its receiver gets nothing more over it, and nothing that it lacks is
    /// given up.
    pub fn leave(&self) {
        self.desk.leave(self.link);
    }

    /// These are on their way to the receiver, as they came.
    pub fn claim(&self, first: u64, last: u64) {
        self.desk.claim_live(self.link, first, last);
    }

    /// From this number on, readings come by themselves.
    pub fn live_from(&self, seq: u64) {
        self.desk.live_from(self.link, seq);
    }

    /// The receiver has these; gives the whole range that it has around them. None: they are no readings that are known.
    #[must_use]
    pub fn ack(&self, boot: &Name, first: u64, last: u64) -> Option<(u64, u64)> {
        self.desk.ack(boot, self.link, first, last)
    }

    /// These were claimed and are not sent as they came; they can be had again.
    pub fn unclaim(&self, first: u64, last: u64) {
        self.desk.give_back(&self.desk.boot, self.link, first, last);
    }

    /// These may not have arrived, and can be had again.
    pub fn give_back(&self, boot: &Name, first: u64, last: u64) {
        self.desk.give_back(boot, self.link, first, last);
    }

    /// What is not acknowledged may be lost, and can be had again.
    pub fn begin_anew(&self) {
        self.desk.begin_anew(self.link);
    }

    /// Asks for what the receiver lacks next, oldest first; it is on its way then. An empty page: nothing.
    #[must_use]
    pub fn ask(&self) -> oneshot::Receiver<Page> {
        self.desk.ask(self.link)
    }
}

impl Page {
    /// The start of the agent that its readings are of.
    #[must_use]
    pub fn boot(&self) -> &Name {
        &self.start.boot
    }

    /// The numbers of its first and last reading; none of an empty page.
    #[must_use]
    pub fn numbers(&self) -> Option<(u64, u64)> {
        self.rows.first().map(|row| row.seq).zip(self.rows.last().map(row::Row::last_seq))
    }

    /// As it is sent now; `synchronised`: the clock is right now.
    #[must_use]
    pub fn batches(&self, synchronised: bool) -> Vec<wire::Batch> {
        self.rows.iter().map(|row| row.batch(&self.start, self.is_now, synchronised)).collect()
    }

    /// About so many bytes it is on the wire.
    #[must_use]
    pub fn length(&self) -> usize {
        self.rows.iter().map(row::Row::length).sum()
    }
}
