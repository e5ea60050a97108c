//! The spool's thread: what waits goes to the disk, what everybody has is forgotten, and links are given what they lack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::desk::{Asked, Desk, Page};
use super::disk::{Change, Disk};
use super::row::{Row, Start};
use crate::agent::health::Part;
use crate::name::Name;
use crate::ranges::Ranges;
use crate::reading::{Batch, State};
use crate::store::Trouble;

/// The wait after the disk did not take something.
const AGAIN: Duration = Duration::from_secs(1);

/// A page has about so many bytes on the wire: on a slow link it is what a live reading may have to wait for.
const PAGE: usize = 8 * 1024;

/// Rows that are read from the disk at once, and forgotten at once when there is no room.
const CHUNK: usize = 128;
const OLDEST: usize = 512;

pub(super) struct Keeper {
    pub(super) desk: Arc<Desk>,
    pub(super) state: Arc<State>,
    pub(super) health: Part,
    pub(super) path: PathBuf,
    /// So many links are in the configuration.
    pub(super) configured: usize,
    /// Bytes.
    pub(super) max_size: u64,
    /// This boot of the machine.
    pub(super) machine: String,
    pub(super) disk: Option<Disk>,
    /// By their numbers on the disk.
    pub(super) starts: BTreeMap<i64, Start>,
    /// What was written is to be written again elsewhere.
    pub(super) distrusted: bool,
}

impl Keeper {
    pub(super) fn run(mut self) {
        let mut not_before = Instant::now();
        loop {
            if self.disk.is_none() && Instant::now() >= not_before {
                // It is well again when it has taken what waits, not before.
                let opened = self.open().and_then(|()| self.commit());
                not_before = self.judge(opened);
            }
            // Without a disk it is time for one, too, when nothing waits.
            let work = self.desk.wait(not_before, self.disk.is_none());
            if (work.commit || work.end) && self.disk.is_some() {
                let committed = self.commit();
                not_before = self.judge(committed);
            }
            for asked in work.asked {
                if let Err(trouble) = self.give(asked) {
                    not_before = self.judge(Err(trouble));
                }
            }
            if work.end {
                return;
            }
        }
    }

    /// Says how it is; gives when the disk may be tried again.
    fn judge(&mut self, done: Result<(), Trouble>) -> Instant {
        let Err(trouble) = done else {
            self.health.up("open");
            return Instant::now();
        };
        self.distrusted |= matches!(trouble, Trouble::Disk(_)) && self.disk.is_some();
        self.health.down(&format!("{trouble}; readings wait in memory"));
        self.disk = None;
        Instant::now() + AGAIN
    }

    fn open(&mut self) -> Result<(), Trouble> {
        let mut disk = Disk::open(&self.path, self.distrusted)?;
        self.distrusted = false;
        if let Some((aside, what)) = disk.set_aside() {
            let (path, aside) = (self.path.display(), aside.display());
            warn!("spool {path}: {what}; it is now {aside}, and what is sound of it was taken over");
            self.health.count("damaged files set aside", 1);
        }
        if let Some(copy) = disk.incomplete() {
            let (path, copy) = (self.path.display(), copy.display());
            warn!(
                "spool {path}: what was written last is not all right, as after a power cut or damage; {copy} is as it was"
            );
            self.health.count("incomplete writes set aside", 1);
        }
        self.starts = disk.starts()?.into_iter().collect();
        let (known, acked) = (disk.links()?, disk.acked()?);
        let new = self.desk.papers().know(&known, &acked, &self.starts);
        if !new.is_empty() {
            disk.commit(|change| new.iter().try_for_each(|link| change.keep_for(link)))?;
        }
        let boots = self.starts.values().map(|start| start.boot.clone());
        let mut papers = self.desk.papers();
        papers.earlier = boots.filter(|boot| *boot != self.desk.boot).collect();
        papers.is_on_disk = disk.readings > 0;
        drop(papers);
        self.health.gauge("readings on disk", disk.readings);
        self.disk = Some(disk);
        Ok(())
    }

    /// Writes what waits and is not acknowledged by all, and forgets what is.
    fn commit(&mut self) -> Result<(), Trouble> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        if self.desk.papers().keep_only_for(&disk.links()?, self.configured) {
            info!("spool: nothing more is kept for a link that was given up");
        }
        let plan = self.plan();
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let done = if plan.is_idle() { Done::default() } else { disk.commit(|change| plan.write(change))? };
        disk.readings = (disk.readings + done.written).saturating_sub(done.forgotten + done.lost);
        let on_disk = disk.readings;
        self.health.gauge("readings on disk", on_disk);
        if let Some(number) = done.number {
            self.starts.insert(number, plan.start);
        }
        self.starts.retain(|_, start| !done.gone.contains(&start.boot));
        self.health.count("readings written", done.written);
        self.health.count("readings lost, no room", done.lost);

        let mut papers = self.desk.papers();
        papers.let_go(&self.desk.boot, plan.last);
        papers.to_forget = None;
        papers.is_on_disk = on_disk > 0;
        papers.earlier.retain(|boot| !done.gone.contains(boot));
        for ledger in &mut papers.ledgers {
            ledger.acked.retain(|boot, _| *boot == self.desk.boot || !done.gone.contains(boot));
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let papers = self.desk.papers();
        let acked = papers.acked_by_all(&self.desk.boot);
        let waiting = papers.waiting.iter().map(|(_, batch)| batch);
        let is_missed = |batch: &&Arc<Batch>| !acked.has(batch.seq, batch.last_seq());
        let on_disk = self.starts.iter().map(|(number, start)| OnDisk {
            number: *number,
            acked_by_all: papers.acked_by_all(&start.boot),
            // With one link, what it has is what is not there.
            acked: papers
                .ledgers
                .iter()
                .filter(|_| papers.ledgers.len() > 1)
                .map(|ledger| ledger.of_start(start))
                .collect(),
        });
        let start =
            Start { boot: self.desk.boot.clone(), machine: self.machine.clone(), zero_us: self.state.clock.zero_us() };
        Plan {
            rows: waiting.filter(is_missed).map(|batch| Row::of(batch)).collect(),
            last: papers.waiting.back().map_or(0, |(_, batch)| batch.last_seq()),
            is_dated: self.starts.values().all(|known| known.machine != start.machine || known.is_dated_as(&start)),
            start,
            forgets: papers.to_forget.is_some(),
            on_disk: on_disk.collect(),
            max_size: self.max_size,
        }
    }

    /// Gives a link what it lacks next; nothing, when it lacks nothing.
    fn give(&mut self, asked: Asked) -> Result<(), Trouble> {
        let (page, trouble) = match self.disk_page(asked.link, asked.epoch) {
            Ok(Some(page)) => (page, Ok(())),
            Ok(None) => (self.memory_page(asked.link, asked.epoch), Ok(())),
            Err(trouble) => (self.memory_page(asked.link, asked.epoch), Err(trouble)),
        };
        // Whoever does not wait for it any more begins anew.
        let _ = asked.reply.send(page);
        trouble
    }

    fn disk_page(&self, link: usize, epoch: u64) -> Result<Option<Page>, Trouble> {
        let Some(disk) = &self.disk else { return Ok(None) };
        loop {
            let looked = self.desk.papers().ledgers[link].looked;
            let Some((number, found)) = disk.rows(looked, CHUNK)? else { return Ok(None) };
            let Some(start) = self.starts.get(&number) else { return Ok(None) };
            let mut papers = self.desk.papers();
            if !papers.is_of_now(link, epoch) {
                return Ok(None);
            }
            let is_this = start.boot == self.desk.boot;
            let ledger = &mut papers.ledgers[link];
            let mut rows = Vec::new();
            let mut length = 0;
            for row in found {
                if length >= PAGE || is_this && !ledger.is_past(row.seq) {
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
            let row = Row::of(batch);
            length += row.length();
            rows.push(row);
            if length >= PAGE {
                break;
            }
        }
        if !papers.is_of_now(link, epoch) {
            rows.clear();
        }
        for row in &rows {
            papers.ledgers[link].claim(boot, row.seq, row.last_seq());
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

/// What one commit is to do.
struct Plan {
    rows: Vec<Row>,
    /// The last number of those that need not be written any more when it is done.
    last: u64,
    start: Start,
    /// What is on the disk has the dates of today already.
    is_dated: bool,
    forgets: bool,
    on_disk: Vec<OnDisk>,
    max_size: u64,
}

/// Of a start that has rows on the disk, what links have of it.
struct OnDisk {
    number: i64,
    acked_by_all: Ranges,
    acked: Vec<(String, Ranges)>,
}

/// What one commit did, in readings.
#[derive(Default)]
struct Done {
    /// This start's.
    number: Option<i64>,
    written: u64,
    forgotten: u64,
    lost: u64,
    /// Starts that have nothing on the disk any more.
    gone: Vec<Name>,
}

impl Plan {
    fn is_idle(&self) -> bool {
        self.rows.is_empty() && !self.forgets
    }

    fn write(&self, change: &Change<'_>) -> Result<Done, Trouble> {
        let mut done = Done::default();
        if !self.rows.is_empty() {
            let number = change.start(&self.start)?;
            self.rows.iter().try_for_each(|row| change.insert(number, row))?;
            done.number = Some(number);
            done.written = self.rows.iter().map(|row| row.values.len() as u64).sum();
        }
        if let Some(zero) = self.start.zero_us.filter(|_| !self.is_dated) {
            change.date(&self.start.machine, zero)?;
        }
        for start in &self.on_disk {
            for (first, last) in start.acked_by_all.iter() {
                done.forgotten += change.forget(start.number, first, last)?;
            }
            start.acked.iter().try_for_each(|(link, acked)| change.acked(link, start.number, acked))?;
        }
        while change.used()? > self.max_size {
            let lost = change.forget_oldest(OLDEST)?;
            done.lost += lost;
            if lost == 0 {
                break;
            }
        }
        done.gone = change.forget_starts()?;
        Ok(done)
    }
}
