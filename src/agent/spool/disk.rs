//! The spool's file: its tables and the queries. Each row has a checksum over all its columns (`checksum.rs`).

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::change::Change;
use super::columns::{name, number, values};
use super::progress::{Cursor, RowChunk};
use super::row::{AckRow, Row, Start};
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

/// The spool's open file.
pub(super) struct Disk {
    pub(super) store: Store,
    /// The number of readings in it.
    pub(super) readings: u64,
}

impl Disk {
    /// The unusable file that was found: its new path and the reason.
    pub(super) fn set_aside(&self) -> Option<&(PathBuf, String)> {
        self.store.set_aside.as_ref()
    }

    /// A copy of the write-ahead log, if that was incomplete.
    pub(super) fn incomplete(&self) -> Option<&Path> {
        self.store.incomplete.as_deref()
    }

    /// The agent starts, with their ids.
    pub(super) fn starts(&self) -> Result<Vec<(i64, Start)>, StoreError> {
        let mut select =
            self.store.connection.prepare_cached("SELECT id, boot, machine, zero_us FROM starts ORDER BY id")?;
        let rows = select.query_map([], |row| {
            Ok((row.get(0)?, Start { boot: name(row, 1)?, machine_boot: row.get(2)?, zero_us: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The links that readings are kept for.
    pub(super) fn links(&self) -> Result<Vec<String>, StoreError> {
        let mut select = self.store.connection.prepare_cached("SELECT link FROM links")?;
        Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The acknowledgements of all links.
    pub(super) fn acks(&self) -> Result<Vec<AckRow>, StoreError> {
        let mut select = self.store.connection.prepare_cached("SELECT link, start, first, last FROM acked")?;
        let rows = select.query_map([], |row| {
            let seqs = SeqRange::new(number(row, 2)?, number(row, 3)?);
            Ok(AckRow { link: row.get(0)?, start: row.get(1)?, seqs })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Up to `limit` rows of one agent start from the cursor on, in order. `None` at the end of the file.
    pub(super) fn rows(&self, cursor: Cursor, limit: usize) -> Result<Option<RowChunk>, StoreError> {
        let (start, seq) = (cursor.start, cursor.seq as i64);
        let next = "SELECT start FROM batches WHERE (start, seq) >= (?, ?) ORDER BY start, seq LIMIT 1";
        let next = self.store.connection.prepare_cached(next)?.query_row([start, seq], |row| row.get(0)).optional()?;
        let Some(next) = next else { return Ok(None) };
        let seq = if next == start { seq } else { 0 };
        let mut select = self.store.connection.prepare_cached(
            "SELECT seq, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings FROM batches
             WHERE start = ? AND seq >= ? ORDER BY seq LIMIT ?",
        )?;
        let rows = select.query_map(params![next, seq, limit as i64], |row| {
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
        Ok(Some(RowChunk { cursor, start: next, rows: rows.collect::<Result<_, _>>()? }))
    }

    /// Makes a change in one transaction, which is on the disk when this returns.
    pub(super) fn commit<T>(
        &mut self,
        change: impl FnOnce(&Change<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.try_to_commit(change);
        if matches!(result, Err(StoreError::Disk(_))) {
            self.store.distrust();
        }
        result
    }

    fn try_to_commit<T>(&mut self, change: impl FnOnce(&Change<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Locks for writing at once: after a read, a write of `watchpost spool` in between would make ours fail.
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let output = change(&Change(&transaction))?;
        transaction.commit()?;
        self.store.is_in_place()?;
        self.store.tidy()?;
        Ok(output)
    }
}
