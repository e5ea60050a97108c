//! One page of spooled readings, as a link sends it.

use tokio::sync::oneshot;

use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::wire;

/// Consecutive batches of one agent start; empty when the receiver lacks nothing.
#[derive(Debug)]
pub struct Page {
    pub(super) start: Start,
    /// The machine has not rebooted since `start`.
    pub(super) is_this_boot: bool,
    pub(super) rows: Vec<Row>,
}

/// A link's request for its next page.
#[derive(Debug)]
pub(super) struct PageRequest {
    pub(super) link: usize,
    /// The epoch of the link's progress at the time of the request.
    pub(super) epoch: u64,
    pub(super) reply: oneshot::Sender<Page>,
}

impl Page {
    /// The agent start that numbered these readings.
    #[must_use]
    pub fn boot(&self) -> &Name {
        &self.start.boot
    }

    /// The numbers of the readings; `None` for an empty page.
    #[must_use]
    pub fn seqs(&self) -> Option<SeqRange> {
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        Some(SeqRange::new(first.seq, last.last_seq()))
    }

    /// The batches as they are sent now. `synchronised`: the wall clock is right now.
    #[must_use]
    pub fn batches(&self, synchronised: bool) -> Vec<wire::Batch> {
        self.rows.iter().map(|row| row.to_wire(&self.start, self.is_this_boot, synchronised)).collect()
    }

    /// The approximate size on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.rows.iter().map(Row::wire_size).sum()
    }
}
