//! Readings in memory that are not on the disk yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reading::Batch;

/// How long batches wait before they are written. With the time to write, a batch is on the disk within a second.
/// Readings that are acknowledged sooner are never written, and batches that arrive together share a commit.
const COMMIT_DELAY: Duration = Duration::from_millis(500);

/// Above this many bytes, by estimate, batches are written at once.
const EARLY_COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The memory limit, by estimate, while the disk accepts nothing. Beyond it the oldest batches are dropped.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Batches of the current agent start, in order, each with its time of arrival.
#[derive(Debug, Default)]
pub(super) struct Pending {
    batches: VecDeque<(Instant, Arc<Batch>)>,
    bytes: usize,
    readings: u64,
    last_seq: u64,
}

impl Pending {
    /// Adds a batch; returns true if the time of the next commit changed.
    pub(super) fn push(&mut self, batch: Arc<Batch>) -> bool {
        let was_large = self.is_large();
        self.last_seq = batch.last_seq();
        self.bytes += memory_size(&batch);
        self.readings += batch.values.len() as u64;
        self.batches.push_back((Instant::now(), batch));
        self.batches.len() == 1 || self.is_large() && !was_large
    }

    /// Removes the oldest batch if `is_done` is true for it.
    pub(super) fn pop_if(&mut self, is_done: impl FnOnce(&Batch) -> bool) -> Option<Arc<Batch>> {
        let (_, batch) = self.batches.pop_front_if(|(_, batch)| is_done(batch))?;
        self.bytes -= memory_size(&batch);
        self.readings -= batch.values.len() as u64;
        Some(batch)
    }

    /// Removes the oldest batch if memory is full.
    pub(super) fn pop_excess(&mut self) -> Option<Arc<Batch>> {
        let is_full = self.bytes > MAX_BYTES;
        self.pop_if(|_| is_full)
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Arc<Batch>> {
        self.batches.iter().map(|(_, batch)| batch)
    }

    /// The number of the newest reading, whether it is still in memory or not.
    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The number of readings.
    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    /// When the next commit is due, with a cleanup of the file that has waited since `cleanup_since`.
    pub(super) fn commit_due(&self, cleanup_since: Option<Instant>) -> Option<Instant> {
        let oldest = self.batches.front().map(|(arrived, _)| *arrived);
        if self.is_large() {
            return oldest;
        }
        oldest.into_iter().chain(cleanup_since).min().map(|since| since + COMMIT_DELAY)
    }

    fn is_large(&self) -> bool {
        self.bytes > EARLY_COMMIT_BYTES
    }
}

/// The approximate memory of a batch, in bytes.
fn memory_size(batch: &Batch) -> usize {
    192 + 32 * batch.values.len()
}
