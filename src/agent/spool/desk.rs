//! What the feed, the links and the keeper of the spool have between them: batches that are not on the disk, and who has
//! what.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::warn;

use super::ledger::{Ledger, Place};
use super::row::{Row, Start};
use crate::lock::lock;
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::reading::Batch;
use crate::service::BEAT;

/// From its arrival to the disk a batch takes at most a second, of which this is for waiting: whatever is acknowledged
/// before need not be written, and what comes together is written together.
const COMMIT: Duration = Duration::from_millis(500);

/// With so many bytes of them, by estimate, they are written sooner.
const MUCH: usize = 4 * 1024 * 1024;

/// So many wait in memory while the disk takes nothing. One more, and the oldest is lost.
const MOST: usize = 16 * 1024 * 1024;

/// Ranges of one start that a link may have acknowledged; with more of them the receiver has gaps that are not of our
/// making, and gets again what is beyond.
const MOST_PIECES: usize = 4096;

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    /// This start of the agent.
    pub(super) boot: Name,
    papers: Mutex<Papers>,
    bell: Condvar,
}

#[derive(Debug)]
pub(super) struct Papers {
    /// Of this start, in order, not on the disk; and when they came.
    pub(super) waiting: VecDeque<(Instant, Arc<Batch>)>,
    waiting_bytes: usize,
    waiting_readings: u64,
    /// The last number of this start.
    last_seq: u64,
    /// Of each link that is to have everything, by a number that is no other link's, now or later.
    pub(super) ledgers: BTreeMap<usize, Ledger>,
    next_link: usize,
    /// Earlier starts of which there is something on the disk.
    pub(super) earlier: Vec<Name>,
    asked: Vec<Asked>,
    /// Since when there is something on the disk that may be acknowledged by all, or can be dated.
    pub(super) to_forget: Option<Instant>,
    /// Something may be there.
    pub(super) is_on_disk: bool,
    /// Readings that were lost for want of room.
    pub(super) lost: u64,
    end: bool,
}

/// A link wants to have more.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) link: usize,
    pub(super) epoch: u64,
    pub(super) reply: oneshot::Sender<Page>,
}

/// Batches of one start, in order; none when there are no more.
#[derive(Debug)]
pub struct Page {
    pub(super) start: Start,
    /// The machine was not started anew since.
    pub(super) is_now: bool,
    pub(super) rows: Vec<Row>,
}

impl Papers {
    /// What every link has of a start.
    pub(super) fn acked_by_all(&self, boot: &Name) -> Ranges {
        let mut of_each = self.ledgers.values().map(|ledger| ledger.acked.get(boot).cloned().unwrap_or_default());
        let first = of_each.next().unwrap_or_default();
        of_each.fold(first, |common, acked| common.intersection(&acked))
    }

    fn drop_front(&mut self) -> u64 {
        let Some((_, batch)) = self.waiting.pop_front() else { return 0 };
        let readings = batch.values.len() as u64;
        self.waiting_bytes -= size(&batch);
        self.waiting_readings -= readings;
        readings
    }

    /// Lets go of the first that need not be written, or were.
    pub(super) fn let_go(&mut self, boot: &Name, written: u64) {
        while let Some((_, batch)) = self.waiting.front() {
            let seqs = batch.seqs();
            if seqs.last > written && !self.ledgers.values().all(|ledger| ledger.has(boot, seqs)) {
                break;
            }
            self.drop_front();
        }
    }

    /// What may be had from memory by a link now, in order.
    pub(super) fn in_memory_for<'a>(&'a self, boot: &'a Name, link: usize) -> impl Iterator<Item = &'a Arc<Batch>> {
        let ledger = &self.ledgers[&link];
        let waiting = self.waiting.iter().map(|(_, batch)| batch);
        waiting.take_while(|batch| ledger.is_past(batch.seq)).filter(|batch| ledger.taken(boot, batch.seqs()).is_none())
    }

    /// A new link's, of whose receiver nothing is known.
    fn open_ledger(&mut self, link: String) -> usize {
        let number = self.next_link;
        self.next_link += 1;
        self.ledgers.insert(number, Ledger { link, ..Ledger::default() });
        number
    }

    pub(super) fn ledger(&mut self, link: usize) -> &mut Ledger {
        self.ledgers.get_mut(&link).expect("a link that is in use has its ledger")
    }

    /// Links that are kept for and not among those of which the disk knows.
    pub(super) fn unknown_to(&self, known: &[String]) -> Vec<String> {
        let kept = self.ledgers.values().filter(|ledger| ledger.is_configured || !ledger.is_on_disk);
        kept.map(|ledger| ledger.link.clone()).filter(|link| !known.contains(link)).collect()
    }

    /// The disk knows of these.
    pub(super) fn are_on_disk(&mut self, links: &[String]) {
        for ledger in self.ledgers.values_mut() {
            ledger.is_on_disk |= links.contains(&ledger.link);
        }
    }

    /// Takes in for which links the disk keeps, and what they have.
    pub(super) fn know(&mut self, known: &[String], acked: &[(String, i64, SeqRange)], starts: &BTreeMap<i64, Start>) {
        for link in known {
            if self.ledgers.values().all(|ledger| ledger.link != *link) {
                warn_of_stray(link);
                self.open_ledger(link.clone());
            }
        }
        // It may be another file than before, from which nobody was given up.
        for ledger in self.ledgers.values_mut() {
            ledger.is_on_disk = known.contains(&ledger.link);
        }
        for (link, start, seqs) in acked {
            let ledger = self.ledgers.values_mut().find(|ledger| ledger.link == *link);
            if let (Some(ledger), Some(start)) = (ledger, starts.get(start)) {
                ledger.acked.entry(start.boot.clone()).or_default().insert(*seqs);
            }
        }
    }

    /// Lets go of links that are neither configured nor kept for on the disk any more; true when there was one.
    pub(super) fn keep_only_for(&mut self, links: &[String]) -> bool {
        let before = self.ledgers.len();
        self.ledgers.retain(|_, ledger| ledger.is_configured || !ledger.is_on_disk || links.contains(&ledger.link));
        let is_fewer = self.ledgers.len() < before;
        if is_fewer {
            self.has_changed();
        }
        is_fewer
    }

    /// The disk is to be looked after, when it has its turn.
    fn has_changed(&mut self) {
        self.to_forget.get_or_insert_with(Instant::now);
    }

    /// All links are given from the beginning what they lack: the rows on the disk are others.
    pub(super) fn look_anew(&mut self) {
        for ledger in self.ledgers.values_mut() {
            ledger.looked = Place::default();
        }
    }

    /// Readings in memory.
    pub(super) fn waiting_readings(&self) -> u64 {
        self.waiting_readings
    }

    pub(super) fn is_of_now(&self, link: usize, epoch: u64) -> bool {
        self.ledgers[&link].epoch == epoch
    }
}

/// What the keeper has to do.
pub(super) struct Work {
    pub(super) asked: Vec<Asked>,
    pub(super) commit: bool,
    pub(super) end: bool,
}

impl Desk {
    pub(super) fn new(boot: Name) -> Desk {
        let papers = Papers {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_readings: 0,
            last_seq: 0,
            ledgers: BTreeMap::new(),
            next_link: 0,
            earlier: Vec::new(),
            asked: Vec::new(),
            to_forget: None,
            is_on_disk: false,
            lost: 0,
            end: false,
        };
        Desk { boot, papers: Mutex::new(papers), bell: Condvar::new() }
    }

    pub(super) fn papers(&self) -> MutexGuard<'_, Papers> {
        lock(&self.papers)
    }

    /// Keeps for a link that is in the configuration from now on; gives its number.
    pub(super) fn keep_for(&self, link: &str) -> usize {
        let mut papers = self.papers();
        let left = papers.ledgers.iter().find(|(_, ledger)| !ledger.is_configured && ledger.link == link);
        let known = left.map(|(number, _)| *number);
        let number = known.unwrap_or_else(|| papers.open_ledger(link.to_owned()));
        papers.ledger(number).is_configured = true;
        papers.ledger(number).begin_anew();
        papers.has_changed();
        self.bell.notify_one();
        number
    }

    /// A link is not in the configuration any more; it is kept for until somebody gives it up.
    pub(super) fn leave(&self, link: usize) {
        self.papers().ledger(link).is_configured = false;
    }

    /// Says which links are kept for and in no configuration.
    pub(super) fn warn_of_strays(&self) {
        let papers = self.papers();
        let strays = papers.ledgers.values().filter(|ledger| !ledger.is_configured);
        strays.for_each(|ledger| warn_of_stray(&ledger.link));
    }

    /// A batch came.
    pub(super) fn put(&self, batch: Arc<Batch>) {
        let mut papers = self.papers();
        papers.last_seq = batch.last_seq();
        let was_much = papers.waiting_bytes > MUCH;
        papers.waiting_bytes += size(&batch);
        papers.waiting_readings += batch.values.len() as u64;
        papers.waiting.push_back((Instant::now(), batch));
        while papers.waiting_bytes > MOST {
            let lost = papers.drop_front();
            papers.lost += lost;
        }
        // The keeper sleeps until the first is due.
        if papers.waiting.len() == 1 || papers.waiting_bytes > MUCH && !was_much {
            self.bell.notify_one();
        }
    }

    /// A batch is on its way to a link's receiver, because it came just now.
    pub(super) fn claim_live(&self, link: usize, seqs: SeqRange) {
        let mut papers = self.papers();
        let ledger = papers.ledger(link);
        ledger.claim(&self.boot, seqs);
        ledger.live_from = seqs.last + 1;
    }

    /// Batches come to a link by themselves from now on from this number on.
    pub(super) fn live_from(&self, link: usize, seq: u64) {
        self.papers().ledger(link).live_from = seq;
    }

    /// A link's receiver has these; gives the whole range that it has around them.
    pub(super) fn ack(&self, boot: &Name, link: usize, seqs: SeqRange) -> Option<SeqRange> {
        let mut papers = self.papers();
        let is_this = self.boot == *boot;
        if !is_this && !papers.earlier.contains(boot) {
            return None;
        }
        // A receiver cannot have what was never measured, nor what no column holds.
        let last = seqs.last.min(if is_this { papers.last_seq } else { i64::MAX as u64 - 1 });
        let seqs = SeqRange::new(seqs.first, last);
        if seqs.is_empty() {
            return None;
        }
        let acked = papers.ledger(link).acked.entry(boot.clone()).or_default();
        if acked.pieces() < MOST_PIECES || acked.around(seqs.first.saturating_sub(1)).is_some() {
            acked.insert(seqs);
        }
        let around = acked.around(seqs.first);
        if let Some(claimed) = papers.ledger(link).claimed.get_mut(boot) {
            claimed.remove(seqs);
        }
        papers.let_go(&self.boot, 0);
        if papers.is_on_disk && papers.to_forget.is_none() {
            papers.has_changed();
            self.bell.notify_one();
        }
        around
    }

    /// These were not acknowledged in time; they may be had again.
    pub(super) fn give_back(&self, boot: &Name, link: usize, seqs: SeqRange) {
        let mut papers = self.papers();
        let ledger = papers.ledger(link);
        if let Some(claimed) = ledger.claimed.get_mut(boot) {
            claimed.remove(seqs);
        }
        ledger.looked = Place::default();
    }

    /// What was on its way to a link's receiver may be lost.
    pub(super) fn begin_anew(&self, link: usize) {
        self.papers().ledger(link).begin_anew();
    }

    /// Asks for more.
    pub(super) fn ask(&self, link: usize) -> oneshot::Receiver<Page> {
        let (reply, page) = oneshot::channel();
        let mut papers = self.papers();
        let epoch = papers.ledgers[&link].epoch;
        papers.asked.push(Asked { link, epoch, reply });
        self.bell.notify_one();
        page
    }

    /// What is on the disk can be dated now.
    pub(super) fn date(&self) {
        self.has_changes(|papers| papers.is_on_disk);
    }

    /// A link that it keeps for and that is not configured any more may have been given up meanwhile.
    pub(super) fn look_after_given_up(&self) {
        self.has_changes(|papers| papers.ledgers.values().any(|ledger| !ledger.is_configured));
    }

    fn has_changes(&self, are_there: impl Fn(&Papers) -> bool) {
        let mut papers = self.papers();
        if are_there(&papers) && papers.to_forget.is_none() {
            papers.has_changed();
            self.bell.notify_one();
        }
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.papers().end = true;
        self.bell.notify_one();
    }

    /// Waits for something to do, of which nothing goes to the disk before `not_before`. `opens`: the disk is to be opened
    /// then, whether there is something for it or not. After a beat there may be nothing to do: whoever waits is to show life,
    /// also where readings come all the time and are acknowledged before they are due.
    pub(super) fn wait(&self, not_before: Instant, opens: bool) -> Work {
        let beat = Instant::now() + BEAT;
        let mut papers = self.papers();
        loop {
            let now = Instant::now();
            let due = if opens { Some(not_before) } else { papers.due().map(|due| due.max(not_before)) };
            let commit = due.is_some_and(|due| due <= now);
            if commit || papers.end || !papers.asked.is_empty() || beat <= now {
                return Work { asked: std::mem::take(&mut papers.asked), commit, end: papers.end };
            }
            let until = due.map_or(beat, |due| due.min(beat));
            papers = self.bell.wait_timeout(papers, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Papers {
    /// When there is something for the disk.
    fn due(&self) -> Option<Instant> {
        let oldest = self.waiting.front().map(|(came, _)| *came);
        if self.waiting_bytes > MUCH {
            return oldest;
        }
        oldest.into_iter().chain(self.to_forget).min().map(|since| since + COMMIT)
    }
}

fn warn_of_stray(link: &str) {
    warn!("spool: keeps for {link}, which no [[link]] has; `watchpost spool --forget {link}` ends that");
}

/// About so much memory a batch takes.
fn size(batch: &Batch) -> usize {
    192 + 32 * batch.values.len()
}
