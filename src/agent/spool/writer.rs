//! The spool's thread: writes pending readings, deletes acknowledged ones, and answers the links' page requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::change::Deleted;
use super::disk::Disk;
use super::ledger::Cause;
use super::page::{Page, PageRequest};
use super::plan::{CommitSummary, Plan, Snapshot, StartAcks, StartPlan};
use super::progress::NextPage;
use super::row::{Row, Start};
use super::shared::Shared;
use crate::agent::health::Part;
use crate::backoff::Backoff;
use crate::config;
use crate::ranges::Ranges;
use crate::reading::State;
use crate::service::Heartbeat;
use crate::store::StoreError;

/// The delays after a failure. They are long because opening a file reads all of it.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(4);

/// The delay when the disk is too full to copy the whole file. It is longer because each attempt wears an SD card.
const COPY_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Rows to read from the disk at once.
const ROWS_PER_READ: usize = 128;

/// The state of the writer thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    state: Arc<State>,
    health: Part,
    heartbeat: Heartbeat,
    config: config::Spool,
    /// The kernel's id of the machine's current boot.
    machine_boot: String,
    disk: Option<Disk>,
    /// The agent starts on the disk, by id.
    starts: BTreeMap<i64, Start>,
    /// A write failed, so the next open copies the readings to a new file.
    needs_copy: bool,
    /// Requests that only the disk can answer, while it is unavailable.
    parked: Vec<PageRequest>,
    backoff: Backoff,
    /// The acknowledgements that the file has, by link and agent start. Empty with a single link.
    saved_acks: BTreeMap<(String, i64), Ranges>,
}

impl Writer {
    pub(super) fn new(
        shared: &Arc<Shared>,
        state: &Arc<State>,
        health: Part,
        heartbeat: Heartbeat,
        config: config::Spool,
    ) -> Writer {
        let machine_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Writer {
            shared: Arc::clone(shared),
            state: Arc::clone(state),
            health,
            heartbeat,
            config,
            machine_boot: machine_boot.trim().to_owned(),
            disk: None,
            starts: BTreeMap::new(),
            needs_copy: false,
            parked: Vec::new(),
            backoff: Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY),
            saved_acks: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut not_before = Instant::now();
        loop {
            self.heartbeat.beat();
            if self.disk.is_none() && Instant::now() >= not_before {
                // The spool is not up again before the pending readings are written.
                let opened = self.open().and_then(|()| self.commit());
                not_before = self.report(opened);
                if self.disk.is_some() {
                    let parked = std::mem::take(&mut self.parked);
                    not_before = not_before.max(self.answer_all(parked));
                }
            }
            let work = self.shared.wait_for_work(not_before, self.disk.is_none());
            if (work.commit || work.stop) && self.disk.is_some() {
                let committed = self.commit();
                not_before = self.report(committed);
            }
            not_before = not_before.max(self.answer_all(work.requests));
            if work.stop {
                return self.warn_about_lost();
            }
        }
    }

    fn warn_about_lost(&self) {
        let left = self.shared.pending_readings();
        if left > 0 {
            warn!("spool {}: {left} readings in memory could not be written and are lost", self.config.path.display());
        }
    }

    /// Reports a result in the status; returns when the disk may be tried again.
    fn report(&mut self, result: Result<(), StoreError>) -> Instant {
        let Err(error) = result else {
            self.backoff.reset();
            self.health.up("open");
            return Instant::now();
        };
        self.health.down(&format!("{error}; readings wait in memory"));
        let is_copying = matches!(error, StoreError::Full) && Disk::has_old_file(&self.config.path);
        let delay = self.backoff.delay();
        let delay = if is_copying { COPY_RETRY_DELAY } else { delay };
        self.needs_copy |= matches!(error, StoreError::Disk(_)) && self.disk.is_some();
        // After these errors the transaction was rolled back and the file is as before.
        if !matches!(error, StoreError::Full | StoreError::Other(_)) {
            self.disk = None;
        }
        Instant::now() + delay
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let mut disk = Disk::open(&self.config.path, self.needs_copy)?;
        self.needs_copy = false;
        self.report_damage(&disk);
        self.starts = disk.starts()?.into_iter().collect();
        let (links, acks) = (disk.links()?, disk.acks()?);
        self.shared.restore_links(&links, &acks, &self.starts);
        self.add_new_links(&mut disk, &links)?;
        self.saved_acks.clear();
        let boots = self.starts.values().map(|start| start.boot.clone());
        self.shared.file_opened(boots, disk.readings > 0);
        self.health.gauge("readings_on_disk", disk.readings);
        self.disk = Some(disk);
        Ok(())
    }

    fn report_damage(&self, disk: &Disk) {
        let path = self.config.path.display();
        if let Some((aside, reason)) = disk.set_aside() {
            let (aside, readings) = (aside.display(), disk.readings);
            warn!("spool {path}: {reason}; moved to {aside}, recovered {readings} readings");
            self.health.count("damaged_files", 1);
        }
        if let Some(copy) = disk.incomplete() {
            let copy = copy.display();
            warn!(
                "spool {path}: the write-ahead log was incomplete (power cut or damage); \
                 the original is saved as {copy}"
            );
            self.health.count("incomplete_writes", 1);
        }
    }

    /// Adds the links to the file that are not among `on_disk`.
    fn add_new_links(&self, disk: &mut Disk, on_disk: &[String]) -> Result<(), StoreError> {
        let new = self.shared.links_missing_from(on_disk);
        if new.is_empty() {
            return Ok(());
        }
        disk.commit(|change| new.iter().try_for_each(|link| change.add_link(link)))?;
        self.shared.mark_links_on_disk(&new);
        Ok(())
    }

    /// Brings the file up to date, if it is open.
    fn commit(&mut self) -> Result<(), StoreError> {
        let Some(mut disk) = self.disk.take() else { return Ok(()) };
        let result = self.commit_to(&mut disk);
        self.disk = Some(disk);
        result
    }

    /// Writes pending readings that some link lacks, and deletes the ones that every link has.
    fn commit_to(&mut self, disk: &mut Disk) -> Result<(), StoreError> {
        let links = disk.links()?;
        if self.shared.remove_forgotten_links(&links) {
            info!("spool: dropped readings of a forgotten link");
        }
        self.add_new_links(disk, &links)?;
        let plan = self.plan();
        if plan.is_idle() {
            self.shared.skip_commit(plan.last_seq);
            return Ok(());
        }
        let summary = disk.commit(|change| plan.write(change));
        let summary = summary.inspect_err(|_| self.shared.commit_failed(plan.cleanup_since))?;
        disk.readings = (disk.readings + summary.added).saturating_sub(summary.deleted());
        let on_disk = disk.readings;
        self.health.gauge("readings_on_disk", on_disk);
        self.committed(plan, &summary, on_disk);
        Ok(())
    }

    /// Updates the state and the counters after a commit.
    fn committed(&mut self, plan: Plan, summary: &CommitSummary, on_disk: u64) {
        for StartPlan { start, unsaved_acks, .. } in plan.starts {
            self.saved_acks.extend(unsaved_acks.into_iter().map(|(link, acked)| ((link, start), acked)));
        }
        for start in self.starts.values_mut().filter(|start| start.machine_boot == plan.start.machine_boot) {
            start.zero_us = plan.start.zero_us.or(start.zero_us);
        }
        if let Some(id) = summary.start {
            self.starts.insert(id, plan.start);
        }
        self.report_deleted(summary);
        self.starts.retain(|_, start| !summary.deleted_starts.contains(&start.boot));
        self.saved_acks.retain(|(_, start), _| self.starts.contains_key(start));
        self.health.count("readings_written", summary.written);
        self.shared.committed(plan.last_seq, summary.written, on_disk > 0, &summary.deleted_starts);
    }

    /// Hands the deleted readings to the ledger, which counts them.
    fn report_deleted(&self, CommitSummary { acked, lost, expired, .. }: &CommitSummary) {
        let dropped = lost.iter().map(|deleted| (Cause::NoRoom, deleted));
        let dropped = dropped.chain(expired.iter().map(|deleted| (Cause::Expired, deleted)));
        let boot = |deleted: &Deleted| Some(self.starts.get(&deleted.start)?.boot.clone());
        let dropped = dropped.filter_map(|(cause, deleted)| Some((cause, boot(deleted)?, deleted.seqs)));
        self.shared.deleted(*acked, dropped);
        if !lost.is_empty() {
            let lost = Deleted::count(lost);
            self.health
                .warn("full", || format!("full; dropped the {lost} oldest readings (later ones are only counted)"));
        }
        if !expired.is_empty() {
            let expired = Deleted::count(expired);
            self.health.warn("expired", || {
                format!("deleted {expired} readings older than `keep` (later ones are only counted)")
            });
        }
    }

    fn plan(&self) -> Plan {
        let Snapshot { batches, last_seq, cleanup_since, acks } = self.shared.start_commit(&self.starts);
        let start = self.this_start();
        Plan {
            batches,
            last_seq,
            is_dated: self
                .starts
                .values()
                .all(|known| known.machine_boot != start.machine_boot || known.has_same_dates_as(&start)),
            start,
            cleanup_since,
            starts: acks.into_iter().map(|acks| self.plan_start(acks)).collect(),
            max_size: self.config.max_size.0,
        }
    }

    fn plan_start(&self, StartAcks { start, by_all, by_link }: StartAcks) -> StartPlan {
        let is_unsaved = |(link, acked): &(String, Ranges)| self.saved_acks.get(&(link.clone(), start)) != Some(acked);
        StartPlan {
            start,
            acked_by_all: by_all,
            unsaved_acks: by_link.into_iter().filter(is_unsaved).collect(),
            expire_before_us: self.starts.get(&start).and_then(|start| self.expire_before_us(start)),
        }
    }

    /// The time of the oldest reading to keep, by the start's monotonic clock. `None`: do not expire readings.
    fn expire_before_us(&self, start: &Start) -> Option<i64> {
        let keep = self.config.keep?.0.as_micros().min(i64::MAX as u128) as i64;
        Some(start.monotonic_now_us(&self.machine_boot, &self.state.clock)?.saturating_sub(keep))
    }

    fn this_start(&self) -> Start {
        Start {
            boot: self.shared.boot().clone(),
            machine_boot: self.machine_boot.clone(),
            zero_us: self.state.clock.zero_us(),
        }
    }

    /// Answers page requests; returns when the disk may be tried again.
    fn answer_all(&mut self, requests: Vec<PageRequest>) -> Instant {
        let mut not_before = Instant::now();
        for request in requests {
            if let Err(error) = self.answer(request) {
                not_before = self.report(Err(error));
            }
        }
        not_before
    }

    fn answer(&mut self, request: PageRequest) -> Result<(), StoreError> {
        // The link may have been removed and forgotten since.
        if !self.shared.has_link(request.link) {
            return Ok(());
        }
        let (page, result) = match self.page_from_disk(&request) {
            Ok(Some(page)) => (page, Ok(())),
            Ok(None) => (self.page_from_memory(&request), Ok(())),
            Err(error) => (self.page_from_memory(&request), Err(error)),
        };
        let may_be_on_disk = page.rows.is_empty() && (self.disk.is_none() || result.is_err());
        if may_be_on_disk && !request.reply.is_closed() {
            self.parked.retain(|request| !request.reply.is_closed());
            self.parked.push(request);
        } else {
            // A link that no longer waits for the page resets its readings in flight.
            let _ = request.reply.send(page);
        }
        result
    }

    fn page_from_disk(&self, request: &PageRequest) -> Result<Option<Page>, StoreError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        loop {
            let cursor = self.shared.cursor(request.link);
            let Some(chunk) = disk.rows(cursor, ROWS_PER_READ)? else { return Ok(None) };
            let start = self.starts.get(&chunk.start);
            match self.shared.take_page(request, chunk, start) {
                NextPage::Rows(rows) => return Ok(start.map(|start| self.page(start.clone(), rows))),
                NextPage::Retry => {}
                NextPage::Nothing => return Ok(None),
            }
        }
    }

    fn page_from_memory(&self, request: &PageRequest) -> Page {
        self.page(self.this_start(), self.shared.take_pending(request))
    }

    fn page(&self, mut start: Start, rows: Vec<Row>) -> Page {
        let is_this_boot = start.machine_boot == self.machine_boot;
        if is_this_boot {
            start.zero_us = self.state.clock.zero_us();
        }
        Page { start, is_this_boot, rows }
    }
}
