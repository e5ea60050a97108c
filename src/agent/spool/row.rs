//! A batch as it is kept, and as it is sent once it has waited.

use std::sync::Arc;

use crate::clock::{Date, Stamp, WallClock};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::reading;
use crate::wire::{Batch, Value};

/// One batch of readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub(super) seq: u64,
    pub(super) port: Name,
    /// By the wall clock, which was `synchronised` then or not.
    pub(super) unix_us: i64,
    pub(super) synchronised: bool,
    /// By the monotonic clock of the machine's boot.
    pub(super) monotonic_us: i64,
    pub(super) stale_after_ms: u64,
    pub(super) values: Vec<Value>,
}

/// A start of the agent, which numbers readings and whose machine's boot has a monotonic clock of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its identity on the wire.
    pub(super) boot: Name,
    /// The machine's boot, as the kernel calls it.
    pub(super) machine: String,
    /// When that clock showed zero, by a wall clock that was right: microseconds since 1970.
    pub(super) zero_us: Option<i64>,
}

/// A clock that is kept right moves all the time by a little; so much is worth writing it again.
const MOVED_US: u64 = 100_000;

impl Start {
    /// Its dates would be the same by the other's clock.
    pub(super) fn is_dated_as(&self, other: &Start) -> bool {
        match (self.zero_us, other.zero_us) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(this), Some(other)) => this.abs_diff(other) < MOVED_US,
        }
    }

    /// What its monotonic clock shows, or would, had its machine run on since; none when nobody knows how long ago it did.
    pub(super) fn clock_us(&self, machine: &str, clock: &WallClock) -> Option<i64> {
        let now = Stamp::now();
        if self.machine == machine {
            return Some(now.monotonic().as_micros() as i64);
        }
        self.zero_us.filter(|_| clock.is_synchronised()).map(|zero| now.unix_us().saturating_sub(zero))
    }
}

impl Row {
    pub(super) fn of(batch: &reading::Batch) -> Row {
        let values = batch.values.iter().map(|(quantity, value)| Value {
            quantity: Arc::clone(&quantity.name),
            value: *value,
            unit: Arc::clone(&quantity.unit),
        });
        Row {
            seq: batch.seq,
            port: batch.port.clone(),
            unix_us: batch.captured.unix_us(),
            synchronised: batch.synchronised,
            monotonic_us: batch.captured.monotonic().as_micros() as i64,
            stale_after_ms: batch.stale_after.as_millis() as u64,
            values: values.collect(),
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.seq + self.values.len() as u64 - 1
    }

    pub(super) fn seqs(&self) -> SeqRange {
        SeqRange::new(self.seq, self.last_seq())
    }

    /// At most about so many bytes it is on the wire.
    pub(super) fn length(&self) -> usize {
        256 + self.values.iter().map(|value| 64 + value.quantity.len() + value.unit.len()).sum::<usize>()
    }

    /// As it is sent now; `is_now` when the machine was not started anew since `start`, and `synchronised` when its clock
    /// is right now.
    pub(super) fn batch(&self, start: &Start, is_now: bool, synchronised: bool) -> Batch {
        let now = Stamp::now();
        let date = Date::of(self.unix_us, self.synchronised, self.monotonic_us, start.zero_us);
        let since_us = if is_now {
            Some(now.monotonic().as_micros() as i64 - self.monotonic_us)
        } else {
            (date.synchronised && synchronised).then(|| now.unix_us() - date.unix_us)
        };
        let age_ms = since_us.map(|us| us.max(0) as u64 / 1000);
        Batch {
            seq: self.seq,
            port: self.port.clone(),
            captured_at_us: date.unix_us,
            synchronised: date.synchronised,
            age_ms,
            stale_after_ms: self.stale_after_ms,
            stale: age_ms.is_none_or(|age| age > self.stale_after_ms),
            values: self.values.clone(),
        }
    }
}
