//! The first readings of labels that no second reading has confirmed yet. A board that prints a counter in its labels
//! makes many of these and no series.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::label::Label;
use crate::name::{Name, StoredName};
use crate::store::StoreError;

/// Limits of the rows: of one agent, and of all. More than an agent with twenty ports of 64 labels needs.
const MAX_PER_AGENT: u64 = 4_000;
const MAX_TOTAL: u64 = 100_000;

/// Rows that one transaction checks for their age.
const ROWS_PER_STEP: u64 = 2_000;

/// A dated reading, apart from its series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) at_us: i64,
    /// Row id of the agent's start.
    pub(super) start: i64,
    pub(super) seq: i64,
    pub(super) value: f64,
    /// The clock of `at_us`.
    pub(super) dated: i64,
}

/// The number of rows in the table.
pub(super) struct Unconfirmed {
    by_agent: HashMap<Name, u64>,
    total: u64,
    /// Agents with new rows in this transaction.
    grown: BTreeSet<Name>,
    /// Rows removed since the last call of [`Unconfirmed::take_removed`], and the agent of the last ones.
    removed: Option<(Name, u64)>,
}

impl Unconfirmed {
    pub(super) fn load(connection: &Connection) -> Result<Unconfirmed, StoreError> {
        let mut by_agent = HashMap::new();
        let mut select = connection.prepare("SELECT agent, count(*) FROM unconfirmed GROUP BY agent")?;
        for row in select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
            let (agent, rows) = row?;
            by_agent.insert(stored(agent)?, rows as u64);
        }
        let total = by_agent.values().sum();
        Ok(Unconfirmed { by_agent, total, grown: BTreeSet::new(), removed: None })
    }

    /// Adds the first reading of a label.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        label: &Label,
        row: &Row,
        arrived_us: i64,
    ) -> Result<(), StoreError> {
        let Label { agent, port, quantity, unit } = label;
        let Row { at_us, start, seq, value, dated } = *row;
        let insert = "INSERT INTO unconfirmed(arrived_us, agent, port, quantity, unit, at_us, start, seq, value, dated)
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let given = (arrived_us, &**agent, &**port, &**quantity, &**unit, at_us, start, seq, value, dated);
        transaction.prepare_cached(insert)?.execute(given)?;
        *self.by_agent.entry(agent.clone()).or_default() += 1;
        self.total += 1;
        self.grown.insert(agent.clone());
        Ok(())
    }

    /// Whether a label has a first reading.
    pub(super) fn has(transaction: &Transaction<'_>, label: &Label) -> Result<bool, StoreError> {
        let Label { agent, port, quantity, unit } = label;
        let select = "SELECT EXISTS (SELECT 1 FROM unconfirmed
                          WHERE agent = ? AND port = ? AND quantity = ? AND unit = ?)";
        let given = (&**agent, &**port, &**quantity, &**unit);
        Ok(transaction.prepare_cached(select)?.query_row(given, |row| row.get(0))?)
    }

    /// Removes and returns the first reading of a label.
    pub(super) fn take(&mut self, transaction: &Transaction<'_>, label: &Label) -> Result<Option<Row>, StoreError> {
        let Label { agent, port, quantity, unit } = label;
        let delete = "DELETE FROM unconfirmed WHERE agent = ? AND port = ? AND quantity = ? AND unit = ?
                      RETURNING at_us, start, seq, value, dated";
        let taken = transaction.prepare_cached(delete)?.query_row((&**agent, &**port, &**quantity, &**unit), |row| {
            let (at_us, start, seq) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Row { at_us, start, seq, value: row.get(3)?, dated: row.get(4)? })
        });
        let taken = taken.optional()?;
        if taken.is_some() {
            self.subtract(agent, 1);
        }
        Ok(taken)
    }

    /// Removes the oldest rows beyond the limits: of agents that have too many, then of the one that has most.
    pub(super) fn trim(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        for agent in std::mem::take(&mut self.grown) {
            let rows = self.by_agent.get(&agent).copied().unwrap_or(0);
            self.remove_oldest(transaction, &agent, rows.saturating_sub(MAX_PER_AGENT))?;
        }
        while self.total > MAX_TOTAL {
            let Some((agent, rows)) = self.by_agent.iter().max_by_key(|(_, rows)| **rows) else { break };
            let (agent, excess) = (agent.clone(), (self.total - MAX_TOTAL).min(*rows));
            self.remove_oldest(transaction, &agent, excess)?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self, transaction: &Transaction<'_>, agent: &Name, rows: u64) -> Result<(), StoreError> {
        if rows == 0 {
            return Ok(());
        }
        let delete = "DELETE FROM unconfirmed
                      WHERE id IN (SELECT id FROM unconfirmed WHERE agent = ? ORDER BY id LIMIT ?)";
        let removed = transaction.prepare_cached(delete)?.execute((&**agent, rows as i64))? as u64;
        self.subtract(agent, rows);
        self.note_removed(agent.clone(), removed);
        Ok(())
    }

    /// Removes some of the rows that arrived before this time; returns whether there may be more.
    pub(super) fn expire(&mut self, transaction: &Transaction<'_>, before_us: i64) -> Result<bool, StoreError> {
        let delete = "DELETE FROM unconfirmed
                      WHERE id IN (SELECT id FROM unconfirmed ORDER BY id LIMIT ?) AND arrived_us < ?
                      RETURNING agent";
        let mut delete = transaction.prepare_cached(delete)?;
        let removed = delete.query_map((ROWS_PER_STEP as i64, before_us), |row| row.get::<_, String>(0))?;
        let mut count = 0;
        for agent in removed {
            let agent = stored(agent?)?;
            self.subtract(&agent, 1);
            self.note_removed(agent, 1);
            count += 1;
        }
        Ok(count == ROWS_PER_STEP)
    }

    /// How many rows were removed since the last call, and an agent that they belonged to.
    pub(super) fn take_removed(&mut self) -> Option<(Name, u64)> {
        self.removed.take()
    }

    fn note_removed(&mut self, agent: Name, rows: u64) {
        let before = self.removed.take().map_or(0, |(_, before)| before);
        self.removed = Some((agent, before + rows));
    }

    fn subtract(&mut self, agent: &Name, rows: u64) {
        self.total = self.total.saturating_sub(rows);
        if let Some(count) = self.by_agent.get_mut(agent) {
            *count = count.saturating_sub(rows);
            if *count == 0 {
                self.by_agent.remove(agent);
            }
        }
    }
}

fn stored(agent: String) -> Result<Name, StoreError> {
    let StoredName(agent) = StoredName::try_from(agent).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(agent)
}
