//! The spool's file: its tables, and what is read of them. Each row has a checksum of its own over all its columns
//! (`checksum.rs`).

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::change::Change;
use super::columns::{name, number, values};
use super::ledger::Place;
use super::row::{Row, Start};
use crate::ranges::SeqRange;
use crate::store::{Kind, Store, StoreError};

/// "wpsp".
pub(super) const KIND: Kind = Kind {
    application_id: 0x7770_7370,
    version: 1,
    schema: "
        CREATE TABLE starts(id INTEGER PRIMARY KEY, boot TEXT NOT NULL, machine TEXT NOT NULL, zero_us INTEGER,
            crc INTEGER NOT NULL);
        CREATE TABLE batches(start INTEGER NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, port TEXT NOT NULL,
            unix_us INTEGER NOT NULL, synchronised INTEGER NOT NULL, monotonic_us INTEGER NOT NULL,
            stale_after_ms INTEGER NOT NULL, readings TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY(start, seq))
            WITHOUT ROWID;
        CREATE TABLE acked(link TEXT NOT NULL, start INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
            crc INTEGER NOT NULL);
        CREATE TABLE links(link TEXT NOT NULL, crc INTEGER NOT NULL);",
};

/// The open file.
pub(super) struct Disk {
    pub(super) store: Store,
    /// Readings in it.
    pub(super) readings: u64,
}

impl Disk {
    /// What was in its place and could not be used.
    pub(super) fn set_aside(&self) -> Option<&(PathBuf, String)> {
        self.store.set_aside.as_ref()
    }

    /// A copy of what was written ahead and not all right.
    pub(super) fn incomplete(&self) -> Option<&Path> {
        self.store.incomplete.as_deref()
    }

    /// The starts that it has, by their numbers.
    pub(super) fn starts(&self) -> Result<Vec<(i64, Start)>, StoreError> {
        let mut select =
            self.store.connection.prepare_cached("SELECT id, boot, machine, zero_us FROM starts ORDER BY id")?;
        let rows = select.query_map([], |row| {
            Ok((row.get(0)?, Start { boot: name(row, 1)?, machine: row.get(2)?, zero_us: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The links that it keeps for.
    pub(super) fn links(&self) -> Result<Vec<String>, StoreError> {
        let mut select = self.store.connection.prepare_cached("SELECT link FROM links")?;
        Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// What links have acknowledged, by their addresses and the numbers of starts.
    pub(super) fn acked(&self) -> Result<Vec<(String, i64, SeqRange)>, StoreError> {
        let mut select = self.store.connection.prepare_cached("SELECT link, start, first, last FROM acked")?;
        let rows = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, SeqRange::new(number(row, 2)?, number(row, 3)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Rows from a place on, in order, of one start; at most so many.
    pub(super) fn rows(&self, from: Place, most: usize) -> Result<Option<(i64, Vec<Row>)>, StoreError> {
        let (start, seq) = (from.0, from.1 as i64);
        let next = "SELECT start FROM batches WHERE (start, seq) >= (?, ?) ORDER BY start, seq LIMIT 1";
        let next = self.store.connection.prepare_cached(next)?.query_row([start, seq], |row| row.get(0)).optional()?;
        let Some(next) = next else { return Ok(None) };
        let seq = if next == start { seq } else { 0 };
        let mut select = self.store.connection.prepare_cached(
            "SELECT seq, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings FROM batches
             WHERE start = ? AND seq >= ? ORDER BY seq LIMIT ?",
        )?;
        let rows = select.query_map(params![next, seq, most as i64], |row| {
            Ok(Row {
                seq: number(row, 0)?,
                port: name(row, 1)?,
                unix_us: row.get(2)?,
                synchronised: row.get(3)?,
                monotonic_us: row.get(4)?,
                stale_after_ms: number(row, 5)?,
                values: values(row, 6)?,
            })
        })?;
        Ok(Some((next, rows.collect::<Result<_, _>>()?)))
    }

    /// Changes what is to be changed, all of it or nothing; on the disk when this returns.
    pub(super) fn commit<T>(
        &mut self,
        change: impl FnOnce(&Change<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.try_to_commit(change);
        if matches!(done, Err(StoreError::Disk(_))) {
            self.store.distrust();
        }
        done
    }

    fn try_to_commit<T>(&mut self, change: impl FnOnce(&Change<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // At once the one who writes: one who reads first may find that `watchpost spool` wrote in between.
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&Change(&transaction))?;
        transaction.commit()?;
        self.store.is_in_place()?;
        self.store.tidy()?;
        Ok(done)
    }
}
