//! Writes to the spool's file within one transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{name, number};
use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};
use crate::store::StoreError;

/// A transaction.
pub(super) struct Change<'a>(pub(super) &'a Connection);

/// A batch that was deleted.
pub(super) struct Deleted {
    /// The id of its agent start.
    pub(super) start: i64,
    pub(super) seqs: SeqRange,
}

impl Deleted {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Deleted> {
        let (first, count) = (number(row, 1)?, number(row, 2)?);
        Ok(Deleted { start: row.get(0)?, seqs: SeqRange::new(first, first + count.saturating_sub(1)) })
    }

    /// How many readings these are.
    pub(super) fn count(all: &[Deleted]) -> u64 {
        all.iter().map(|deleted| deleted.seqs.count()).sum()
    }
}

impl Change<'_> {
    /// The id of an agent start, which is added if it is new.
    pub(super) fn start_id(&self, start: &Start) -> Result<i64, StoreError> {
        let find = "SELECT id FROM starts WHERE boot = ?";
        let known = self.0.prepare_cached(find)?.query_row([&*start.boot], |row| row.get(0)).optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        // A start that was lost to damage may still have rows.
        let next =
            "SELECT 1 + max((SELECT coalesce(max(id), 0) FROM starts), (SELECT coalesce(max(start), 0) FROM batches),
                    (SELECT coalesce(max(start), 0) FROM acked))";
        let id = self.0.query_row(next, [], |row| row.get(0))?;
        self.insert_start(id, start)?;
        Ok(id)
    }

    fn insert_start(&self, id: i64, start: &Start) -> Result<(), StoreError> {
        let insert = "INSERT INTO starts VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))";
        self.0.execute(insert, params![id, &*start.boot, start.machine_boot, start.zero_us])?;
        Ok(())
    }

    /// Adds starts with random names for rows whose start was lost. A receiver treats their readings as new.
    pub(super) fn add_missing_starts(&self) -> Result<(), StoreError> {
        let missing = "SELECT DISTINCT start FROM batches WHERE start NOT IN (SELECT id FROM starts)";
        let missing: Vec<i64> = self.0.prepare(missing)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in missing {
            let boot = Name::random();
            self.insert_start(id, &Start { boot, machine_boot: String::new(), zero_us: None })?;
        }
        Ok(())
    }

    /// Sets the date of the monotonic clock's zero for all agent starts in this boot of the machine.
    pub(super) fn set_zero(&self, machine_boot: &str, zero_us: i64) -> Result<(), StoreError> {
        let sql = "UPDATE starts SET zero_us = ?2, crc = checksum(id, boot, machine, ?2) WHERE machine = ?1";
        self.0.prepare_cached(sql)?.execute(params![machine_boot, zero_us])?;
        Ok(())
    }

    /// Adds a batch; returns the number of readings, or 0 if the file has it already, because a write was complete although
    /// the disk reported an error.
    pub(super) fn insert_batch(&self, start: i64, row: &Row) -> Result<u64, StoreError> {
        let values: Vec<(&str, f64, &str)> =
            row.values.iter().map(|value| (&*value.quantity, value.value, &*value.unit)).collect();
        let sql = "INSERT OR IGNORE INTO batches
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))";
        let added = self.0.prepare_cached(sql)?.execute(params![
            start,
            row.seq as i64,
            row.values.len() as i64,
            &*row.port,
            row.unix_us,
            row.synchronised,
            row.monotonic_us,
            row.stale_after_ms as i64,
            serde_json::to_string(&values).map_err(|error| StoreError::Other(error.to_string()))?,
        ])?;
        Ok((added * row.values.len()) as u64)
    }

    /// Deletes the batches of a start that are within `seqs`; returns the number of readings.
    pub(super) fn delete_batches(&self, start: i64, seqs: SeqRange) -> Result<u64, StoreError> {
        let (first, last) = (seqs.first.min(i64::MAX as u64) as i64, seqs.last.min(i64::MAX as u64) as i64);
        let condition = "start = ? AND seq BETWEEN ? AND ? AND seq + count - 1 <= ?";
        let delete = format!("DELETE FROM batches WHERE {condition} RETURNING count");
        let mut delete = self.0.prepare_cached(&delete)?;
        let counts = delete.query_map(params![start, first, last, last], |row| number(row, 0))?;
        Ok(counts.sum::<Result<u64, _>>()?)
    }

    /// Deletes the oldest `rows` rows; returns them.
    pub(super) fn delete_oldest(&self, rows: usize) -> Result<Vec<Deleted>, StoreError> {
        let sql =
            "DELETE FROM batches WHERE (start, seq) IN (SELECT start, seq FROM batches ORDER BY start, seq LIMIT ?)
                   RETURNING start, seq, count";
        let mut delete = self.0.prepare_cached(sql)?;
        Ok(delete.query_map([rows as i64], Deleted::of)?.collect::<Result<_, _>>()?)
    }

    /// Deletes the first rows of a start, up to `rows` of them, that were captured before `monotonic_us` of its clock;
    /// returns them.
    pub(super) fn delete_before(&self, start: i64, monotonic_us: i64, rows: usize) -> Result<Vec<Deleted>, StoreError> {
        let sql = "WITH kept(seq) AS
                       (SELECT seq FROM batches WHERE start = ?1 AND monotonic_us >= ?2 ORDER BY seq LIMIT 1)
                   DELETE FROM batches WHERE start = ?1 AND seq IN
                       (SELECT seq FROM batches WHERE start = ?1 AND seq < ifnull((SELECT seq FROM kept), ?3)
                        ORDER BY seq LIMIT ?4)
                   RETURNING start, seq, count";
        let mut delete = self.0.prepare_cached(sql)?;
        let rows = delete.query_map(params![start, monotonic_us, i64::MAX, rows as i64], Deleted::of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The size of the pages in use, in bytes.
    pub(super) fn used_bytes(&self) -> Result<u64, StoreError> {
        let pragma = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok(((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64)
    }

    /// Deletes the starts that have no more batches; returns their names.
    pub(super) fn delete_empty_starts(&self) -> Result<Vec<Name>, StoreError> {
        let sql = "DELETE FROM starts WHERE NOT EXISTS (SELECT 1 FROM batches WHERE start = id) RETURNING boot";
        let deleted = self.0.prepare_cached(sql)?.query_map([], |row| name(row, 0))?.collect::<Result<_, _>>()?;
        self.0.execute("DELETE FROM acked WHERE NOT EXISTS (SELECT 1 FROM starts WHERE id = start)", [])?;
        Ok(deleted)
    }

    /// Replaces the acknowledgements that a link has of a start.
    pub(super) fn replace_acks(&self, link: &str, start: i64, acked: &Ranges) -> Result<(), StoreError> {
        self.0.prepare_cached("DELETE FROM acked WHERE link = ? AND start = ?")?.execute(params![link, start])?;
        let mut insert =
            self.0.prepare_cached("INSERT INTO acked VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))")?;
        for SeqRange { first, last } in acked.iter() {
            insert.execute(params![link, start, first as i64, last.min(i64::MAX as u64) as i64])?;
        }
        Ok(())
    }

    /// Adds a link, for which readings are kept from now on.
    pub(super) fn add_link(&self, link: &str) -> Result<(), StoreError> {
        self.0.execute("INSERT INTO links VALUES (?1, checksum(?1))", [link])?;
        Ok(())
    }

    /// Removes a link and its acknowledgements; returns the number of links removed, 0 or 1.
    pub(super) fn remove_link(&self, link: &str) -> Result<usize, StoreError> {
        self.0.execute("DELETE FROM acked WHERE link = ?", [link])?;
        Ok(self.0.execute("DELETE FROM links WHERE link = ?", [link])?)
    }
}
