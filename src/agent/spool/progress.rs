//! The progress of one link: the readings that its receiver has, and those in flight to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::page::PageRequest;
use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::reading::Batch;

/// The most acknowledged ranges of one agent start that a link may have: as many as a receiver has that refuses readings
/// in between. A receiver that has more gets the readings beyond them again.
const MAX_ACK_RANGES: usize = 10_000;

/// A receiver that sends no hello for this long does not acknowledge readings.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The approximate size of a page on the wire, in bytes. On a slow link, a live reading may have to wait for one page.
const PAGE_BYTES: usize = 8 * 1024;

/// A position among the rows on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The id of the agent start in the file.
    pub(super) start: i64,
    /// The number of a reading.
    pub(super) seq: u64,
}

/// The progress of one link.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkProgress {
    /// The link's address.
    pub(super) link: String,
    /// The link is in the configuration.
    pub(super) is_configured: bool,
    /// The link is or was in the file. If its row is gone, `watchpost spool --forget` removed it.
    pub(super) is_on_disk: bool,
    /// Acknowledged readings, by agent start.
    acked: BTreeMap<Name, Ranges>,
    /// Readings that were sent or are about to be, and are not acknowledged.
    in_flight: BTreeMap<Name, Ranges>,
    /// Readings that this run of the agent has sent or is about to send, by agent start.
    sent: BTreeMap<Name, Ranges>,
    /// Whether the receiver at the other end acknowledges readings; `None` before its hello.
    pub(super) acknowledges: Option<bool>,
    /// When the first readings were sent to a receiver whose hello is missing.
    sent_without_hello: Option<Instant>,
    /// From this number of the current agent start on, the link sends readings live.
    pub(super) live_from: u64,
    /// Changes when the readings in flight are reset, which makes earlier page requests obsolete.
    epoch: u64,
    /// Every row before it is acknowledged or in flight.
    cursor: Cursor,
}

impl LinkProgress {
    pub(super) fn new(link: String) -> LinkProgress {
        LinkProgress { link, ..LinkProgress::default() }
    }

    /// Whether the receiver acknowledged all of `seqs`.
    pub(super) fn has(&self, boot: &Name, seqs: SeqRange) -> bool {
        self.acked.get(boot).is_some_and(|acked| acked.contains(seqs))
    }

    /// The acknowledged readings of an agent start.
    pub(super) fn acked(&self, boot: &Name) -> Ranges {
        self.acked.get(boot).cloned().unwrap_or_default()
    }

    /// Records an acknowledgement; returns the whole acknowledged range around its last reading. Ignores readings that were
    /// not sent: a receiver cannot have them.
    pub(super) fn acknowledge(&mut self, boot: &Name, seqs: SeqRange) -> Option<SeqRange> {
        let mut claimed = Ranges::default();
        claimed.insert(seqs);
        let claimed = claimed.intersection(self.sent.get(boot)?);
        let acked = self.acked.entry(boot.clone()).or_default();
        for seqs in claimed.iter() {
            if acked.pieces() < MAX_ACK_RANGES || acked.around(seqs.first.saturating_sub(1)).is_some() {
                acked.insert(seqs);
            }
        }
        let around = claimed.iter().last().and_then(|seqs| acked.around(seqs.last));
        self.clear_in_flight(boot, seqs);
        around
    }

    /// See [`Links::may_yet_have`](super::links::Links::may_yet_have).
    pub(super) fn may_yet_have(&self, boot: &Name, seqs: &Ranges, live_from: Option<u64>) -> Ranges {
        let mut covered = self.acked(boot);
        let may_say_hello = || self.sent_without_hello.is_none_or(|since| since.elapsed() < HELLO_TIMEOUT);
        if self.acknowledges.unwrap_or_else(may_say_hello) {
            covered.extend(&self.in_flight.get(boot).cloned().unwrap_or_default());
            if let Some(live_from) = live_from {
                covered.insert(SeqRange::new(self.live_from.max(live_from), u64::MAX - 1));
            }
        }
        seqs.intersection(&covered)
    }

    /// Adds an acknowledgement that was read from the file, or readings that nobody can acknowledge.
    pub(super) fn restore(&mut self, boot: &Name, seqs: SeqRange) {
        self.acked.entry(boot.clone()).or_default().insert(seqs);
    }

    /// Drops the acknowledgements of agent starts for which `is_kept` is false.
    pub(super) fn retain_starts(&mut self, is_kept: impl Fn(&Name) -> bool) {
        self.acked.retain(|boot, _| is_kept(boot));
        self.sent.retain(|boot, _| is_kept(boot));
    }

    /// Records that the link sends `seqs` live.
    pub(super) fn send_live(&mut self, boot: &Name, seqs: SeqRange) {
        self.mark_in_flight(boot, seqs);
        if self.acknowledges.is_none() {
            self.sent_without_hello.get_or_insert_with(Instant::now);
        }
        self.live_from = seqs.last + 1;
    }

    /// Whether the spool, not the live feed, delivers this number of the current agent start.
    fn is_backlog(&self, seq: u64) -> bool {
        seq < self.live_from
    }

    /// If all of `seqs` are acknowledged or in flight, the last number of the range that contains their end. A receiver
    /// may have acknowledged some of a batch and refused others, which then stay in flight.
    fn end_of_handled(&self, boot: &Name, seqs: SeqRange) -> Option<u64> {
        let handled = [self.acked.get(boot), self.in_flight.get(boot)];
        let end =
            |number| handled.iter().flatten().filter_map(|ranges| ranges.around(number)).map(|range| range.last).max();
        let mut last = end(seqs.first)?;
        while last < seqs.last {
            last = end(last + 1)?;
        }
        Some(last)
    }

    /// Makes the readings in flight available again, because they may be lost.
    pub(super) fn reset_in_flight(&mut self) {
        self.in_flight.clear();
        (self.acknowledges, self.sent_without_hello) = (None, None);
        self.epoch += 1;
        self.cursor = Cursor::default();
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Moves the cursor to the first row, after rows were moved or renumbered.
    pub(super) fn reset_cursor(&mut self) {
        self.cursor = Cursor::default();
    }

    /// Whether nothing was reset since `request`.
    pub(super) fn is_current(&self, request: &PageRequest) -> bool {
        self.epoch == request.epoch
    }

    fn mark_in_flight(&mut self, boot: &Name, seqs: SeqRange) {
        for ranges in [&mut self.in_flight, &mut self.sent] {
            match ranges.get_mut(boot) {
                Some(ranges) => ranges.insert(seqs),
                None => ranges.entry(boot.clone()).or_default().insert(seqs),
            }
        }
    }

    /// Makes readings available again that were in flight.
    pub(super) fn release(&mut self, boot: &Name, seqs: SeqRange) {
        self.clear_in_flight(boot, seqs);
        self.cursor = Cursor::default();
    }

    fn clear_in_flight(&mut self, boot: &Name, seqs: SeqRange) {
        if let Some(in_flight) = self.in_flight.get_mut(boot) {
            in_flight.remove(seqs);
        }
    }

    /// Takes the next page from rows that were read at the cursor: marks it in flight, and moves the cursor past the
    /// rows that are handled. `start` is `None` if the file does not know the agent start of the rows.
    pub(super) fn take_page(&mut self, chunk: RowChunk, start: Option<&Start>, is_this_start: bool) -> NextPage {
        if self.cursor != chunk.cursor {
            // Readings were released meanwhile.
            return NextPage::Retry;
        }
        let Some(start) = start else {
            self.cursor = Cursor { start: chunk.start + 1, seq: 0 };
            return NextPage::Retry;
        };
        let mut page = PageRows::default();
        for row in chunk.rows {
            let seqs = row.seqs();
            if page.is_complete_before(seqs) || is_this_start && !self.is_backlog(seqs.first) {
                break;
            }
            let handled = self.end_of_handled(&start.boot, seqs);
            if handled.is_none() {
                self.mark_in_flight(&start.boot, seqs);
                page.push(row);
            }
            self.cursor = Cursor { start: chunk.start, seq: handled.unwrap_or(seqs.last) + 1 };
        }
        match page.rows {
            rows if !rows.is_empty() => NextPage::Rows(rows),
            _ if self.cursor == chunk.cursor => NextPage::Nothing,
            _ => NextPage::Retry,
        }
    }

    /// Takes the next page from batches in memory and marks it in flight.
    pub(super) fn take_pending<'a>(&mut self, boot: &Name, batches: impl Iterator<Item = &'a Arc<Batch>>) -> Vec<Row> {
        let mut page = PageRows::default();
        for batch in batches {
            let seqs = batch.seqs();
            if !self.is_backlog(seqs.first) {
                break;
            }
            if self.end_of_handled(boot, seqs).is_some() {
                continue;
            }
            if page.is_complete_before(seqs) {
                break;
            }
            self.mark_in_flight(boot, seqs);
            page.push(Row::from_batch(batch));
        }
        page.rows
    }
}

/// Rows of one agent start, in order, that were read from the disk at a cursor.
pub(super) struct RowChunk {
    pub(super) cursor: Cursor,
    /// The id of the agent start in the file.
    pub(super) start: i64,
    pub(super) rows: Vec<Row>,
}

/// The outcome of looking for a link's next page among the rows that were read.
pub(super) enum NextPage {
    Rows(Vec<Row>),
    /// The cursor moved: more rows have to be read.
    Retry,
    /// All other rows are delivered live.
    Nothing,
}

/// The rows of a page while it is filled.
#[derive(Default)]
struct PageRows {
    rows: Vec<Row>,
    bytes: usize,
}

impl PageRows {
    /// Whether `seqs` belong on the next page: a page is acknowledged as one range and so has no gaps.
    fn is_complete_before(&self, seqs: SeqRange) -> bool {
        let is_gap = self.rows.last().is_some_and(|last| last.last_seq() + 1 != seqs.first);
        self.bytes >= PAGE_BYTES || is_gap
    }

    fn push(&mut self, row: Row) {
        self.bytes += row.wire_size();
        self.rows.push(row);
    }
}
