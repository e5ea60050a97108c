//! The history's writer thread: writes readings in groups, and retries when the disk fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::cache::MAX_RANGES;
use super::database::{Database, Written};
use super::expiry::Expiry;
use super::maintenance::{JobError, Request};
use super::series_index::SeriesLimits;
use super::writer_state::WriterState;
use super::{Input, ReceivedReadings};
use crate::config;
use crate::receiver::log_throttle::LogThrottle;
use crate::receiver::quotas::{Quota, Quotas};
use crate::service::{HEARTBEAT_INTERVAL, Heartbeat};
use crate::store::StoreError;
use crate::wire::Limit;

/// How long live readings wait to be written together, because every write wears an SD card. A backlog is written at once: the
/// agent waits for its acknowledgement before it sends more.
const GROUP_DELAY: Duration = Duration::from_millis(250);

/// The delay between attempts while the disk fails.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Pause between the steps of a job, so that the disk can serve incoming readings.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// The thread and what it owns.
pub(super) struct Writer {
    path: PathBuf,
    limits: SeriesLimits,
    incoming: Receiver<Input>,
    database: Option<Database>,
    group: Vec<ReceivedReadings>,
    /// When to write the group.
    due: Option<Instant>,
    /// When writing began to fail; `None` while it works.
    failing_since: Option<Instant>,
    failures: LogThrottle,
    refusals: LogThrottle,
    removals: LogThrottle,
    expiry: Expiry,
    /// When to make the next step of the oldest job; `None` without jobs.
    work_due: Option<Instant>,
    quotas: Quotas,
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
        config: &config::History,
        incoming: Receiver<Input>,
        quotas: Quotas,
        state: Arc<WriterState>,
        heartbeat: Heartbeat,
    ) -> Writer {
        let limits =
            SeriesLimits { total: config.max_series.get().into(), per_agent: config.max_series_per_agent.get().into() };
        Writer {
            path,
            limits,
            incoming,
            database: None,
            group: Vec::new(),
            due: None,
            failing_since: None,
            failures: LogThrottle::default(),
            refusals: LogThrottle::default(),
            removals: LogThrottle::default(),
            expiry: Expiry::new(config.keep),
            work_due: None,
            quotas,
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
            self.work();
        }
        // If the first attempt finds damage, the second one writes to a new file.
        if !self.write() && !self.write() {
            warn!("history: {} messages with readings could not be stored", self.group.len());
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let database = Database::open(&self.path, self.limits)?;
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
        self.work_due = Some(Instant::now());
        self.report();
    }

    /// Reports the number of series, and removed readings of unconfirmed labels.
    fn report(&mut self) {
        let Some(database) = &mut self.database else { return };
        let (used, limit) = database.series_usage();
        self.quotas.set(Quota::Series, used, limit);
        if let Some((agent, count)) = database.take_removed() {
            self.state.add_unconfirmed_removed(count);
            let what = format!(
                "readings removed whose labels occurred only once, most recently of agent {agent}; do its boards print \
                 a counter or time before a label?"
            );
            self.removals.log_of(count, &"history", &what);
        }
    }

    /// Receives readings until the group is due; returns false when all feeds are gone.
    fn gather(&mut self) -> bool {
        loop {
            self.heartbeat.beat();
            let idle = self.work_due.map_or(self.expiry.due(), |due| due.min(self.expiry.due()));
            let next = self.due.unwrap_or(idle);
            match self.incoming.recv_timeout(next.saturating_duration_since(Instant::now()).min(HEARTBEAT_INTERVAL)) {
                Ok(Input::Readings(message)) => self.add(message),
                Ok(Input::Job(request)) => self.accept(request),
                Err(RecvTimeoutError::Timeout) if Instant::now() < next => {}
                // Nothing arrived, and nothing waits to be written.
                Err(RecvTimeoutError::Timeout) if self.due.is_none() => {
                    self.work();
                    self.expire();
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Stores a viewer's job, unless the disk fails.
    fn accept(&mut self, (job, reply): Request) {
        let mut accepted = match &mut self.database {
            Some(database) if self.failing_since.is_none() => database.accept(&job),
            _ => Err(JobError::Failing(self.state.cause())),
        };
        if let Err(JobError::Store(error)) = accepted {
            accepted = Err(JobError::Failing(error.to_string()));
            self.retry_later(error);
        } else if accepted.is_ok() {
            info!("history: accepted the job: {job}");
            self.work_due = Some(Instant::now());
            self.report();
        }
        // The viewer may have left.
        let _ = reply.send(accepted);
    }

    /// Makes the next step of the oldest job, if it is due.
    fn work(&mut self) {
        if self.work_due.is_none_or(|due| Instant::now() < due) || self.failing_since.is_some() {
            return;
        }
        match self.database.as_mut().map_or(Ok(None), Database::work) {
            Ok(None) => self.work_due = None,
            Ok(Some((job, is_complete))) => {
                if is_complete {
                    info!("history: completed the job: {job}");
                }
                self.work_due = Some(Instant::now() + STEP_PAUSE);
            }
            Err(error) => self.retry_later(error),
        }
    }

    fn expire(&mut self) {
        if self.failing_since.is_some() || Instant::now() < self.expiry.due() {
            return;
        }
        let expired = self.database.as_mut().map_or(Ok(0), |database| self.expiry.step(database));
        match expired {
            Ok(readings) => {
                self.state.add_expired(readings);
                self.report();
            }
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
        while let Some(database) = self.database.as_mut().filter(|_| !self.group.is_empty()) {
            let written = database.store(&self.group)?;
            self.report_refused(&written);
            self.report();
            let peers = self.group[..written.messages].iter().filter_map(|message| message.from.as_ref());
            let links: BTreeMap<_, _> = peers.map(|peer| (peer.link, &peer.answers)).collect();
            for answer in written.answers {
                // An answer that does not fit is sent when the agent repeats the readings.
                let _ = links.get(&answer.link).map(|link| link.try_send(answer));
            }
            self.group.drain(..written.messages);
        }
        if let Some(database) = &self.database {
            database.tidy()?;
        }
        Ok(())
    }

    fn report_refused(&mut self, written: &Written) {
        for ((agent, limit), count) in &written.refused {
            let quota = match limit {
                Limit::SeriesLimit | Limit::TotalSeriesLimit => Quota::Series,
                Limit::GapLimit | Limit::Other => {
                    self.quotas.set(Quota::NumberGaps, MAX_RANGES as u64, MAX_RANGES as u64);
                    Quota::NumberGaps
                }
            };
            self.quotas.refuse(quota, *count, agent);
            let SeriesLimits { total, per_agent } = self.limits;
            let what = match limit {
                Limit::SeriesLimit => {
                    format!(
                        "limit of {per_agent} series reached; remove series, or raise [history] max_series_per_agent"
                    )
                }
                Limit::TotalSeriesLimit => {
                    format!("limit of {total} series reached; remove series, or raise [history] max_series")
                }
                Limit::GapLimit | Limit::Other => "their numbers have too many gaps".to_owned(),
            };
            let who = format!("history: readings of agent {agent} refused");
            self.refusals.log_of(*count, &who, &what);
        }
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
