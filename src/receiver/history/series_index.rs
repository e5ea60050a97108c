//! Finds the series of a label, and adds new series within the limits. The table is the truth; memory holds the series that
//! were used lately, because a receiver may have a million.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::label::Label;
use super::unconfirmed::{Row, Unconfirmed};
use crate::name::Name;
use crate::quantity::is_built_in;
use crate::store::StoreError;
use crate::wire::Limit;

/// Limits of the memory: series, and agents whose series were counted. Full maps are cleared and filled again.
const MAX_KNOWN: usize = 50_000;
const MAX_COUNTED: usize = 10_000;

/// How many series there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesLimits {
    pub(super) total: u64,
    pub(super) per_agent: u64,
}

/// The series that were used lately, and the number of all.
pub(super) struct SeriesIndex {
    limits: SeriesLimits,
    known: HashMap<Label, i64>,
    /// The number of series of some agents.
    by_agent: HashMap<Name, u64>,
    totals: Option<Totals>,
    unconfirmed: Unconfirmed,
}

#[derive(Clone, Copy)]
struct Totals {
    count: u64,
    /// The id of the next series: no row of any table has it.
    next_id: i64,
}

/// Where a reading belongs.
pub(super) enum Place {
    /// In this series; with the first reading of the label if this is the second.
    Series(i64, Option<Row>),
    /// It is the first one of its label, and kept as such.
    Unconfirmed,
    /// Nowhere, because a limit is reached.
    Refused(Limit),
}

impl SeriesIndex {
    pub(super) fn load(connection: &Connection, limits: SeriesLimits) -> Result<SeriesIndex, StoreError> {
        let unconfirmed = Unconfirmed::load(connection)?;
        let totals = Some(Totals::read(connection)?);
        Ok(SeriesIndex { limits, known: HashMap::new(), by_agent: HashMap::new(), totals, unconfirmed })
    }

    /// Forgets what is known of the tables, because they were changed.
    pub(super) fn clear(&mut self, connection: &Connection) -> Result<(), StoreError> {
        *self = SeriesIndex::load(connection, self.limits)?;
        Ok(())
    }

    /// The number of series, and its limit.
    pub(super) fn usage(&self) -> (u64, u64) {
        (self.totals.map_or(0, |totals| totals.count), self.limits.total)
    }

    pub(super) fn unconfirmed(&mut self) -> &mut Unconfirmed {
        &mut self.unconfirmed
    }

    /// Finds the place of a new reading. An unknown label becomes a series with its second reading, or with the first
    /// if it is built in.
    pub(super) fn place(
        &mut self,
        transaction: &Transaction<'_>,
        label: Label,
        row: &Row,
        arrived_us: i64,
    ) -> Result<Place, StoreError> {
        if let Some(id) = self.find(transaction, &label)? {
            return Ok(Place::Series(id, None));
        }
        let is_confirmed = is_built_in(&label.quantity, &label.unit) || Unconfirmed::has(transaction, &label)?;
        if !is_confirmed {
            self.unconfirmed.add(transaction, &label, row, arrived_us)?;
            return Ok(Place::Unconfirmed);
        }
        if let Some(limit) = self.limit(transaction, &label.agent)? {
            return Ok(Place::Refused(limit));
        }
        let first = self.unconfirmed.take(transaction, &label)?;
        Ok(Place::Series(self.add(transaction, label)?, first))
    }

    fn find(&mut self, transaction: &Transaction<'_>, label: &Label) -> Result<Option<i64>, StoreError> {
        if let Some(id) = self.known.get(label) {
            return Ok(Some(*id));
        }
        let Label { agent, port, quantity, unit } = label;
        let select = "SELECT id FROM series WHERE agent = ? AND port = ? AND quantity = ? AND unit = ?";
        let given = (&**agent, &**port, &**quantity, &**unit);
        let found = transaction.prepare_cached(select)?.query_row(given, |row| row.get(0)).optional()?;
        if let Some(id) = found {
            self.remember(label.clone(), id);
        }
        Ok(found)
    }

    /// The limit that one more series of the agent would exceed.
    fn limit(&mut self, transaction: &Transaction<'_>, agent: &Name) -> Result<Option<Limit>, StoreError> {
        if self.count_of(transaction, agent)? >= self.limits.per_agent {
            return Ok(Some(Limit::SeriesLimit));
        }
        Ok((self.totals(transaction)?.count >= self.limits.total).then_some(Limit::TotalSeriesLimit))
    }

    fn add(&mut self, transaction: &Transaction<'_>, label: Label) -> Result<i64, StoreError> {
        let Totals { count, next_id } = self.totals(transaction)?;
        let Label { agent, port, quantity, unit } = &label;
        let insert = "INSERT INTO series(id, agent, port, quantity, unit) VALUES (?, ?, ?, ?, ?)";
        transaction.prepare_cached(insert)?.execute((next_id, &**agent, &**port, &**quantity, &**unit))?;
        self.totals = Some(Totals { count: count + 1, next_id: next_id + 1 });
        if let Some(count) = self.by_agent.get_mut(agent) {
            *count += 1;
        }
        self.remember(label, next_id);
        Ok(next_id)
    }

    fn remember(&mut self, label: Label, id: i64) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(label, id);
    }

    fn count_of(&mut self, transaction: &Transaction<'_>, agent: &Name) -> Result<u64, StoreError> {
        if let Some(count) = self.by_agent.get(agent) {
            return Ok(*count);
        }
        let select = "SELECT count(*) FROM series WHERE agent = ?";
        let count: i64 = transaction.prepare_cached(select)?.query_row([&**agent], |row| row.get(0))?;
        if self.by_agent.len() >= MAX_COUNTED {
            self.by_agent.clear();
        }
        self.by_agent.insert(agent.clone(), count as u64);
        Ok(count as u64)
    }

    fn totals(&mut self, connection: &Connection) -> Result<Totals, StoreError> {
        let totals = self.totals.map_or_else(|| Totals::read(connection), Ok)?;
        self.totals = Some(totals);
        Ok(totals)
    }
}

/// Returns an id for a new series, which the rows of no removed series have.
pub(super) fn next_id(connection: &Connection) -> Result<i64, StoreError> {
    Ok(Totals::read(connection)?.next_id)
}

impl Totals {
    fn read(connection: &Connection) -> Result<Totals, StoreError> {
        // Readings of a removed series may still be there.
        let last =
            "SELECT max(coalesce((SELECT max(id) FROM series), 0), coalesce((SELECT max(series) FROM readings), 0),
                        coalesce((SELECT max(series) FROM minutes), 0), coalesce((SELECT max(series) FROM hours), 0),
                        coalesce((SELECT max(series) FROM removed_series), 0))";
        let last: i64 = connection.query_row(last, [], |row| row.get(0))?;
        let count: i64 = connection.query_row("SELECT count(*) FROM series", [], |row| row.get(0))?;
        let next_id =
            last.checked_add(1).ok_or_else(|| StoreError::Damaged("a series with the largest id".to_owned()))?;
        Ok(Totals { count: count as u64, next_id })
    }
}
