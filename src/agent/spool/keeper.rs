//! The spool's thread: what waits goes to the disk, what everybody has is forgotten, and links are given what they lack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::desk::{Asked, Desk, Page, Papers};
use super::disk::Disk;
use super::plan::{Done, OnDisk, Plan};
use super::row::{Row, Start};
use crate::agent::health::Part;
use crate::backoff::Backoff;
use crate::ranges::Ranges;
use crate::reading::{Batch, State};
use crate::service::Heartbeat;
use crate::store::StoreError;

/// The waits after the disk did not take something. To open a file all of it is looked at.
pub(super) const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_secs(4);

/// The wait after there was no room to write all of it once more: trying wears a card out.
const NO_ROOM_WAIT: Duration = Duration::from_mins(1);

/// A page has about so many bytes on the wire: on a slow link it is what a live reading may have to wait for.
const PAGE: usize = 8 * 1024;

/// Rows that are read from the disk at once.
const CHUNK: usize = 128;

/// As the status counts them. What is too old may still arrive, if a link has it in memory.
pub(super) const NO_ROOM: &str = "readings_lost_no_room";
const TOO_OLD: &str = "readings_expired";

pub(super) struct Keeper {
    pub(super) desk: Arc<Desk>,
    pub(super) state: Arc<State>,
    pub(super) health: Part,
    pub(super) heartbeat: Heartbeat,
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) max_size: u64,
    pub(super) keep: Option<Duration>,
    /// This boot of the machine.
    pub(super) machine: String,
    pub(super) disk: Option<Disk>,
    /// By their numbers on the disk.
    pub(super) starts: BTreeMap<i64, Start>,
    /// What was written is to be written again elsewhere.
    pub(super) distrusted: bool,
    /// What links ask for that only the disk can have, which is not there now.
    pub(super) parked: Vec<Asked>,
    /// The delays after failures.
    pub(super) backoff: Backoff,
    /// What the disk has of links' acknowledgements, by link and start; with one link nothing.
    pub(super) written: BTreeMap<(String, i64), Ranges>,
}

impl Keeper {
    pub(super) fn run(mut self) {
        let mut not_before = Instant::now();
        loop {
            self.heartbeat.beat();
            if self.disk.is_none() && Instant::now() >= not_before {
                // It is well again when it has taken what waits, not before.
                let opened = self.open().and_then(|()| self.commit());
                not_before = self.judge(opened);
                if self.disk.is_some() {
                    let parked = std::mem::take(&mut self.parked);
                    not_before = not_before.max(self.give_all(parked));
                }
            }
            // Without a disk it is time for one, too, when nothing waits.
            let work = self.desk.wait(not_before, self.disk.is_none());
            if (work.commit || work.end) && self.disk.is_some() {
                let committed = self.commit();
                not_before = self.judge(committed);
            }
            not_before = not_before.max(self.give_all(work.asked));
            if work.end {
                return self.end();
            }
        }
    }

    fn end(&self) {
        let left = self.desk.papers().waiting_readings();
        if left > 0 {
            warn!("spool {}: {left} readings in memory are lost, the disk did not take them", self.path.display());
        }
    }

    /// Says how it is; gives when the disk may be tried again.
    fn judge(&mut self, done: Result<(), StoreError>) -> Instant {
        let Err(trouble) = done else {
            self.backoff.reset();
            self.health.up("open");
            return Instant::now();
        };
        self.health.down(&format!("{trouble}; readings wait in memory"));
        let copies = matches!(trouble, StoreError::Full) && Disk::is_to_be_copied(&self.path);
        let delay = self.backoff.delay();
        let delay = if copies { NO_ROOM_WAIT } else { delay };
        self.distrusted |= matches!(trouble, StoreError::Disk(_)) && self.disk.is_some();
        // What there was no room or no turn for was taken back, and the file is as it was.
        if !matches!(trouble, StoreError::Full | StoreError::Other(_)) {
            self.disk = None;
        }
        Instant::now() + delay
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let mut disk = Disk::open(&self.path, self.distrusted)?;
        self.distrusted = false;
        if let Some((aside, what)) = disk.set_aside() {
            let (path, aside) = (self.path.display(), aside.display());
            let readings = disk.readings;
            warn!(
                "spool {path}: {what}; it is now {aside}, and what is sound of it was taken over: {readings} readings"
            );
            self.health.count("damaged_files", 1);
        }
        if let Some(copy) = disk.incomplete() {
            let (path, copy) = (self.path.display(), copy.display());
            warn!(
                "spool {path}: what was written last is not all right, as after a power cut or damage; {copy} is as it was"
            );
            self.health.count("incomplete_writes", 1);
        }
        self.starts = disk.starts()?.into_iter().collect();
        let (known, acked) = (disk.links()?, disk.acked()?);
        self.desk.papers().know(&known, &acked, &self.starts);
        self.keep_for_new_links(&mut disk, &known)?;
        self.written.clear();
        let boots = self.starts.values().map(|start| start.boot.clone());
        let mut papers = self.desk.papers();
        papers.look_anew();
        papers.earlier = boots.filter(|boot| *boot != self.desk.boot).collect();
        papers.is_on_disk = disk.readings > 0;
        if papers.is_on_disk {
            // Some may have grown too old meanwhile.
            papers.to_forget.get_or_insert_with(Instant::now);
        }
        drop(papers);
        self.health.gauge("readings_on_disk", disk.readings);
        self.disk = Some(disk);
        Ok(())
    }

    /// Has it on the disk which links are kept for, besides those that are `known` there.
    fn keep_for_new_links(&self, disk: &mut Disk, known: &[String]) -> Result<(), StoreError> {
        let new = self.desk.papers().unknown_to(known);
        if new.is_empty() {
            return Ok(());
        }
        disk.commit(|change| new.iter().try_for_each(|link| change.keep_for(link)))?;
        self.desk.papers().are_on_disk(&new);
        Ok(())
    }

    /// Brings the disk up to date, if it is there.
    fn commit(&mut self) -> Result<(), StoreError> {
        let Some(mut disk) = self.disk.take() else { return Ok(()) };
        let done = self.commit_to(&mut disk);
        self.disk = Some(disk);
        done
    }

    /// Writes what waits and is not acknowledged by all, and forgets what is.
    fn commit_to(&mut self, disk: &mut Disk) -> Result<(), StoreError> {
        let links = disk.links()?;
        if self.desk.papers().keep_only_for(&links) {
            info!("spool: nothing more is kept for a link that was given up");
        }
        self.keep_for_new_links(disk, &links)?;
        let plan = self.plan();
        if plan.is_idle() {
            self.desk.papers().let_go(&self.desk.boot, plan.last);
            return Ok(());
        }
        let done = disk.commit(|change| plan.write(change));
        let done = done.inspect_err(|_| self.desk.papers().to_forget = plan.to_forget)?;
        disk.readings = (disk.readings + done.written).saturating_sub(done.forgotten + done.lost + done.too_old);
        let on_disk = disk.readings;
        self.health.gauge("readings_on_disk", on_disk);
        self.take_in(plan, &done, on_disk);
        Ok(())
    }

    /// What was planned is done.
    fn take_in(&mut self, plan: Plan, done: &Done, on_disk: u64) {
        for OnDisk { number, acked, .. } in plan.on_disk {
            self.written.extend(acked.into_iter().map(|(link, acked)| ((link, number), acked)));
        }
        for start in self.starts.values_mut().filter(|start| start.machine == plan.start.machine) {
            start.zero_us = plan.start.zero_us.or(start.zero_us);
        }
        if let Some(number) = done.number {
            self.starts.insert(number, plan.start);
        }
        self.starts.retain(|_, start| !done.gone.contains(&start.boot));
        self.written.retain(|(_, number), _| self.starts.contains_key(number));
        self.health.count("readings_written", done.written);
        self.report_lost(done);

        let mut papers = self.desk.papers();
        papers.let_go(&self.desk.boot, plan.last);
        papers.is_on_disk = on_disk > 0;
        if !done.gone.is_empty() {
            // Their numbers may be others' from now on.
            papers.look_anew();
        }
        papers.earlier.retain(|boot| !done.gone.contains(boot));
        for ledger in papers.ledgers.values_mut() {
            ledger.acked.retain(|boot, _| *boot == self.desk.boot || !done.gone.contains(boot));
        }
    }

    fn report_lost(&self, done: &Done) {
        for (lost, why) in [(done.lost, NO_ROOM), (done.too_old, TOO_OLD)] {
            self.health.count(why, lost);
            if lost > 0 {
                self.health.remark(why, || {
                    format!("{}: {lost} of the oldest; see the status for the total", why.replace('_', " "))
                });
            }
        }
    }

    fn plan(&self) -> Plan {
        let mut papers = self.desk.papers();
        let to_forget = papers.to_forget.take();
        let acked = papers.acked_by_all(&self.desk.boot);
        let waiting = papers.waiting.iter().map(|(_, batch)| batch);
        let is_missed = |batch: &&Arc<Batch>| !acked.has(batch.seq, batch.last_seq());
        let batches: Vec<_> = waiting.filter(is_missed).map(Arc::clone).collect();
        // What is acknowledged while it is written is forgotten the next time.
        papers.is_on_disk |= !batches.is_empty();
        let on_disk = self.starts.iter().map(|(number, start)| OnDisk {
            number: *number,
            acked_by_all: papers.acked_by_all(&start.boot),
            // With one link, what it has is what is not there.
            acked: self.news_of(&papers, *number, start),
            too_old_us: self.too_old_us(start),
        });
        let start =
            Start { boot: self.desk.boot.clone(), machine: self.machine.clone(), zero_us: self.state.clock.zero_us() };
        Plan {
            batches,
            last: papers.waiting.back().map_or(0, |(_, batch)| batch.last_seq()),
            is_dated: self.starts.values().all(|known| known.machine != start.machine || known.is_dated_as(&start)),
            start,
            to_forget,
            on_disk: on_disk.collect(),
            max_size: self.max_size,
        }
    }

    fn too_old_us(&self, start: &Start) -> Option<i64> {
        let keep = self.keep?.as_micros().min(i64::MAX as u128) as i64;
        Some(start.clock_us(&self.machine, &self.state.clock)?.saturating_sub(keep))
    }

    /// Gives links what they ask for; gives when the disk may be tried again.
    fn give_all(&mut self, all: Vec<Asked>) -> Instant {
        let mut not_before = Instant::now();
        for asked in all {
            if let Err(trouble) = self.give(asked) {
                not_before = self.judge(Err(trouble));
            }
        }
        not_before
    }

    /// What each link has of a start, if the disk does not know it yet. With one link, what it has is what is not there.
    fn news_of(&self, papers: &Papers, number: i64, start: &Start) -> Vec<(String, Ranges)> {
        let several = papers.ledgers.values().filter(|_| papers.ledgers.len() > 1);
        let acked = several.map(|ledger| (ledger.link.clone(), ledger.of_start(start)));
        acked.filter(|(link, acked)| self.written.get(&(link.clone(), number)) != Some(acked)).collect()
    }

    /// Gives a link what it lacks next; nothing, when it lacks nothing.
    fn give(&mut self, asked: Asked) -> Result<(), StoreError> {
        // It may have left, and been given up.
        if !self.desk.papers().ledgers.contains_key(&asked.link) {
            return Ok(());
        }
        let (page, trouble) = match self.disk_page(asked.link, asked.epoch) {
            Ok(Some(page)) => (page, Ok(())),
            Ok(None) => (self.memory_page(asked.link, asked.epoch), Ok(())),
            Err(trouble) => (self.memory_page(asked.link, asked.epoch), Err(trouble)),
        };
        let may_lack = page.rows.is_empty() && (self.disk.is_none() || trouble.is_err());
        if may_lack && !asked.reply.is_closed() {
            self.parked.push(asked);
        } else {
            // Whoever does not wait for it any more begins anew.
            let _ = asked.reply.send(page);
        }
        trouble
    }

    fn disk_page(&self, link: usize, epoch: u64) -> Result<Option<Page>, StoreError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        loop {
            let looked = self.desk.papers().ledgers[&link].looked;
            let Some((number, found)) = disk.rows(looked, CHUNK)? else { return Ok(None) };
            let mut papers = self.desk.papers();
            if !papers.is_of_now(link, epoch) {
                return Ok(None);
            }
            let ledger = papers.ledger(link);
            if ledger.looked != looked {
                // Something was given back meanwhile.
                continue;
            }
            let Some(start) = self.starts.get(&number) else {
                ledger.looked = (number + 1, 0);
                continue;
            };
            let is_this = start.boot == self.desk.boot;
            let mut rows = Vec::<Row>::new();
            let mut length = 0;
            for row in found {
                // What is acknowledged together is sent together.
                let is_gap = rows.last().is_some_and(|last| last.last_seq() + 1 != row.seq);
                if length >= PAGE || is_gap || is_this && !ledger.is_past(row.seq) {
                    break;
                }
                let (first, last) = (row.seq, row.last_seq());
                let taken = ledger.taken(&start.boot, first, last);
                if taken.is_none() {
                    ledger.claim(&start.boot, first, last);
                    length += row.length();
                    rows.push(row);
                }
                ledger.looked = (number, taken.unwrap_or(last) + 1);
            }
            if !rows.is_empty() {
                return Ok(Some(self.page(start.clone(), rows)));
            }
            // All of them are taken already, or come by themselves.
            if ledger.looked == looked {
                return Ok(None);
            }
        }
    }

    fn memory_page(&self, link: usize, epoch: u64) -> Page {
        let boot = &self.desk.boot;
        let mut papers = self.desk.papers();
        let mut rows: Vec<Row> = Vec::new();
        let mut length = 0;
        for batch in papers.in_memory_for(boot, link) {
            let is_gap = rows.last().is_some_and(|last| last.last_seq() + 1 != batch.seq);
            if length >= PAGE || is_gap {
                break;
            }
            let row = Row::of(batch);
            length += row.length();
            rows.push(row);
        }
        if !papers.is_of_now(link, epoch) {
            rows.clear();
        }
        for row in &rows {
            papers.ledger(link).claim(boot, row.seq, row.last_seq());
        }
        drop(papers);
        let start = Start { boot: boot.clone(), machine: self.machine.clone(), zero_us: None };
        self.page(start, rows)
    }

    fn page(&self, mut start: Start, rows: Vec<Row>) -> Page {
        let is_now = start.machine == self.machine;
        if is_now {
            start.zero_us = self.state.clock.zero_us();
        }
        Page { start, is_now, rows }
    }
}
