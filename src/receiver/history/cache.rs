//! Which readings the history has, cached in memory, so that only new ones are written.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Statement, Transaction};

use super::ReceivedReadings;
use super::aggregates::Changes;
use super::clock_offset::ClockOffset;
use super::label::Label;
use super::series_index::{Place, SeriesIndex, SeriesLimits};
use super::unconfirmed::Row;
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::store::StoreError;
use crate::wire::{Batch, Control, Limit};

/// Limit on what the network can put into memory: ranges of numbers per start.
pub(super) const MAX_RANGES: usize = 10_000;

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
    series: SeriesIndex,
    /// Starts with new numbers in this transaction.
    added: Vec<(Name, Name)>,
    /// New values in this transaction, by minute.
    changes: Changes,
}

struct Start {
    id: i64,
    /// Numbers that are stored, including those of labels that are not confirmed.
    kept: Ranges,
    /// New numbers in this transaction.
    added: Ranges,
    offset: ClockOffset,
}

/// The answer to a peer about the readings `first` to `last`: the history stored them, or a limit forbids it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    pub(super) link: usize,
    /// The agent's routing id on the link; empty where there is one agent.
    pub peer: Bytes,
    /// The agent's boot.
    boot: Name,
    first: u64,
    last: u64,
    refused: Option<Limit>,
}

impl Answer {
    /// Returns the message to the agent.
    #[must_use]
    pub fn control(&self) -> Control {
        let (boot, first, seq) = (self.boot.clone(), self.first, self.last);
        match self.refused {
            None => Control::Ack { boot, first, seq },
            Some(cause) => Control::Refused { boot, first, seq, cause },
        }
    }
}

/// The readings of a message that were refused, and the limits.
#[derive(Default)]
pub(super) struct Refusals(Vec<(SeqRange, Limit)>);

impl Refusals {
    fn add(&mut self, seq: u64, limit: Limit) {
        match self.0.last_mut() {
            Some((range, last_limit)) if range.last + 1 == seq && *last_limit == limit => range.last = seq,
            _ => self.0.push((SeqRange::new(seq, seq), limit)),
        }
    }

    /// The number of readings refused because of each limit.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        self.0.iter().map(|(range, limit)| (*limit, range.last - range.first + 1))
    }
}

impl Cache {
    pub(super) fn load(connection: &Connection, limits: SeriesLimits) -> Result<Cache, StoreError> {
        let (series, changes) = (SeriesIndex::load(connection, limits)?, Changes::default());
        Ok(Cache { starts: HashMap::new(), ranges: 0, series, added: Vec::new(), changes })
    }

    /// Clears everything, because the tables were changed.
    pub(super) fn clear(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.clear_starts();
        self.series.clear(connection)
    }

    pub(super) fn series(&mut self) -> &mut SeriesIndex {
        &mut self.series
    }

    /// Clears the starts; they are read again when needed.
    pub(super) fn clear_starts(&mut self) {
        self.starts.clear();
        self.ranges = 0;
    }

    fn is_full(&self) -> bool {
        self.starts.len() >= MAX_CACHED_STARTS || self.ranges >= MAX_CACHED_RANGES
    }

    /// Loads the starts of a group's messages, or of the first ones until the cache is full; returns these messages.
    pub(super) fn load_starts<'a>(
        &mut self,
        transaction: &Transaction<'_>,
        group: &'a [ReceivedReadings],
    ) -> Result<&'a [ReceivedReadings], StoreError> {
        if self.is_full() {
            self.clear_starts();
        }
        for (index, message) in group.iter().enumerate() {
            // A start without readings needs no row.
            if !message.is_empty() {
                self.load_start(transaction, message.start())?;
            }
            if self.is_full() {
                return Ok(&group[..=index]);
            }
        }
        Ok(group)
    }

    /// Updates clock offsets from messages whose starts are loaded, before any of their readings is dated.
    pub(super) fn compare_clocks(
        &mut self,
        transaction: &Transaction<'_>,
        group: &[ReceivedReadings],
    ) -> Result<(), StoreError> {
        let is_unsynchronised = |batch: &&Batch| !batch.synchronised && batch.age_ms.is_some();
        for message in group {
            let Some(start) = self.starts.get_mut(&message.start()) else { continue };
            for batch in message.readings.batches.iter().filter(is_unsynchronised) {
                let estimate_us = offset_estimate_us(batch, message.at_us);
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

    fn load_start(&mut self, transaction: &Transaction<'_>, key: (Name, Name)) -> Result<(), StoreError> {
        if !self.starts.contains_key(&key) {
            let start = Start::load(transaction, &key)?;
            self.ranges += start.kept.pieces();
            self.starts.insert(key, start);
        }
        Ok(())
    }

    /// Writes the new readings of a message whose start is loaded; returns those that were refused.
    pub(super) fn write(
        &mut self,
        transaction: &Transaction<'_>,
        message: &ReceivedReadings,
    ) -> Result<Refusals, StoreError> {
        let key = message.start();
        let Cache { starts, series, changes, .. } = self;
        let Some(start) = starts.get_mut(&key) else { return Ok(Refusals::default()) };
        let (ranges, had_added) = (start.kept.pieces(), start.added.pieces() > 0);
        let mut statement = transaction.prepare_cached(INSERT)?;
        let mut refusals = Refusals::default();
        for batch in &message.readings.batches {
            let (at_us, dated) = start.date(batch);
            for (seq, value) in (batch.seq..).zip(&batch.values) {
                if start.kept.around(seq).is_some() {
                    continue;
                }
                if !start.has_room(seq) {
                    refusals.add(seq, Limit::GapLimit);
                    continue;
                }
                let (agent, port) = (message.readings.agent.clone(), batch.port.clone());
                let label = Label { agent, port, quantity: value.quantity.clone(), unit: value.unit.clone() };
                let row = Row { at_us, start: start.id, seq: seq as i64, value: value.value, dated };
                match series.place(transaction, label, &row, message.at_us)? {
                    Place::Refused(limit) => {
                        refusals.add(seq, limit);
                        continue;
                    }
                    Place::Unconfirmed => {}
                    Place::Series(series, first) => {
                        for row in first.iter().chain([&row]) {
                            insert(&mut statement, changes, series, row)?;
                        }
                    }
                }
                start.kept.insert(SeqRange::new(seq, seq));
                start.added.insert(SeqRange::new(seq, seq));
            }
        }
        self.ranges = (self.ranges + start.kept.pieces()).saturating_sub(ranges);
        if !had_added && start.added.pieces() > 0 {
            self.added.push(key);
        }
        Ok(refusals)
    }

    /// Writes minutes, hours and the stored numbers of all written messages.
    pub(super) fn finish(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.changes.write(transaction)?;
        self.series.unconfirmed().trim(transaction)?;
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

    /// Adds the answers to a message, in the order of their numbers. Acknowledgements name whole ranges, so the next one
    /// makes up for a lost one.
    pub(super) fn answer(&self, message: &ReceivedReadings, refusals: &Refusals, answers: &mut BTreeSet<Answer>) {
        let Some((from, start)) = message.from.as_ref().zip(self.starts.get(&message.start())) else { return };
        let mut add = |SeqRange { first, last }, refused| {
            let (link, peer, boot) = (from.link, from.name.clone(), message.readings.boot.clone());
            answers.insert(Answer { link, peer, boot, first, last, refused });
        };
        for batch in message.readings.batches.iter().filter(|batch| !batch.values.is_empty()) {
            let last = batch.seq + batch.values.len() as u64 - 1;
            let mut next = batch.seq;
            while next <= last {
                let kept = start.kept.around(next);
                if let Some(range) = kept {
                    add(range, None);
                }
                next = kept.map_or(next, |range| range.last) + 1;
            }
        }
        for (range, limit) in &refusals.0 {
            add(*range, Some(*limit));
        }
    }
}

/// Stores a reading.
fn insert(statement: &mut Statement<'_>, changes: &mut Changes, series: i64, row: &Row) -> Result<(), StoreError> {
    let Row { at_us, start, seq, value, dated } = *row;
    if statement.execute((series, at_us, start, seq, value, dated))? > 0 {
        changes.add(series, at_us, value);
    }
    Ok(())
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

    /// When a batch was captured, in microseconds since 1970, and the clock of that time.
    fn date(&mut self, batch: &Batch) -> (i64, i64) {
        match batch.age_ms {
            _ if batch.synchronised => (batch.captured_at_us, BY_AGENT),
            Some(_) => (self.offset.date(batch.captured_at_us), BY_RECEIVER),
            None => (batch.captured_at_us, UNSYNCHRONISED),
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
