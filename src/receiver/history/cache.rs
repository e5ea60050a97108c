//! Which readings the history has, cached in memory, so that only new ones are written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::ReceivedReadings;
use super::aggregates::Changes;
use super::clock_offset::ClockOffset;
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::store::StoreError;
use crate::wire::Batch;

/// Limits on what the network can put into memory: series, and ranges of numbers per start.
const MAX_SERIES: usize = 10_000;
const MAX_RANGES: usize = 10_000;

/// Limits of the cache: starts, and ranges of numbers of all starts. A full cache is cleared and filled again from the
/// file.
const MAX_CACHED_STARTS: usize = 10_000;
const MAX_CACHED_RANGES: usize = 100_000;

/// The column `dated`, the clock that a reading's time comes from: the agent's, synchronised; this machine's; the
/// agent's, unsynchronised, with unknown age.
const BY_AGENT: i64 = 0;
const BY_RECEIVER: i64 = 1;
const UNSYNCHRONISED: i64 = 2;

const INSERT: &str =
    "INSERT OR IGNORE INTO readings(series, at_us, start, seq, value, dated) VALUES (?, ?, ?, ?, ?, ?)";

/// The part of the tables that was needed so far.
pub(super) struct Cache {
    /// By agent and boot.
    starts: HashMap<(Name, Name), Start>,
    /// The number of ranges of all starts.
    ranges: usize,
    /// All series.
    series: HashMap<Series, i64>,
    /// Starts with new numbers in this transaction.
    added: Vec<(Name, Name)>,
    /// New values in this transaction, by minute.
    changes: Changes,
}

struct Start {
    id: i64,
    /// Numbers that are stored or were refused.
    kept: Ranges,
    /// New numbers in this transaction.
    added: Ranges,
    offset: ClockOffset,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Series {
    agent: Name,
    port: Name,
    quantity: Arc<str>,
    unit: Arc<str>,
}

/// Readings `first` to `last` are stored or were refused, so the agent need not send them again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ack {
    pub(super) link: usize,
    /// The agent's routing id on the link; empty where there is one agent.
    pub peer: Bytes,
    /// The agent's boot.
    pub boot: Name,
    /// Number of the first reading.
    pub first: u64,
    /// Number of the last reading.
    pub last: u64,
}

impl Cache {
    pub(super) fn load(connection: &Connection) -> Result<Cache, StoreError> {
        let (series, changes) = (all_series(connection)?, Changes::default());
        Ok(Cache { starts: HashMap::new(), ranges: 0, series, added: Vec::new(), changes })
    }

    /// Clears the starts; they are read again when needed.
    pub(super) fn clear_starts(&mut self) {
        self.starts.clear();
        self.ranges = 0;
    }

    pub(super) fn is_full(&self) -> bool {
        self.starts.len() >= MAX_CACHED_STARTS || self.ranges >= MAX_CACHED_RANGES
    }

    /// Updates clock offsets from a group of messages, before any of its readings is dated.
    pub(super) fn compare_clocks(
        &mut self,
        transaction: &Transaction<'_>,
        group: &[ReceivedReadings],
    ) -> Result<(), StoreError> {
        let is_unsynchronised = |batch: &&Batch| !batch.synchronised && batch.age_ms.is_some();
        for message in group {
            for batch in message.readings.batches.iter().filter(is_unsynchronised) {
                let (start, estimate_us) =
                    (self.start(transaction, message)?, offset_estimate_us(batch, message.at_us));
                let before = start.offset.us();
                if let Some(estimate_us) = estimate_us {
                    start.offset.add_estimate(estimate_us, message.at_us);
                }
                if start.offset.us() != before {
                    let update = "UPDATE starts SET ahead_us = ? WHERE id = ?";
                    transaction.prepare_cached(update)?.execute((start.offset.us(), start.id))?;
                }
            }
        }
        Ok(())
    }

    /// The start that a message belongs to.
    fn start(&mut self, transaction: &Transaction<'_>, message: &ReceivedReadings) -> Result<&mut Start, StoreError> {
        let key = message.start();
        if !self.starts.contains_key(&key) {
            let start = Start::load(transaction, &key)?;
            self.ranges += start.kept.pieces();
            self.starts.insert(key.clone(), start);
        }
        Ok(self.starts.get_mut(&key).expect("it was just inserted"))
    }

    /// Writes a message's new readings; returns how many were refused.
    pub(super) fn write(
        &mut self,
        transaction: &Transaction<'_>,
        message: &ReceivedReadings,
    ) -> Result<u64, StoreError> {
        let (agent, key) = (&message.readings.agent, message.start());
        self.start(transaction, message)?;
        let start = self.starts.get_mut(&key).expect("it was just inserted");
        let (ranges, had_added) = (start.kept.pieces(), start.added.pieces() > 0);
        let mut insert = transaction.prepare_cached(INSERT)?;
        let mut refused = 0;
        for batch in &message.readings.batches {
            let date = start.date(batch);
            for (index, value) in batch.values.iter().enumerate() {
                let seq = batch.seq.checked_add(index as u64).filter(|seq| i64::try_from(*seq).is_ok());
                let Some(seq) = seq.filter(|seq| start.has_room(*seq)) else {
                    refused += 1;
                    continue;
                };
                if start.kept.around(seq).is_some() {
                    continue;
                }
                let (port, quantity, unit) = (batch.port.clone(), value.quantity.clone(), value.unit.clone());
                let series = Series { agent: agent.clone(), port, quantity, unit };
                let series = if date.is_some() { series_id(&mut self.series, transaction, series)? } else { None };
                if let Some((series, (at_us, dated))) = series.zip(date) {
                    if insert.execute((series, at_us, start.id, seq as i64, value.value, dated))? > 0 {
                        self.changes.add(series, at_us, value.value);
                    }
                } else {
                    refused += 1;
                }
                // A refused number counts as stored: it would be refused again, and it would leave a gap.
                start.kept.insert(SeqRange::new(seq, seq));
                start.added.insert(SeqRange::new(seq, seq));
            }
        }
        self.ranges = (self.ranges + start.kept.pieces()).saturating_sub(ranges);
        if !had_added && start.added.pieces() > 0 {
            self.added.push(key);
        }
        Ok(refused)
    }

    /// Writes minutes, hours and the stored numbers of all written messages.
    pub(super) fn finish(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.changes.write(transaction)?;
        self.write_ranges(transaction)
    }

    fn write_ranges(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let mut delete = transaction.prepare_cached("DELETE FROM kept WHERE start = ? AND first BETWEEN ? AND ?")?;
        let mut insert = transaction.prepare_cached("INSERT INTO kept(start, first, last) VALUES (?, ?, ?)")?;
        for key in self.added.drain(..) {
            let Some(start) = self.starts.get_mut(&key) else { continue };
            let added = std::mem::take(&mut start.added);
            let merged: BTreeSet<_> = added.iter().filter_map(|added| start.kept.around(added.first)).collect();
            for SeqRange { first, last } in merged {
                let (first, last) = (first as i64, last as i64);
                delete.execute((start.id, first, last))?;
                insert.execute((start.id, first, last))?;
            }
        }
        Ok(())
    }

    /// Adds the acknowledgements of a message. They name whole ranges, so the next one makes up for a lost one.
    pub(super) fn acknowledge(&self, message: &ReceivedReadings, acks: &mut BTreeSet<Ack>) {
        let Some((from, start)) = message.from.as_ref().zip(self.starts.get(&message.start())) else { return };
        for batch in &message.readings.batches {
            let last_of_batch = batch.seq.saturating_add((batch.values.len() as u64).saturating_sub(1));
            let last_of_batch = last_of_batch.min(i64::MAX as u64);
            let mut next = Some(batch.seq).filter(|_| !batch.values.is_empty());
            while let Some(seq) = next.filter(|seq| *seq <= last_of_batch) {
                // Unknown numbers were refused because they would open too many gaps.
                let refused = || (seq..=last_of_batch).take_while(|seq| start.kept.around(*seq).is_none()).last();
                let around = start.kept.around(seq);
                let SeqRange { first, last } = around.unwrap_or_else(|| SeqRange::new(seq, refused().unwrap_or(seq)));
                let (link, peer, boot) = (from.link, from.name.clone(), message.readings.boot.clone());
                acks.insert(Ack { link, peer, boot, first, last });
                next = last.checked_add(1);
            }
        }
    }
}

fn all_series(connection: &Connection) -> Result<HashMap<Series, i64>, StoreError> {
    let mut select = connection.prepare("SELECT agent, port, quantity, unit, id FROM series")?;
    let rows = select.query_map([], |row| {
        let name = |index| row.get::<_, String>(index).map(Name::try_from);
        Ok((name(0)?, name(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    })?;
    let mut all = HashMap::new();
    for row in rows {
        let (agent, port, quantity, unit, id) = row?;
        let (Ok(agent), Ok(port)) = (agent, port) else {
            return Err(StoreError::Damaged("a series without a name".to_owned()));
        };
        all.insert(Series { agent, port, quantity, unit }, id);
    }
    Ok(all)
}

impl Start {
    fn load(transaction: &Transaction<'_>, (agent, boot): &(Name, Name)) -> Result<Start, StoreError> {
        let mut find = transaction.prepare_cached("SELECT id, ahead_us FROM starts WHERE agent = ? AND boot = ?")?;
        let found = find.query_row((&**agent, &**boot), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let mut start =
            Start { id: 0, kept: Ranges::default(), added: Ranges::default(), offset: ClockOffset::default() };
        let Some((id, ahead_us)) = found else {
            let mut insert = transaction.prepare_cached("INSERT INTO starts(agent, boot) VALUES (?, ?)")?;
            start.id = insert.insert((&**agent, &**boot))?;
            return Ok(start);
        };
        (start.id, start.offset) = (id, ClockOffset::known(ahead_us));
        let mut select = transaction.prepare_cached("SELECT first, last FROM kept WHERE start = ?")?;
        for row in select.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))? {
            let (first, last) = row?;
            let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last)) else {
                return Err(StoreError::Damaged("a range of numbers below 0".to_owned()));
            };
            start.kept.insert(SeqRange::new(first, last));
        }
        Ok(start)
    }

    /// When a batch was captured, in microseconds since 1970, and the clock of that time. `None` on overflow.
    fn date(&mut self, batch: &Batch) -> Option<(i64, i64)> {
        match batch.age_ms {
            _ if batch.synchronised => Some((batch.captured_at_us, BY_AGENT)),
            Some(_) => Some((self.offset.date(batch.captured_at_us)?, BY_RECEIVER)),
            None => Some((batch.captured_at_us, UNSYNCHRONISED)),
        }
    }

    /// Whether adding a number stays within the limit of ranges.
    fn has_room(&self, seq: u64) -> bool {
        let near = [seq.checked_sub(1), Some(seq), seq.checked_add(1)];
        let touches = || near.into_iter().flatten().any(|n| self.kept.around(n).is_some());
        self.kept.pieces() < MAX_RANGES || touches()
    }
}

/// Estimates how far this machine's clock is ahead of the agent's, from a batch that arrived at `arrived_us`.
fn offset_estimate_us(batch: &Batch, arrived_us: i64) -> Option<i64> {
    let age_us = i64::try_from(batch.age_ms?).ok()?.checked_mul(1_000)?;
    arrived_us.checked_sub(age_us)?.checked_sub(batch.captured_at_us)
}

/// Returns a series' number, and adds the series if there is room.
fn series_id(
    all: &mut HashMap<Series, i64>,
    transaction: &Transaction<'_>,
    series: Series,
) -> Result<Option<i64>, StoreError> {
    if let Some(id) = all.get(&series) {
        return Ok(Some(*id));
    }
    if all.len() >= MAX_SERIES {
        return Ok(None);
    }
    let Series { agent, port, quantity, unit } = &series;
    let mut insert =
        transaction.prepare_cached("INSERT INTO series(agent, port, quantity, unit) VALUES (?, ?, ?, ?)")?;
    let id = insert.insert((&**agent, &**port, &**quantity, &**unit))?;
    all.insert(series, id);
    Ok(Some(id))
}
