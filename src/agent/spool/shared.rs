//! State shared by the feed, the links and the writer thread: readings in memory, the progress of each link, and the
//! writer's mailbox.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::ledger::{Cause, Ledger};
use super::links::Links;
use super::page::{Page, PageRequest};
use super::pending::Pending;
use super::plan::{Snapshot, StartAcks};
use super::progress::{Cursor, NextPage, RowChunk};
use super::row::{AckRow, Row, Start};
use crate::lock::lock;
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::reading::{Batch, FEED_CAPACITY};
use crate::service::HEARTBEAT_INTERVAL;

/// The shared state, its lock and the signal that wakes the writer.
#[derive(Debug)]
pub(super) struct Shared {
    /// The id of this agent start.
    boot: Name,
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    pending: Pending,
    links: Links,
    ledger: Ledger,
    /// The first numbers of the newest batches, as many as the links' feeds hold.
    newest: VecDeque<u64>,
    mailbox: Mailbox,
    /// Earlier agent starts that have readings on the disk.
    earlier: Vec<Name>,
    /// There may be readings on the disk.
    is_on_disk: bool,
}

/// Work for the writer, besides the pending readings.
#[derive(Debug, Default)]
struct Mailbox {
    requests: Vec<PageRequest>,
    /// Since when the file may have readings to delete or to date.
    cleanup_since: Option<Instant>,
    is_stopping: bool,
}

/// The work that is due.
pub(super) struct Work {
    pub(super) requests: Vec<PageRequest>,
    pub(super) commit: bool,
    pub(super) stop: bool,
}

impl Inner {
    /// Drops the readings up to the number `last_seq`: `written` of them are on the disk, and every link has the others.
    fn end_commit(&mut self, boot: &Name, last_seq: u64, written: u64) {
        self.drop_done(boot, last_seq);
        self.ledger.end_commit(boot, Some(written));
    }

    /// Drops leading batches that are written, up to the number `written`, or acknowledged by every link.
    fn drop_done(&mut self, boot: &Name, written: u64) {
        let links = &self.links;
        let is_done = |batch: &Batch| batch.last_seq() <= written || links.all_have(boot, batch.seqs());
        while let Some(batch) = self.pending.pop_if(is_done) {
            self.ledger.acknowledge(batch.seqs());
        }
    }

    /// Keeps a batch in memory; returns true if the time of the next commit changed.
    fn push(&mut self, boot: &Name, batch: Arc<Batch>) -> bool {
        let missed = SeqRange::new(self.pending.last_seq() + 1, batch.seq - 1);
        if !missed.is_empty() {
            self.ledger.drop(Cause::Overload, boot, missed);
        }
        if self.newest.len() == FEED_CAPACITY {
            self.newest.pop_front();
        }
        self.newest.push_back(batch.seq);
        let is_new_time = self.pending.push(batch);
        while let Some(batch) = self.pending.pop_excess() {
            self.ledger.evict(boot, batch.seqs());
        }
        is_new_time
    }
}

impl Shared {
    pub(super) fn new(boot: Name) -> Shared {
        Shared { boot, inner: Mutex::default(), wake: Condvar::new() }
    }

    pub(super) fn boot(&self) -> &Name {
        &self.boot
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn schedule_cleanup(&self, inner: &mut Inner) {
        if inner.mailbox.cleanup_since.is_none() {
            inner.mailbox.cleanup_since = Some(Instant::now());
            self.wake.notify_one();
        }
    }
}

/// For the agent and its feed.
impl Shared {
    pub(super) fn push(&self, batch: Arc<Batch>) {
        if self.lock().push(&self.boot, batch) {
            self.wake.notify_one();
        }
    }

    /// The number of readings in memory.
    pub(super) fn pending_readings(&self) -> u64 {
        self.lock().pending.readings()
    }

    /// The number of readings in memory, and of those that a link has in memory after the spool dropped them.
    pub(super) fn readings_in_memory(&self) -> u64 {
        let inner = self.lock();
        inner.pending.readings() + inner.ledger.undecided()
    }

    /// See [`Ledger::settle`].
    pub(super) fn settle(&self) -> Vec<(&'static str, u64)> {
        let mut inner = self.lock();
        let Inner { ledger, links, newest, .. } = &mut *inner;
        ledger.settle(links, &self.boot, newest.front().copied().unwrap_or_default())
    }

    pub(super) fn warn_about_unconfigured_links(&self) {
        self.lock().links.warn_about_unconfigured();
    }

    /// Makes the writer date the readings on the disk, now that the clock is synchronised.
    pub(super) fn schedule_dating(&self) {
        let mut inner = self.lock();
        if inner.is_on_disk {
            self.schedule_cleanup(&mut inner);
        }
    }

    /// Makes the writer check whether an unconfigured link was forgotten.
    pub(super) fn check_for_forgotten_links(&self) {
        let mut inner = self.lock();
        if inner.links.has_unconfigured() {
            self.schedule_cleanup(&mut inner);
        }
    }

    /// Tells the writer to write the pending readings and stop.
    pub(super) fn stop(&self) {
        self.lock().mailbox.is_stopping = true;
        self.wake.notify_one();
    }
}

/// For the links.
impl Shared {
    /// Keeps readings for a configured link; returns the link's id.
    pub(super) fn add_link(&self, link: &str) -> usize {
        let mut inner = self.lock();
        let id = inner.links.configure(link);
        self.schedule_cleanup(&mut inner);
        id
    }

    /// Records that the link left the configuration. Its readings are kept until it is forgotten.
    pub(super) fn unconfigure_link(&self, link: usize) {
        self.lock().links.get_mut(link).is_configured = false;
    }

    pub(super) fn send_live(&self, link: usize, seqs: SeqRange) {
        self.lock().links.get_mut(link).send_live(&self.boot, seqs);
    }

    /// Records that the link sends readings live from the number `seq` on.
    pub(super) fn set_live_from(&self, link: usize, seq: u64) {
        self.lock().links.get_mut(link).live_from = seq;
    }

    /// Records an acknowledgement; returns the whole acknowledged range around it. `None` if no such readings are
    /// known.
    pub(super) fn acknowledge(&self, boot: &Name, link: usize, seqs: SeqRange) -> Option<SeqRange> {
        let mut inner = self.lock();
        let is_this_start = self.boot == *boot;
        if !is_this_start && !inner.earlier.contains(boot) {
            return None;
        }
        // A receiver cannot have readings that do not exist yet, and no column holds larger numbers.
        let max = if is_this_start { inner.pending.last_seq() } else { i64::MAX as u64 - 1 };
        let seqs = SeqRange::new(seqs.first, seqs.last.min(max));
        if seqs.is_empty() {
            return None;
        }
        let around = inner.links.get_mut(link).acknowledge(boot, seqs);
        inner.drop_done(&self.boot, 0);
        if inner.is_on_disk {
            self.schedule_cleanup(&mut inner);
        }
        around
    }

    /// See [`LinkProgress::release`](super::progress::LinkProgress::release).
    pub(super) fn release(&self, boot: &Name, link: usize, seqs: SeqRange) {
        self.lock().links.get_mut(link).release(boot, seqs);
    }

    /// Records whether the link's receiver acknowledges readings.
    pub(super) fn set_acknowledges(&self, link: usize, acknowledges: bool) {
        self.lock().links.get_mut(link).acknowledges = Some(acknowledges);
    }

    /// See [`LinkProgress::reset_in_flight`](super::progress::LinkProgress::reset_in_flight).
    pub(super) fn reset_in_flight(&self, link: usize) {
        self.lock().links.get_mut(link).reset_in_flight();
    }

    pub(super) fn request_page(&self, link: usize) -> oneshot::Receiver<Page> {
        let (reply, page) = oneshot::channel();
        let mut inner = self.lock();
        let epoch = inner.links.get(link).epoch();
        // While the disk hangs, a peer that reconnects again and again must not fill memory.
        inner.mailbox.requests.retain(|request| !request.reply.is_closed());
        inner.mailbox.requests.push(PageRequest { link, epoch, reply });
        self.wake.notify_one();
        page
    }
}

/// For the writer.
impl Shared {
    /// Waits for work; nothing is committed before `not_before`. With `must_open`, a commit is due then even if nothing
    /// is pending. Returns after a heartbeat at the latest, possibly without work, so that the writer can show that it
    /// is alive.
    pub(super) fn wait_for_work(&self, not_before: Instant, must_open: bool) -> Work {
        let beat = Instant::now() + HEARTBEAT_INTERVAL;
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            let due = inner.pending.commit_due(inner.mailbox.cleanup_since).map(|due| due.max(not_before));
            let due = if must_open { Some(not_before) } else { due };
            let commit = due.is_some_and(|due| due <= now);
            let mailbox = &mut inner.mailbox;
            if commit || mailbox.is_stopping || !mailbox.requests.is_empty() || beat <= now {
                return Work { requests: std::mem::take(&mut mailbox.requests), commit, stop: mailbox.is_stopping };
            }
            let until = due.map_or(beat, |due| due.min(beat));
            inner = self.wake.wait_timeout(inner, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// See [`Links::restore`].
    pub(super) fn restore_links(&self, on_disk: &[String], acks: &[AckRow], starts: &BTreeMap<i64, Start>) {
        self.lock().links.restore(on_disk, acks, starts);
    }

    /// See [`Links::missing_from`].
    pub(super) fn links_missing_from(&self, on_disk: &[String]) -> Vec<String> {
        self.lock().links.missing_from(on_disk)
    }

    /// See [`Links::mark_on_disk`].
    pub(super) fn mark_links_on_disk(&self, links: &[String]) {
        self.lock().links.mark_on_disk(links);
    }

    /// See [`Links::remove_forgotten`].
    pub(super) fn remove_forgotten_links(&self, on_disk: &[String]) -> bool {
        let mut inner = self.lock();
        let is_removed = inner.links.remove_forgotten(on_disk);
        if is_removed {
            self.schedule_cleanup(&mut inner);
        }
        is_removed
    }

    /// Records that a file is open. It has readings of the agent starts `boots` if `is_on_disk`.
    pub(super) fn file_opened(&self, boots: impl Iterator<Item = Name>, is_on_disk: bool) {
        let mut inner = self.lock();
        inner.links.reset_cursors();
        inner.earlier = boots.filter(|boot| *boot != self.boot).collect();
        inner.is_on_disk = is_on_disk;
        if is_on_disk {
            // Some readings may have expired meanwhile.
            self.schedule_cleanup(&mut inner);
        }
    }

    /// Returns the input of the next commit. `starts`: the agent starts in the file.
    pub(super) fn start_commit(&self, starts: &BTreeMap<i64, Start>) -> Snapshot {
        let mut inner = self.lock();
        let acked = inner.links.acked_by_all(&self.boot);
        let missing = inner.pending.batches().filter(|batch| !acked.contains(batch.seqs()));
        let batches: Vec<_> = missing.map(Arc::clone).collect();
        // Acknowledgements that arrive during the commit are handled by the next one.
        inner.is_on_disk |= !batches.is_empty();
        let acks = starts.iter().map(|(id, start)| StartAcks {
            start: *id,
            by_all: inner.links.acked_by_all(&start.boot),
            by_link: inner.links.acks_to_save(&start.boot),
        });
        let acks = acks.collect();
        let cleanup_since = inner.mailbox.cleanup_since.take();
        let (last_seq, readings) = (inner.pending.last_seq(), inner.pending.readings());
        inner.ledger.start_commit(last_seq, readings);
        Snapshot { batches, last_seq: inner.pending.last_seq(), cleanup_since, acks }
    }

    /// Ends a commit that has nothing to write.
    pub(super) fn skip_commit(&self, last_seq: u64) {
        self.lock().end_commit(&self.boot, last_seq, 0);
    }

    /// Records that the commit failed: its cleanup is still due.
    pub(super) fn commit_failed(&self, cleanup_since: Option<Instant>) {
        let mut inner = self.lock();
        inner.mailbox.cleanup_since = cleanup_since;
        inner.ledger.end_commit(&self.boot, None);
    }

    /// Records the readings that a commit deleted.
    pub(super) fn deleted(&self, acked: u64, dropped: impl Iterator<Item = (Cause, Name, SeqRange)>) {
        let mut inner = self.lock();
        inner.ledger.acknowledge_on_disk(acked);
        dropped.for_each(|(cause, boot, seqs)| inner.ledger.drop(cause, &boot, seqs));
    }

    /// Records that the commit handled everything up to `last_seq`, wrote `written` readings and deleted the agent starts
    /// `deleted`.
    pub(super) fn committed(&self, last_seq: u64, written: u64, is_on_disk: bool, deleted: &[Name]) {
        let mut inner = self.lock();
        inner.end_commit(&self.boot, last_seq, written);
        inner.is_on_disk = is_on_disk;
        if !deleted.is_empty() {
            // New agent starts may get the ids of deleted ones.
            inner.links.reset_cursors();
        }
        inner.earlier.retain(|boot| !deleted.contains(boot));
        inner.links.retain_starts(|boot| *boot == self.boot || !deleted.contains(boot));
    }

    pub(super) fn has_link(&self, link: usize) -> bool {
        self.lock().links.contains(link)
    }

    /// Where to read the link's next rows.
    pub(super) fn cursor(&self, link: usize) -> Cursor {
        self.lock().links.get(link).cursor()
    }

    /// See [`LinkProgress::take_page`](super::progress::LinkProgress::take_page).
    pub(super) fn take_page(&self, request: &PageRequest, chunk: RowChunk, start: Option<&Start>) -> NextPage {
        let mut inner = self.lock();
        let progress = inner.links.get_mut(request.link);
        if !progress.is_current(request) {
            return NextPage::Nothing;
        }
        progress.take_page(chunk, start, start.is_some_and(|start| start.boot == self.boot))
    }

    /// See [`LinkProgress::take_pending`](super::progress::LinkProgress::take_pending).
    pub(super) fn take_pending(&self, request: &PageRequest) -> Vec<Row> {
        let mut inner = self.lock();
        let Inner { pending, links, .. } = &mut *inner;
        let progress = links.get_mut(request.link);
        if progress.is_current(request) { progress.take_pending(&self.boot, pending.batches()) } else { Vec::new() }
    }
}
