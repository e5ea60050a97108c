//! One commit of the spool: its plan and its result.

use std::sync::Arc;
use std::time::Instant;

use super::change::{Change, Deleted};
use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::Ranges;
use crate::reading::Batch;
use crate::store::StoreError;

/// Rows to write before the size is checked, and to delete at once if the file is too large.
const ROWS_PER_STEP: usize = 128;

/// The most rows of one agent start that one commit expires. A shorter `keep` may expire a million; later commits
/// delete the rest.
const MAX_EXPIRED_ROWS: usize = 4096;

/// The input of a commit, as of its start.
pub(super) struct Snapshot {
    /// Batches that some link lacks.
    pub(super) batches: Vec<Arc<Batch>>,
    /// Up to this number, no reading has to stay in memory after the commit.
    pub(super) last_seq: u64,
    pub(super) cleanup_since: Option<Instant>,
    pub(super) acks: Vec<StartAcks>,
}

/// The acknowledged readings of one agent start on the disk.
pub(super) struct StartAcks {
    /// The id of the start in the file.
    pub(super) start: i64,
    pub(super) by_all: Ranges,
    /// See [`Links::acks_to_save`](super::links::Links::acks_to_save).
    pub(super) by_link: Vec<(String, Ranges)>,
}

/// One commit.
pub(super) struct Plan {
    pub(super) batches: Vec<Arc<Batch>>,
    /// After the commit, readings up to this number need not stay in memory.
    pub(super) last_seq: u64,
    /// The current agent start.
    pub(super) start: Start,
    /// The starts in the file already have today's dates.
    pub(super) is_dated: bool,
    /// Since when there may be readings to delete or to date.
    pub(super) cleanup_since: Option<Instant>,
    /// The agent starts that have rows on the disk.
    pub(super) starts: Vec<StartPlan>,
    /// Bytes.
    pub(super) max_size: u64,
}

/// The part of a commit that concerns one agent start.
pub(super) struct StartPlan {
    /// The id of the start in the file.
    pub(super) start: i64,
    pub(super) acked_by_all: Ranges,
    /// The acknowledgements of each link that the file does not have yet.
    pub(super) unsaved_acks: Vec<(String, Ranges)>,
    /// Expires readings that were captured before this time of the start's monotonic clock.
    pub(super) expire_before_us: Option<i64>,
}

/// The result of a commit. The counts are numbers of readings.
#[derive(Default)]
pub(super) struct CommitSummary {
    /// The id of the current agent start, if batches were written.
    pub(super) start: Option<i64>,
    /// Of the plan's batches.
    pub(super) written: u64,
    /// Of those, the ones that the file did not have yet.
    pub(super) added: u64,
    pub(super) acked: u64,
    pub(super) lost: Vec<Deleted>,
    pub(super) expired: Vec<Deleted>,
    /// Agent starts that have no more readings on the disk.
    pub(super) deleted_starts: Vec<Name>,
}

impl CommitSummary {
    /// The number of readings that were deleted for any reason.
    pub(super) fn deleted(&self) -> u64 {
        self.acked + Deleted::count(&self.lost) + Deleted::count(&self.expired)
    }
}

impl Plan {
    pub(super) fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.cleanup_since.is_none()
    }

    pub(super) fn write(&self, change: &Change<'_>) -> Result<CommitSummary, StoreError> {
        let mut summary = CommitSummary::default();
        for StartPlan { start, acked_by_all, unsaved_acks, expire_before_us } in &self.starts {
            for seqs in acked_by_all.iter() {
                summary.acked += change.delete_batches(*start, seqs)?;
            }
            unsaved_acks.iter().try_for_each(|(link, acked)| change.replace_acks(link, *start, acked))?;
            if let Some(before_us) = expire_before_us {
                summary.expired.extend(change.delete_before(*start, *before_us, MAX_EXPIRED_ROWS)?);
            }
        }
        if !self.batches.is_empty() {
            let start = change.start_id(&self.start)?;
            // Makes room after each step, so that the file does not grow by rows that are deleted again.
            for batches in self.batches.chunks(ROWS_PER_STEP) {
                for batch in batches {
                    summary.added += change.insert_batch(start, &Row::from_batch(batch))?;
                }
                self.make_room(change, &mut summary.lost)?;
            }
            summary.start = Some(start);
            summary.written = self.batches.iter().map(|batch| batch.values.len() as u64).sum();
        }
        if let Some(zero_us) = self.start.zero_us.filter(|_| !self.is_dated) {
            change.set_zero(&self.start.machine_boot, zero_us)?;
        }
        summary.deleted_starts = change.delete_empty_starts()?;
        Ok(summary)
    }

    /// Deletes the oldest readings while the file is too large, and adds them to `lost`.
    fn make_room(&self, change: &Change<'_>, lost: &mut Vec<Deleted>) -> Result<(), StoreError> {
        while change.used_bytes()? > self.max_size {
            let oldest = change.delete_oldest(ROWS_PER_STEP)?;
            if oldest.is_empty() {
                break;
            }
            lost.extend(oldest);
        }
        Ok(())
    }
}
