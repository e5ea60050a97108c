//! A batch as the file stores it, and how it is sent later.

use std::sync::Arc;

use crate::clock::{Date, Stamp, WallClock};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::reading;
use crate::wire::{Batch, Value};

/// A stored batch of readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub(super) seq: u64,
    pub(super) port: Name,
    /// The time of capture by the wall clock, which was `synchronised` or not.
    pub(super) unix_us: i64,
    pub(super) synchronised: bool,
    /// The time of capture by the monotonic clock of the machine's boot.
    pub(super) monotonic_us: i64,
    pub(super) stale_after_ms: u64,
    pub(super) values: Vec<Value>,
}

/// A start of the agent. Each start numbers its readings from 1; each boot of the machine has its own monotonic clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The id of the start on the wire.
    pub(super) boot: Name,
    /// The kernel's id of the machine's boot.
    pub(super) machine_boot: String,
    /// The time when that clock was zero, in microseconds since 1970, from a synchronised wall clock.
    pub(super) zero_us: Option<i64>,
}

/// A link's acknowledgement as the file stores it.
pub(super) struct AckRow {
    /// The link's address.
    pub(super) link: String,
    /// The id of the agent start in the file.
    pub(super) start: i64,
    pub(super) seqs: SeqRange,
}

/// The smallest change of `zero_us` that is written: a synchronised clock is adjusted by small amounts all the time.
const MIN_ZERO_CHANGE_US: u64 = 100_000;

impl Start {
    /// Whether its readings have the same dates by the clock of `other`.
    pub(super) fn has_same_dates_as(&self, other: &Start) -> bool {
        match (self.zero_us, other.zero_us) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(this), Some(other)) => this.abs_diff(other) < MIN_ZERO_CHANGE_US,
        }
    }

    /// The current time of its monotonic clock, as if the machine had never rebooted. `None` if the time since is
    /// unknown.
    pub(super) fn monotonic_now_us(&self, machine_boot: &str, clock: &WallClock) -> Option<i64> {
        let now = Stamp::now();
        if self.machine_boot == machine_boot {
            return Some(now.monotonic().as_micros() as i64);
        }
        self.zero_us.filter(|_| clock.is_synchronised()).map(|zero| now.unix_us().saturating_sub(zero))
    }
}

impl Row {
    pub(super) fn from_batch(batch: &reading::Batch) -> Row {
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

    /// The approximate size on the wire, in bytes, at most.
    pub(super) fn wire_size(&self) -> usize {
        256 + self.values.iter().map(|value| 64 + value.quantity.len() + value.unit.len()).sum::<usize>()
    }

    /// The batch as it is sent now. `is_this_boot`: the machine has not rebooted since `start`. `synchronised`: the
    /// wall clock is right now.
    pub(super) fn to_wire(&self, start: &Start, is_this_boot: bool, synchronised: bool) -> Batch {
        let now = Stamp::now();
        let date = Date::of(self.unix_us, self.synchronised, self.monotonic_us, start.zero_us);
        let since_us = if is_this_boot {
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
