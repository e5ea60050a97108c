//! What is in the history's tables, as far as it is needed to say what is new, and how that is written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::ReceivedReadings;
use super::aggregates::Changes;
use super::clock_offset::ClockOffset;
use crate::name::Name;
use crate::ranges::Ranges;
use crate::store::StoreError;
use crate::wire::Batch;

/// What comes from a network must not fill memory: series in all, pieces of one start's ranges.
const MOST_SERIES: usize = 10_000;
const MOST_PIECES: usize = 10_000;

/// Starts that are remembered, and pieces of the ranges of all of them; with more all are forgotten, and read again when they
/// are needed.
const REMEMBERED_STARTS: usize = 10_000;
const REMEMBERED_PIECES: usize = 100_000;

/// By whose clock a reading's time is: the agent's, which was set by another one; this machine's; the agent's, which nobody
/// had set, and how long ago that was is not known.
const BY_AGENT: i64 = 0;
const BY_RECEIVER: i64 = 1;
const BY_NOBODY: i64 = 2;

const INSERT: &str =
    "INSERT OR IGNORE INTO readings(series, at_us, start, seq, value, dated) VALUES (?, ?, ?, ?, ?, ?)";

/// What is in the tables, as far as it was needed.
pub(super) struct Cache {
    /// By agent and boot.
    starts: HashMap<(Name, Name), Start>,
    /// Of all their ranges.
    pieces: usize,
    /// All there are.
    series: HashMap<Series, i64>,
    /// Starts with additions.
    added: Vec<(Name, Name)>,
    /// What is new in this transaction, by minutes.
    changes: Changes,
}

struct Start {
    id: i64,
    /// Numbers that are there, and those of readings that were refused.
    kept: Ranges,
    /// Those that are new in this transaction.
    added: Ranges,
    ahead: ClockOffset,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Series {
    agent: Name,
    port: Name,
    quantity: Arc<str>,
    unit: Arc<str>,
}

/// Readings from `first` to `last` are there, or will never be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ack {
    pub(super) link: usize,
    /// As in the messages of its link.
    pub peer: Bytes,
    /// Of the agent.
    pub boot: Name,
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
}

impl Cache {
    pub(super) fn of(connection: &Connection) -> Result<Cache, StoreError> {
        let (series, changes) = (all_series(connection)?, Changes::default());
        Ok(Cache { starts: HashMap::new(), pieces: 0, series, added: Vec::new(), changes })
    }

    /// They are read again when they are needed.
    pub(super) fn forget_starts(&mut self) {
        self.starts.clear();
        self.pieces = 0;
    }

    pub(super) fn is_full(&self) -> bool {
        self.starts.len() >= REMEMBERED_STARTS || self.pieces >= REMEMBERED_PIECES
    }

    /// Takes in what messages that come together tell of an agent's clock, before any of them is dated.
    pub(super) fn compare_clocks(
        &mut self,
        transaction: &Transaction<'_>,
        group: &[ReceivedReadings],
    ) -> Result<(), StoreError> {
        let is_unset = |batch: &&Batch| !batch.synchronised && batch.age_ms.is_some();
        for came in group {
            for batch in came.readings.batches.iter().filter(is_unset) {
                let (start, seems_us) = (self.start(transaction, came)?, seems_ahead_us(batch, came.at_us));
                let before = start.ahead.us();
                if let Some(seems_us) = seems_us {
                    start.ahead.seems(seems_us, came.at_us);
                }
                if start.ahead.us() != before {
                    let update = "UPDATE starts SET ahead_us = ? WHERE id = ?";
                    transaction.prepare_cached(update)?.execute((start.ahead.us(), start.id))?;
                }
            }
        }
        Ok(())
    }

    /// The start that a message is of.
    fn start(&mut self, transaction: &Transaction<'_>, came: &ReceivedReadings) -> Result<&mut Start, StoreError> {
        let key = came.start();
        if !self.starts.contains_key(&key) {
            let start = Start::load(transaction, &key)?;
            self.pieces += start.kept.pieces();
            self.starts.insert(key.clone(), start);
        }
        Ok(self.starts.get_mut(&key).expect("it was just put there"))
    }

    /// Writes what is new of a message; gives how many readings are refused.
    pub(super) fn put(&mut self, transaction: &Transaction<'_>, came: &ReceivedReadings) -> Result<u64, StoreError> {
        let (agent, key) = (&came.readings.agent, came.start());
        self.start(transaction, came)?;
        let start = self.starts.get_mut(&key).expect("it was just put there");
        let (pieces, had_added) = (start.kept.pieces(), start.added.pieces() > 0);
        let mut insert = transaction.prepare_cached(INSERT)?;
        let mut refused = 0;
        for batch in &came.readings.batches {
            let date = start.date(batch);
            for (place, value) in batch.values.iter().enumerate() {
                let seq = batch.seq.checked_add(place as u64).filter(|seq| i64::try_from(*seq).is_ok());
                let Some(seq) = seq.filter(|seq| start.has_room(*seq)) else {
                    refused += 1;
                    continue;
                };
                if start.kept.around(seq).is_some() {
                    continue;
                }
                let (port, quantity, unit) = (batch.port.clone(), value.quantity.clone(), value.unit.clone());
                let series = Series { agent: agent.clone(), port, quantity, unit };
                let series = if date.is_some() { id(&mut self.series, transaction, series)? } else { None };
                if let Some((series, (at_us, dated))) = series.zip(date) {
                    if insert.execute((series, at_us, start.id, seq as i64, value.value, dated))? > 0 {
                        self.changes.add(series, at_us, value.value);
                    }
                } else {
                    refused += 1;
                }
                // It would be refused again, too, and between others it would be a gap.
                start.kept.insert(seq, seq);
                start.added.insert(seq, seq);
            }
        }
        self.pieces = (self.pieces + start.kept.pieces()).saturating_sub(pieces);
        if !had_added && start.added.pieces() > 0 {
            self.added.push(key);
        }
        Ok(refused)
    }

    /// Writes what else is to be said of all that was put: by minutes and hours, and which numbers are there.
    pub(super) fn finish(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.changes.write(transaction)?;
        self.note_ranges(transaction)
    }

    fn note_ranges(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let mut delete = transaction.prepare_cached("DELETE FROM kept WHERE start = ? AND first BETWEEN ? AND ?")?;
        let mut insert = transaction.prepare_cached("INSERT INTO kept(start, first, last) VALUES (?, ?, ?)")?;
        for key in self.added.drain(..) {
            let Some(start) = self.starts.get_mut(&key) else { continue };
            let added = std::mem::take(&mut start.added);
            let whole: BTreeSet<_> = added.iter().filter_map(|(first, _)| start.kept.around(first)).collect();
            for (first, last) in whole {
                let (first, last) = (first as i64, last as i64);
                delete.execute((start.id, first, last))?;
                insert.execute((start.id, first, last))?;
            }
        }
        Ok(())
    }

    /// What is there of a message, in whole ranges: an ack that was lost is made good by the next.
    pub(super) fn acknowledge(&self, came: &ReceivedReadings, acks: &mut BTreeSet<Ack>) {
        let Some((from, start)) = came.from.as_ref().zip(self.starts.get(&came.start())) else { return };
        for batch in &came.readings.batches {
            let last_of_batch = batch.seq.saturating_add((batch.values.len() as u64).saturating_sub(1));
            let last_of_batch = last_of_batch.min(i64::MAX as u64);
            let mut next = Some(batch.seq).filter(|_| !batch.values.is_empty());
            while let Some(seq) = next.filter(|seq| *seq <= last_of_batch) {
                // What is not there was refused for the gap that it makes, and there is no room to remember that.
                let refused = || (seq..=last_of_batch).take_while(|seq| start.kept.around(*seq).is_none()).last();
                let (first, last) = start.kept.around(seq).unwrap_or_else(|| (seq, refused().unwrap_or(seq)));
                let (link, peer, boot) = (from.link, from.name.clone(), came.readings.boot.clone());
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
            Start { id: 0, kept: Ranges::default(), added: Ranges::default(), ahead: ClockOffset::default() };
        let Some((id, ahead_us)) = found else {
            let mut insert = transaction.prepare_cached("INSERT INTO starts(agent, boot) VALUES (?, ?)")?;
            start.id = insert.insert((&**agent, &**boot))?;
            return Ok(start);
        };
        (start.id, start.ahead) = (id, ClockOffset::known(ahead_us));
        let mut select = transaction.prepare_cached("SELECT first, last FROM kept WHERE start = ?")?;
        for row in select.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))? {
            let (first, last) = row?;
            let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last)) else {
                return Err(StoreError::Damaged("a range of numbers below 0".to_owned()));
            };
            start.kept.insert(first, last);
        }
        Ok(start)
    }

    /// When a batch was captured, in microseconds since 1970, and by whose clock. None: no number that a column holds.
    fn date(&mut self, batch: &Batch) -> Option<(i64, i64)> {
        match batch.age_ms {
            _ if batch.synchronised => Some((batch.captured_at_us, BY_AGENT)),
            Some(_) => Some((self.ahead.date(batch.captured_at_us)?, BY_RECEIVER)),
            None => Some((batch.captured_at_us, BY_NOBODY)),
        }
    }

    /// Whether one more number makes no more pieces than there may be.
    fn has_room(&self, seq: u64) -> bool {
        let near = [seq.checked_sub(1), Some(seq), seq.checked_add(1)];
        let touches = || near.into_iter().flatten().any(|n| self.kept.around(n).is_some());
        self.kept.pieces() < MOST_PIECES || touches()
    }
}

/// By how much this machine's clock is ahead of the agent's, if a batch that came at `came_us` took no time on its way.
fn seems_ahead_us(batch: &Batch, came_us: i64) -> Option<i64> {
    let age_us = i64::try_from(batch.age_ms?).ok()?.checked_mul(1_000)?;
    came_us.checked_sub(age_us)?.checked_sub(batch.captured_at_us)
}

/// The number of a series, which is made if there is room.
fn id(
    all: &mut HashMap<Series, i64>,
    transaction: &Transaction<'_>,
    series: Series,
) -> Result<Option<i64>, StoreError> {
    if let Some(id) = all.get(&series) {
        return Ok(Some(*id));
    }
    if all.len() >= MOST_SERIES {
        return Ok(None);
    }
    let Series { agent, port, quantity, unit } = &series;
    let mut insert =
        transaction.prepare_cached("INSERT INTO series(agent, port, quantity, unit) VALUES (?, ?, ?, ?)")?;
    let id = insert.insert((&**agent, &**port, &**quantity, &**unit))?;
    all.insert(series, id);
    Ok(Some(id))
}
