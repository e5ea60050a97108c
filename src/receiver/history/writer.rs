//! The history's thread: gathers what comes, writes it in groups, and bears with disks.

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
use super::state::State;
use crate::config::Period;
use crate::receiver::log_throttle::LogThrottle;
use crate::service::{BEAT, Heartbeat};
use crate::store::StoreError;

/// Readings wait so long for others: an SD card lives by what it is not told to write. A backlog does not wait, because the
/// agent does, and while it is written the next gathers.
const GATHER: Duration = Duration::from_millis(250);

/// The wait between tries on a disk that fails.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread's own.
pub(super) struct Writer {
    path: PathBuf,
    came: Receiver<ReceivedReadings>,
    /// Where what the group takes is given back.
    room: Arc<AtomicUsize>,
    database: Option<Database>,
    group: Vec<ReceivedReadings>,
    /// When the group is written.
    due: Option<Instant>,
    /// Since when it cannot be.
    failing: Option<Instant>,
    failures: LogThrottle,
    refusals: LogThrottle,
    expiry: Expiry,
    state: Arc<State>,
    heartbeat: Heartbeat,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.fails("its thread has failed".to_owned());
        }
    }
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        keep: Period,
        came: Receiver<ReceivedReadings>,
        room: Arc<AtomicUsize>,
        state: Arc<State>,
        heartbeat: Heartbeat,
    ) -> Writer {
        let (failures, refusals) = (LogThrottle::default(), LogThrottle::default());
        let (database, group, due, failing) = (None, Vec::new(), None, None);
        let expiry = Expiry::new(keep);
        Writer { path, came, room, database, group, due, failing, failures, refusals, expiry, state, heartbeat }
    }

    /// Keeps what comes until no more does; tells first whether the file can be used.
    pub(super) fn run(mut self, told: oneshot::Sender<Result<(), StoreError>>) {
        self.state.fails(format!("{} is being looked at", self.path.display()));
        match self.open() {
            Ok(()) => {
                self.state.is_well();
                info!("history: readings are kept in {}", self.path.display());
                // Nobody waits for it any more when it took long.
                let _ = told.send(Ok(()));
            }
            Err(
                trouble @ (StoreError::Full | StoreError::ReadOnly | StoreError::Disk(_) | StoreError::Unreadable(_)),
            ) => {
                self.bear(trouble);
                let _ = told.send(Ok(()));
            }
            Err(trouble) => match told.send(Err(trouble)) {
                Err(Err(trouble)) => self.bear(trouble),
                _ => return,
            },
        }
        while self.gather() {
            self.write();
        }
        // The second time into a new file, if the first found damage.
        if !self.write() && !self.write() {
            warn!("history: {} messages with readings could not be kept", self.group.len());
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let database = Database::open(&self.path)?;
        self.begin(database);
        Ok(())
    }

    fn begin(&mut self, database: Database) {
        if let Some((aside, what)) = database.was_set_aside() {
            warn!("history: {} was no use ({what}) and is now {}", self.path.display(), aside.display());
        }
        if let Some(copy) = database.incomplete() {
            let (path, copy) = (self.path.display(), copy.display());
            warn!(
                "history: {path}: what was written last is not all right, as after a power cut or damage; {copy} is as it was"
            );
        }
        self.database = Some(database);
    }

    /// Takes what comes until the group is due; false when no more will.
    fn gather(&mut self) -> bool {
        loop {
            self.heartbeat.beat();
            let next = self.due.unwrap_or(self.expiry.due());
            match self.came.recv_timeout(next.saturating_duration_since(Instant::now()).min(BEAT)) {
                Ok(came) => self.add(came),
                Err(RecvTimeoutError::Timeout) if Instant::now() < next => {}
                // Nothing has come and nothing waits to be written.
                Err(RecvTimeoutError::Timeout) if self.due.is_none() => self.expire(),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn expire(&mut self) {
        let expired = self.database.as_mut().map_or(Ok(0), |database| self.expiry.step(database));
        match expired {
            Ok(readings) => self.state.expired(readings),
            Err(trouble) => self.bear(trouble),
        }
    }

    fn add(&mut self, came: ReceivedReadings) {
        let now = Instant::now();
        if self.failing.is_none() {
            let due = if came.readings.backlog { now } else { now + GATHER };
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
        self.group.push(came);
    }

    /// False when it has to be tried again.
    fn write(&mut self) -> bool {
        match self.try_to_write() {
            Ok(()) => {
                self.due = None;
                self.state.is_well();
                if let Some(since) = self.failing.take() {
                    info!("history: keeping again in {}, after {:.0?}", self.path.display(), since.elapsed());
                }
                true
            }
            Err(trouble) => {
                self.bear(trouble);
                false
            }
        }
    }

    fn try_to_write(&mut self) -> Result<(), StoreError> {
        if self.database.is_none() {
            self.open()?;
        }
        let Some(database) = &mut self.database else { return Ok(()) };
        while !self.group.is_empty() {
            let written = database.keep(&self.group)?;
            let peers = self.group[..written.messages].iter().filter_map(|came| came.from.as_ref());
            let links: BTreeMap<_, _> = peers.map(|peer| (peer.link, &peer.told)).collect();
            for ack in written.acks {
                // What does not fit is acknowledged when the agent sends it again.
                let _ = links.get(&ack.link).map(|link| link.try_send(ack));
            }
            let size = self.group.drain(..written.messages).map(|came| came.size).sum();
            self.room.fetch_add(size, Ordering::Relaxed);
            if written.refused > 0 {
                let what = "readings are not kept, nor sent again: too many quantities, gaps or digits";
                self.refusals.log_of(written.refused, &"history", &what);
            }
        }
        database.tidy()
    }

    /// The group stays, and is written again into a file that is opened anew: nothing that this one says is believed.
    fn bear(&mut self, mut trouble: StoreError) {
        self.failing.get_or_insert_with(Instant::now);
        self.due = Some(Instant::now() + AGAIN);
        if let (Some(database), StoreError::Damaged(what)) = (self.database.take(), &trouble) {
            match database.renew(what) {
                Ok(database) => return self.begin(database),
                Err(other) => trouble = other,
            }
        }
        let what = format!("no reading is kept in {}: {trouble}; tried again each second", self.path.display());
        self.failures.log(&"history", &what);
        self.state.fails(what);
    }
}
