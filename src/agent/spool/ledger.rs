//! Counts what becomes of each reading. A reading leaves the spool once: every link has it, or the spool dropped it. So the
//! readings measured are those acknowledged, lost and still kept.

use std::collections::BTreeMap;

use super::links::Links;
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};

/// Why the spool dropped readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The file or memory was full.
    NoRoom,
    /// They were older than `keep`.
    Expired,
    /// They arrived faster than the spool could take them.
    Overload,
}

/// The counters in the status.
pub(super) const ACKNOWLEDGED: &str = "readings_acknowledged";
const LOST: [(Cause, &str); 3] = [
    (Cause::NoRoom, "readings_lost_no_room"),
    (Cause::Expired, "readings_expired"),
    (Cause::Overload, "readings_lost_overload"),
];

/// The counts of readings that left the spool.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Dropped readings that are sent or about to be, and may still be acknowledged; by cause and agent start.
    undecided: BTreeMap<(Cause, Name), Ranges>,
    acknowledged: u64,
    commit: Option<Commit>,
}

/// What becomes of the readings in memory that a commit writes, until it has ended.
#[derive(Debug)]
struct Commit {
    last_seq: u64,
    readings: u64,
    acknowledged: u64,
    evicted: Ranges,
}

impl Ledger {
    /// Records that a commit handles all readings in memory, which end with the number `last_seq`.
    pub(super) fn start_commit(&mut self, last_seq: u64, readings: u64) {
        self.commit = Some(Commit { last_seq, readings, acknowledged: 0, evicted: Ranges::default() });
    }

    /// Records the end of a commit that wrote this many readings, or `None` if it failed. Every link had the others.
    pub(super) fn end_commit(&mut self, boot: &Name, written: Option<u64>) {
        let Some(commit) = self.commit.take() else { return };
        if let Some(written) = written {
            self.acknowledged += commit.readings.saturating_sub(written);
        } else {
            self.acknowledged += commit.acknowledged;
            commit.evicted.iter().for_each(|seqs| self.drop(Cause::NoRoom, boot, seqs));
        }
    }

    /// Records that readings left memory because every link has them.
    pub(super) fn acknowledge(&mut self, seqs: SeqRange) {
        match self.commit.as_mut().filter(|commit| seqs.last <= commit.last_seq) {
            Some(commit) => commit.acknowledged += seqs.count(),
            None => self.acknowledged += seqs.count(),
        }
    }

    /// Records that readings were deleted from the file because every link has them.
    pub(super) fn acknowledge_on_disk(&mut self, readings: u64) {
        self.acknowledged += readings;
    }

    /// Records that readings left memory because it is full. They are not lost if a commit writes them.
    pub(super) fn evict(&mut self, boot: &Name, seqs: SeqRange) {
        match self.commit.as_mut().filter(|commit| seqs.last <= commit.last_seq) {
            Some(commit) => commit.evicted.insert(seqs),
            None => self.drop(Cause::NoRoom, boot, seqs),
        }
    }

    /// Records that the spool dropped readings.
    pub(super) fn drop(&mut self, cause: Cause, boot: &Name, seqs: SeqRange) {
        self.undecided.entry((cause, boot.clone())).or_default().insert(seqs);
    }

    /// The number of dropped readings that may still be acknowledged.
    pub(super) fn undecided(&self) -> u64 {
        self.undecided.values().map(Ranges::count).sum()
    }

    /// Decides which dropped readings are lost; returns the counters' growth since the last call. Lost readings count as
    /// handled for every link: otherwise each loss would leave a gap among the acknowledged ones forever.
    /// `oldest_live`: the feed has lost all earlier readings.
    pub(super) fn settle(&mut self, links: &mut Links, boot: &Name, oldest_live: u64) -> Vec<(&'static str, u64)> {
        let mut counts: BTreeMap<Cause, u64> = BTreeMap::new();
        for ((cause, start), undecided) in &mut self.undecided {
            let delivered = undecided.intersection(&links.acked_by_all(start));
            self.acknowledged += delivered.count();
            undecided.subtract(&delivered);
            let live_from = (start == boot).then_some(oldest_live);
            let waiting = links.may_yet_have(start, undecided, live_from);
            undecided.subtract(&waiting);
            *counts.entry(*cause).or_default() += undecided.count();
            links.settle(start, undecided);
            *undecided = waiting;
        }
        self.undecided.retain(|_, undecided| undecided.count() > 0);
        let lost = LOST.map(|(cause, name)| (name, counts.get(&cause).copied().unwrap_or_default()));
        let acknowledged = (ACKNOWLEDGED, std::mem::take(&mut self.acknowledged));
        lost.into_iter().chain([acknowledged]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Spool {
        ledger: Ledger,
        links: Links,
        link: usize,
        boot: Name,
    }

    impl Spool {
        fn new() -> Spool {
            let mut links = Links::default();
            let link = links.configure("ipc://x");
            Spool { ledger: Ledger::default(), links, link, boot: Name::nearest("b") }
        }

        fn drop(&mut self, first: u64, last: u64) {
            self.ledger.drop(Cause::NoRoom, &self.boot, SeqRange::new(first, last));
        }

        fn ack(&mut self, first: u64, last: u64) {
            self.links.get_mut(self.link).acknowledge(&self.boot, SeqRange::new(first, last));
        }

        /// The growth of the counters: lost for lack of room, and acknowledged.
        fn settle(&mut self) -> (u64, u64) {
            let counts: BTreeMap<_, _> =
                self.ledger.settle(&mut self.links, &self.boot, 1_000_000).into_iter().collect();
            (counts["readings_lost_no_room"], counts[ACKNOWLEDGED])
        }
    }

    #[test]
    fn sent_readings_are_lost_only_if_they_are_not_acknowledged() {
        let mut spool = Spool::new();
        let progress = spool.links.get_mut(spool.link);
        progress.acknowledges = Some(true);
        progress.send_live(&spool.boot, SeqRange::new(1, 20));
        spool.drop(1, 20);
        assert_eq!((spool.settle(), spool.ledger.undecided()), ((0, 0), 20));
        spool.ack(1, 5);
        assert_eq!((spool.settle(), spool.ledger.undecided()), ((0, 5), 15));
        spool.links.get_mut(spool.link).release(&spool.boot, SeqRange::new(6, 10));
        assert_eq!((spool.settle(), spool.ledger.undecided()), ((5, 0), 10));
        spool.links.get_mut(spool.link).reset_in_flight();
        assert_eq!((spool.settle(), spool.ledger.undecided()), ((10, 0), 0), "a new peer has none of them");
        spool.drop(1, 20);
        assert_eq!(spool.settle().0, 0, "each reading is lost once");
    }

    #[test]
    fn readings_that_a_commit_writes_are_not_lost() {
        let boot = Name::nearest("b");
        for (written, lost, acknowledged) in [(Some(7), 0, 3), (None, 4, 2)] {
            let mut spool = Spool::new();
            spool.ledger.start_commit(10, 10);
            spool.ledger.evict(&boot, SeqRange::new(1, 4));
            spool.ledger.acknowledge(SeqRange::new(5, 6));
            spool.ledger.end_commit(&boot, written);
            assert_eq!(spool.settle(), (lost, acknowledged), "{written:?}");
        }
    }

    #[test]
    fn losses_leave_no_gaps_among_acknowledged_readings() {
        let mut spool = Spool::new();
        let progress = spool.links.get_mut(spool.link);
        progress.send_live(&spool.boot, SeqRange::new(1, 20_000));
        progress.reset_in_flight();
        for number in 0..10_000 {
            spool.ack(2 * number + 1, 2 * number + 1);
            spool.drop(2 * number + 2, 2 * number + 2);
            if number % 100 == 0 {
                spool.settle();
            }
        }
        spool.settle();
        let acked = spool.links.acked_by_all(&spool.boot);
        assert_eq!((acked.pieces(), acked.count()), (1, 20_000));
    }
}
