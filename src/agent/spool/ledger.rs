//! What one link's receiver has of the readings, and what is on its way.

use std::collections::BTreeMap;

use super::row::Start;
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};

/// What one link's receiver has.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// The link's address.
    pub(super) link: String,
    /// It is in the configuration.
    pub(super) is_configured: bool,
    /// The disk has known of it. One that it does not know of any more was given up.
    pub(super) is_on_disk: bool,
    /// By start, for good.
    pub(super) acked: BTreeMap<Name, Ranges>,
    /// On its way, or about to be.
    pub(super) claimed: BTreeMap<Name, Ranges>,
    /// From this number of this start on, readings come to the link by themselves.
    pub(super) live_from: u64,
    /// Grows when what was on its way is lost.
    pub(super) epoch: u64,
    /// What comes before was looked at, and nothing of it given back since.
    pub(super) looked: Place,
}

/// A place among the rows on the disk: a start's number, and a reading's.
pub(super) type Place = (i64, u64);

impl Ledger {
    pub(super) fn has(&self, boot: &Name, seqs: SeqRange) -> bool {
        self.acked.get(boot).is_some_and(|acked| acked.contains(seqs))
    }

    /// What it has of a start.
    pub(super) fn of_start(&self, start: &Start) -> Ranges {
        self.acked.get(&start.boot).cloned().unwrap_or_default()
    }

    /// Whether a batch of this start is the link's to have from the spool; later ones come by themselves.
    pub(super) fn is_past(&self, seq: u64) -> bool {
        seq < self.live_from
    }

    /// Where the range ends that these are in, if they are all acknowledged or claimed.
    pub(super) fn taken(&self, boot: &Name, seqs: SeqRange) -> Option<u64> {
        let end = |taken: &BTreeMap<Name, Ranges>| {
            taken.get(boot)?.around(seqs.first).map(|around| around.last).filter(|end| seqs.last <= *end)
        };
        end(&self.acked).or_else(|| end(&self.claimed))
    }

    pub(super) fn begin_anew(&mut self) {
        self.claimed.clear();
        self.epoch += 1;
        self.looked = Place::default();
    }

    pub(super) fn claim(&mut self, boot: &Name, seqs: SeqRange) {
        if !self.claimed.contains_key(boot) {
            self.claimed.insert(boot.clone(), Ranges::default());
        }
        if let Some(claimed) = self.claimed.get_mut(boot) {
            claimed.insert(seqs);
        }
    }
}
