//! Count, sum, minimum and maximum per minute and per hour. Charts of months need no more, and they outlive the readings.

use std::collections::BTreeMap;

use rusqlite::Transaction;

use crate::store::StoreError;

/// The tables that version 1 lacks.
const SCHEMA: &str = include_str!("aggregates.sql");

/// Microseconds.
pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// Buckets in memory at once while a file of version 1 is upgraded.
const UPGRADE_BATCH: usize = 10_000;

/// A summary of several values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Number of values.
    pub(super) count: i64,
    /// Sum of the values, clamped to finite numbers, so that adding two sums never gives NaN.
    pub(super) sum: f64,
    /// The smallest value.
    pub(super) min: f64,
    /// The largest value.
    pub(super) max: f64,
}

impl Bucket {
    pub(super) fn new(value: f64) -> Bucket {
        Bucket { count: 1, sum: value, min: value, max: value }
    }

    pub(super) fn add(&mut self, other: &Bucket) {
        self.count = self.count.saturating_add(other.count);
        self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
    }

    /// The mean of the values.
    pub(super) fn mean(&self) -> f64 {
        (self.sum / self.count as f64).max(self.min).min(self.max)
    }
}

/// The start of the bucket of `step_us` microseconds that `at_us` falls into.
pub(super) fn bucket_start(at_us: i64, step_us: i64) -> i64 {
    at_us.saturating_sub(at_us.rem_euclid(step_us))
}

/// Additions to the tables in one transaction: each bucket is written once, however many readings it gets.
#[derive(Default)]
pub(super) struct Changes {
    /// By series and start.
    minutes: BTreeMap<(i64, i64), Bucket>,
}

impl Changes {
    pub(super) fn add(&mut self, series: i64, at_us: i64, value: f64) {
        add(&mut self.minutes, (series, bucket_start(at_us, MINUTE)), &Bucket::new(value));
    }

    pub(super) fn write(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let minutes = std::mem::take(&mut self.minutes);
        let mut hours = BTreeMap::new();
        for ((series, at_us), bucket) in &minutes {
            add(&mut hours, (*series, bucket_start(*at_us, HOUR)), bucket);
        }
        for (table, buckets) in [("minutes", minutes), ("hours", hours)] {
            let mut upsert = transaction.prepare_cached(&format!(
                "INSERT INTO {table}(series, at_us, count, sum, min, max) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET count = count + excluded.count, sum = sum + excluded.sum,
                     min = min(min, excluded.min), max = max(max, excluded.max)"
            ))?;
            for ((series, at_us), bucket) in buckets {
                upsert.execute((series, at_us, bucket.count, bucket.sum, bucket.min, bucket.max))?;
            }
        }
        Ok(())
    }
}

fn add(buckets: &mut BTreeMap<(i64, i64), Bucket>, key: (i64, i64), bucket: &Bucket) {
    buckets.entry(key).and_modify(|there| there.add(bucket)).or_insert(*bucket);
}

/// Creates the tables and fills them, for a file of version 1.
pub(super) fn create(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute_batch(SCHEMA)?;
    let mut select = transaction.prepare("SELECT series, at_us, value FROM readings ORDER BY series, at_us")?;
    let mut rows = select.query([])?;
    let mut changes = Changes::default();
    while let Some(row) = rows.next()? {
        changes.add(row.get(0)?, row.get(1)?, row.get(2)?);
        if changes.minutes.len() >= UPGRADE_BATCH {
            changes.write(transaction)?;
        }
    }
    changes.write(transaction)
}
