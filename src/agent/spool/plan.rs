//! What one commit of the spool is to do, and what it did.

use std::sync::Arc;
use std::time::Instant;

use super::change::Change;
use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::Ranges;
use crate::reading::Batch;
use crate::store::StoreError;

/// Rows that are written before room is made, and forgotten at once when there is none.
const CHUNK: usize = 128;

/// Rows of a start that one commit forgets for their age: of a million, when that is new in the configuration, the next
/// ones have some, too.
const MOST_TOO_OLD: usize = 4096;

/// What one commit is to do.
pub(super) struct Plan {
    pub(super) batches: Vec<Arc<Batch>>,
    /// The last number of those that need not be written any more when it is done.
    pub(super) last: u64,
    pub(super) start: Start,
    /// What is on the disk has the dates of today already.
    pub(super) is_dated: bool,
    /// Since when there is something to be forgotten or dated.
    pub(super) to_forget: Option<Instant>,
    pub(super) on_disk: Vec<OnDisk>,
    pub(super) max_size: u64,
}

/// Of a start that has rows on the disk, what links have of it.
pub(super) struct OnDisk {
    pub(super) number: i64,
    pub(super) acked_by_all: Ranges,
    /// By link, where it is not known on the disk yet.
    pub(super) acked: Vec<(String, Ranges)>,
    /// What was captured before its monotonic clock showed this is not to be kept.
    pub(super) too_old_us: Option<i64>,
}

/// What one commit did, in readings.
#[derive(Default)]
pub(super) struct Done {
    /// This start's.
    pub(super) number: Option<i64>,
    pub(super) written: u64,
    pub(super) forgotten: u64,
    pub(super) lost: u64,
    pub(super) too_old: u64,
    /// Starts that have nothing on the disk any more.
    pub(super) gone: Vec<Name>,
}

impl Plan {
    pub(super) fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.to_forget.is_none()
    }

    pub(super) fn write(&self, change: &Change<'_>) -> Result<Done, StoreError> {
        let mut done = Done::default();
        for start in &self.on_disk {
            for seqs in start.acked_by_all.iter() {
                done.forgotten += change.forget(start.number, seqs)?;
            }
            start.acked.iter().try_for_each(|(link, acked)| change.acked(link, start.number, acked))?;
            if let Some(before_us) = start.too_old_us {
                done.too_old += change.forget_before(start.number, before_us, MOST_TOO_OLD)?;
            }
        }
        if !self.batches.is_empty() {
            let number = change.start(&self.start)?;
            // Room is made in between, so that the file does not grow by what goes again.
            for some in self.batches.chunks(CHUNK) {
                some.iter().try_for_each(|batch| change.insert(number, &Row::of(batch)))?;
                done.lost += self.make_room(change)?;
            }
            done.number = Some(number);
            done.written = self.batches.iter().map(|batch| batch.values.len() as u64).sum();
        }
        if let Some(zero) = self.start.zero_us.filter(|_| !self.is_dated) {
            change.date(&self.start.machine, zero)?;
        }
        done.gone = change.forget_starts()?;
        Ok(done)
    }

    /// Forgets the oldest while there is too much; gives how many readings that were.
    fn make_room(&self, change: &Change<'_>) -> Result<u64, StoreError> {
        let mut lost = 0;
        while change.used()? > self.max_size {
            match change.forget_oldest(CHUNK)? {
                0 => break,
                oldest => lost += oldest,
            }
        }
        Ok(lost)
    }
}
