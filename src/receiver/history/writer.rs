//! The history's writer thread: writes readings in groups, and retries when the disk fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::ReceivedReadings;
use super::database::Database;
use super::expiry::Expiry;
use super::writer_state::WriterState;
use crate::config::Period;
use crate::receiver::log_throttle::LogThrottle;
use crate::service::{HEARTBEAT_INTERVAL, Heartbeat};
use crate::store::StoreError;

/// How long live readings wait to be written together, because every write wears an SD card. A backlog is written at once: the
/// agent waits for its acknowledgement before it sends more.
const GROUP_DELAY: Duration = Duration::from_millis(250);

/// The delay between attempts while the disk fails.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The thread and what it owns.
pub(super) struct Writer {
    path: PathBuf,
    incoming: Receiver<ReceivedReadings>,
    /// Free room for readings in memory; the group's size is returned to it.
    room: Arc<AtomicUsize>,
    database: Option<Database>,
    group: Vec<ReceivedReadings>,
    /// When to write the group.
    due: Option<Instant>,
    /// When writing began to fail; `None` while it works.
    failing_since: Option<Instant>,
    failures: LogThrottle,
    refusals: LogThrottle,
    expiry: Expiry,
    state: Arc<WriterState>,
    heartbeat: Heartbeat,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.set_cause("its thread failed".to_owned());
        }
    }
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        keep: Period,
        incoming: Receiver<ReceivedReadings>,
        room: Arc<AtomicUsize>,
        state: Arc<WriterState>,
        heartbeat: Heartbeat,
    ) -> Writer {
        let (failures, refusals) = (LogThrottle::default(), LogThrottle::default());
        let (database, group, due, failing_since) = (None, Vec::new(), None, None);
        let expiry = Expiry::new(keep);
        Writer {
            path,
            incoming,
            room,
            database,
            group,
            due,
            failing_since,
            failures,
            refusals,
            expiry,
            state,
            heartbeat,
        }
    }

    /// Writes readings until all feeds are gone; first reports whether the file can be used.
    pub(super) fn run(mut self, opened: oneshot::Sender<Result<(), StoreError>>) {
        self.state.set_cause(format!("{} is being checked", self.path.display()));
        match self.open() {
            Ok(()) => {
                self.state.clear_cause();
                info!("history: storing readings in {}", self.path.display());
                // The receiver has stopped waiting if this took long.
                let _ = opened.send(Ok(()));
            }
            Err(
                error @ (StoreError::Full | StoreError::ReadOnly | StoreError::Disk(_) | StoreError::Unreadable(_)),
            ) => {
                self.retry_later(error);
                let _ = opened.send(Ok(()));
            }
            Err(error) => match opened.send(Err(error)) {
                Err(Err(error)) => self.retry_later(error),
                _ => return,
            },
        }
        while self.gather() {
            self.write();
        }
        // If the first attempt finds damage, the second one writes to a new file.
        if !self.write() && !self.write() {
            warn!("history: {} messages with readings could not be stored", self.group.len());
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let database = Database::open(&self.path)?;
        self.adopt(database);
        Ok(())
    }

    fn adopt(&mut self, database: Database) {
        if let Some((aside, what)) = database.set_aside() {
            warn!("history: {} could not be used ({what}); moved to {}", self.path.display(), aside.display());
        }
        if let Some(copy) = database.incomplete() {
            let (path, copy) = (self.path.display(), copy.display());
            warn!(
                "history: {path}: the write-ahead log was incomplete (power cut or damage); the original is saved as {copy}"
            );
        }
        self.database = Some(database);
    }

    /// Receives readings until the group is due; returns false when all feeds are gone.
    fn gather(&mut self) -> bool {
        loop {
            self.heartbeat.beat();
            let next = self.due.unwrap_or(self.expiry.due());
            match self.incoming.recv_timeout(next.saturating_duration_since(Instant::now()).min(HEARTBEAT_INTERVAL)) {
                Ok(message) => self.add(message),
                Err(RecvTimeoutError::Timeout) if Instant::now() < next => {}
                // Nothing arrived, and nothing waits to be written.
                Err(RecvTimeoutError::Timeout) if self.due.is_none() => self.expire(),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn expire(&mut self) {
        let expired = self.database.as_mut().map_or(Ok(0), |database| self.expiry.step(database));
        match expired {
            Ok(readings) => self.state.add_expired(readings),
            Err(error) => self.retry_later(error),
        }
    }

    fn add(&mut self, message: ReceivedReadings) {
        let now = Instant::now();
        if self.failing_since.is_none() {
            let due = if message.readings.backlog { now } else { now + GROUP_DELAY };
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
        self.group.push(message);
    }

    /// Writes the group; returns false if it must be retried.
    fn write(&mut self) -> bool {
        match self.try_write() {
            Ok(()) => {
                self.due = None;
                self.state.clear_cause();
                if let Some(since) = self.failing_since.take() {
                    info!("history: storing readings in {} again, after {:.0?}", self.path.display(), since.elapsed());
                }
                true
            }
            Err(error) => {
                self.retry_later(error);
                false
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        if self.database.is_none() {
            self.open()?;
        }
        let Some(database) = &mut self.database else { return Ok(()) };
        while !self.group.is_empty() {
            let written = database.store(&self.group)?;
            let peers = self.group[..written.messages].iter().filter_map(|message| message.from.as_ref());
            let links: BTreeMap<_, _> = peers.map(|peer| (peer.link, &peer.acks)).collect();
            for ack in written.acks {
                // An acknowledgement that does not fit is sent when the agent repeats the readings.
                let _ = links.get(&ack.link).map(|link| link.try_send(ack));
            }
            let size = self.group.drain(..written.messages).map(|message| message.size).sum();
            self.room.fetch_add(size, Ordering::Relaxed);
            if written.refused > 0 {
                let what = "readings refused: too many quantities or gaps, or numbers too large";
                self.refusals.log_of(written.refused, &"history", &what);
            }
        }
        database.tidy()
    }

    /// Schedules a retry. The group stays, and is written to a reopened file, because nothing in the old handle is trusted.
    fn retry_later(&mut self, mut error: StoreError) {
        self.failing_since.get_or_insert_with(Instant::now);
        self.due = Some(Instant::now() + RETRY_DELAY);
        if let (Some(database), StoreError::Damaged(what)) = (self.database.take(), &error) {
            match database.renew(what) {
                Ok(database) => return self.adopt(database),
                Err(other) => error = other,
            }
        }
        let what = format!("readings cannot be stored in {}: {error}; retrying every second", self.path.display());
        self.failures.log(&"history", &what);
        self.state.set_cause(what);
    }
}
