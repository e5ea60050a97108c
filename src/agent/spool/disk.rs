//! The spool's file.
//!
//! Each row has a checksum of its own over all its columns: `SQLite` has none, and a reading that a worn SD card has changed
//! is none.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Statement, TransactionBehavior, params};

use super::desk::Place;
use super::row::{Row, Start};
use crate::name::Name;
use crate::ranges::Ranges;
use crate::store::{self, Kind, Store, Trouble};
use crate::wire::Value;

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

/// What is looked at when the file is opened: table and columns.
const CHECKED: [(&str, &str); 4] = [
    ("starts", "id, boot, machine, zero_us"),
    ("batches", BATCH),
    ("acked", "link, start, first, last"),
    ("links", "link"),
];
const BATCH: &str = "start, seq, count, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings";

/// The open file.
pub(super) struct Disk {
    store: Store,
    /// Readings in it.
    pub(super) readings: u64,
}

impl Disk {
    /// Opens the file; what was damaged is set aside, and what is sound of it is taken over.
    ///
    /// `distrusted`: it could not be written to before. What the kernel then shows of it need not be on the disk, so all of it
    /// is written once more, into a new file.
    pub(super) fn open(path: &Path, distrusted: bool) -> Result<Disk, Trouble> {
        let lock = store::claim(path)?;
        let old = store::beside(path, ".old");
        if old.exists() && !store::beside(&old, "-wal").exists() && !path.exists() {
            // What was written ahead of it may still be where it was.
            store::finish_renaming(path, &old)?;
        }
        if distrusted || old.exists() {
            put_by(path, &old)?;
        }
        let was_put_by = old.exists();
        let mut store = KIND.open_or(path, lock, |path| put_by(path, &old))?;
        with_checksums(&store.connection)?;
        if store.set_aside.is_none()
            && let Some(what) = damage(&store.connection)?
        {
            store = store.renew_or(&KIND, &what, |path| put_by(path, &old))?;
            with_checksums(&store.connection)?;
        }
        // A copy that is damaged at once is none of what was there before.
        let what = store.set_aside.take().map(|(_, what)| what).filter(|_| !was_put_by);
        let mut disk = Disk { store, readings: 0 };
        if old.exists() {
            disk.settle(&old, path, what)?;
        }
        let readings = "SELECT coalesce(sum(count), 0) FROM batches";
        disk.readings = disk.store.connection.query_row(readings, [], |row| number(row, 0))?;
        Ok(disk)
    }

    /// Takes over what was put by, in which something is the matter or not. Until all that can be had of it is on the disk it
    /// stays where the next try finds it.
    fn settle(&mut self, old: &Path, path: &Path, what: Option<String>) -> Result<(), Trouble> {
        let taken = self.take_over(old);
        let is_all = taken.inspect_err(|_| self.store.distrust())?;
        match what.or_else(|| (!is_all).then(|| "it could not be read to its end".to_owned())) {
            Some(what) => self.store.set_aside = Some((store::set_aside(old, path)?, what)),
            None => store::remove(old)?,
        }
        Ok(())
    }

    /// What was there before is to be taken over yet, which takes room once more.
    pub(super) fn is_to_be_copied(path: &Path) -> bool {
        store::beside(path, ".old").exists()
    }

    /// What was in its place and could not be used.
    pub(super) fn set_aside(&self) -> Option<&(PathBuf, String)> {
        self.store.set_aside.as_ref()
    }

    /// A copy of what was written ahead and not all right.
    pub(super) fn incomplete(&self) -> Option<&Path> {
        self.store.incomplete.as_deref()
    }

    /// Takes over what is sound of another file: rows from the front and from the back, up to where it cannot be read. True
    /// when that was all.
    fn take_over(&mut self, path: &Path) -> Result<bool, Trouble> {
        if store::is_hollow(path) {
            return Ok(false);
        }
        // Whatever it says that it is: each row tells whether it is ours.
        let Some(other) = unless_damaged(store::look_into(path))? else { return Ok(false) };
        with_checksums(&other)?;
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut all = true;
        for (table, columns) in CHECKED {
            let places = vec!["?"; columns.split(", ").count() + 1].join(", ");
            let mut insert =
                transaction.prepare(&format!("INSERT OR IGNORE INTO {table} ({columns}, crc) VALUES ({places})"))?;
            let orders: &[&str] = if table == "batches" { &["start, seq", "start DESC, seq DESC"] } else { &["rowid"] };
            for order in orders {
                let sound =
                    format!("SELECT {columns}, crc FROM {table} WHERE crc = checksum({columns}) ORDER BY {order}");
                if copy(&other, &sound, &mut insert)? {
                    break;
                }
                all = false;
            }
            all &= !is_changed(&other, table, columns).unwrap_or(true);
        }
        all &= other.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).is_ok_and(|is| is == "ok");
        Change(&transaction).name_starts()?;
        transaction.commit()?;
        Ok(all)
    }

    /// The starts that it has, by their numbers.
    pub(super) fn starts(&self) -> Result<Vec<(i64, Start)>, Trouble> {
        let mut select =
            self.store.connection.prepare_cached("SELECT id, boot, machine, zero_us FROM starts ORDER BY id")?;
        let rows = select.query_map([], |row| {
            Ok((row.get(0)?, Start { boot: name(row, 1)?, machine: row.get(2)?, zero_us: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The links that it keeps for.
    pub(super) fn links(&self) -> Result<Vec<String>, Trouble> {
        let mut select = self.store.connection.prepare_cached("SELECT link FROM links")?;
        Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// What links have acknowledged, by their addresses and the numbers of starts.
    pub(super) fn acked(&self) -> Result<Vec<(String, i64, u64, u64)>, Trouble> {
        let mut select = self.store.connection.prepare_cached("SELECT link, start, first, last FROM acked")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?, number(row, 3)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Rows from a place on, in order, of one start; at most so many.
    pub(super) fn rows(&self, from: Place, most: usize) -> Result<Option<(i64, Vec<Row>)>, Trouble> {
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
    pub(super) fn commit<T>(&mut self, change: impl FnOnce(&Change<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let done = self.try_to_commit(change);
        if matches!(done, Err(Trouble::Disk(_))) {
            self.store.distrust();
        }
        done
    }

    fn try_to_commit<T>(&mut self, change: impl FnOnce(&Change<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        // At once the one who writes: one who reads first may find that `watchpost spool` wrote in between.
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&Change(&transaction))?;
        transaction.commit()?;
        self.store.is_in_place()?;
        self.store.tidy()?;
        Ok(done)
    }
}

/// Moves the file to where it is taken over from. While there is one already, the file is but a copy of that, which was not
/// finished.
fn put_by(path: &Path, old: &Path) -> Result<PathBuf, Trouble> {
    if old.exists() {
        // In this order: what is left of it alone must not look like what was written ahead of the old one.
        store::remove_ahead(path)?;
        store::remove(path)?;
    } else {
        store::rename(path, old)?;
    }
    Ok(old.to_owned())
}

/// What is changed together.
pub(super) struct Change<'a>(pub(super) &'a Connection);

impl Change<'_> {
    /// The number of a start, which is kept if it is new.
    pub(super) fn start(&self, start: &Start) -> Result<i64, Trouble> {
        let find = "SELECT id FROM starts WHERE boot = ?";
        let known = self.0.prepare_cached(find)?.query_row([&*start.boot], |row| row.get(0)).optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        // A start that was lost to damage has rows.
        let next =
            "SELECT 1 + max((SELECT coalesce(max(id), 0) FROM starts), (SELECT coalesce(max(start), 0) FROM batches),
                    (SELECT coalesce(max(start), 0) FROM acked))";
        let id = self.0.query_row(next, [], |row| row.get(0))?;
        self.insert_start(id, start)?;
        Ok(id)
    }

    fn insert_start(&self, id: i64, start: &Start) -> Result<(), Trouble> {
        let insert = "INSERT INTO starts VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))";
        self.0.execute(insert, params![id, &*start.boot, start.machine, start.zero_us])?;
        Ok(())
    }

    /// Makes starts for rows whose own was lost: without its name they are new to a receiver, but they arrive.
    fn name_starts(&self) -> Result<(), Trouble> {
        let unknown = "SELECT DISTINCT start FROM batches WHERE start NOT IN (SELECT id FROM starts)";
        let unknown: Vec<i64> = self.0.prepare(unknown)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in unknown {
            let boot = Name::nearest(&format!("{:016x}", RandomState::new().build_hasher().finish()));
            self.insert_start(id, &Start { boot, machine: String::new(), zero_us: None })?;
        }
        Ok(())
    }

    /// When the monotonic clock of this boot of the machine showed zero, for all its starts.
    pub(super) fn date(&self, machine: &str, zero_us: i64) -> Result<(), Trouble> {
        let sql = "UPDATE starts SET zero_us = ?2, crc = checksum(id, boot, machine, ?2) WHERE machine = ?1";
        self.0.prepare_cached(sql)?.execute(params![machine, zero_us])?;
        Ok(())
    }

    pub(super) fn insert(&self, start: i64, row: &Row) -> Result<(), Trouble> {
        let values: Vec<(&str, f64, &str)> =
            row.values.iter().map(|value| (&*value.quantity, value.value, &*value.unit)).collect();
        let sql = "INSERT OR REPLACE INTO batches
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))";
        self.0.prepare_cached(sql)?.execute(params![
            start,
            row.seq as i64,
            row.values.len() as i64,
            &*row.port,
            row.unix_us,
            row.synchronised,
            row.monotonic_us,
            row.stale_after_ms as i64,
            serde_json::to_string(&values).map_err(|error| Trouble::Other(error.to_string()))?,
        ])?;
        Ok(())
    }

    /// Forgets rows of a start; gives how many readings that were.
    pub(super) fn forget(&self, start: i64, first: u64, last: u64) -> Result<u64, Trouble> {
        let (first, last) = (first.min(i64::MAX as u64) as i64, last.min(i64::MAX as u64) as i64);
        let which = "start = ? AND seq BETWEEN ? AND ? AND seq + count - 1 <= ?";
        let forget = format!("DELETE FROM batches WHERE {which} RETURNING count");
        let mut forget = self.0.prepare_cached(&forget)?;
        let counts = forget.query_map(params![start, first, last, last], |row| number(row, 0))?;
        Ok(counts.sum::<Result<u64, _>>()?)
    }

    /// Forgets so many of the oldest rows; gives how many readings that were.
    pub(super) fn forget_oldest(&self, rows: usize) -> Result<u64, Trouble> {
        let sql =
            "DELETE FROM batches WHERE (start, seq) IN (SELECT start, seq FROM batches ORDER BY start, seq LIMIT ?)
                   RETURNING count";
        let mut forget = self.0.prepare_cached(sql)?;
        let counts = forget.query_map([rows as i64], |row| number(row, 0))?;
        Ok(counts.sum::<Result<u64, _>>()?)
    }

    /// Bytes that rows take.
    pub(super) fn used(&self) -> Result<u64, Trouble> {
        let pragma = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok(((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64)
    }

    /// Forgets starts of which there is nothing left; gives those.
    pub(super) fn forget_starts(&self) -> Result<Vec<Name>, Trouble> {
        let sql = "DELETE FROM starts WHERE NOT EXISTS (SELECT 1 FROM batches WHERE start = id) RETURNING boot";
        let gone = self.0.prepare_cached(sql)?.query_map([], |row| name(row, 0))?.collect::<Result<_, _>>()?;
        self.0.execute("DELETE FROM acked WHERE NOT EXISTS (SELECT 1 FROM starts WHERE id = start)", [])?;
        Ok(gone)
    }

    /// What a link has acknowledged of a start, instead of what was kept of that.
    pub(super) fn acked(&self, link: &str, start: i64, acked: &Ranges) -> Result<(), Trouble> {
        self.0.prepare_cached("DELETE FROM acked WHERE link = ? AND start = ?")?.execute(params![link, start])?;
        let mut insert =
            self.0.prepare_cached("INSERT INTO acked VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4))")?;
        for (first, last) in acked.iter() {
            insert.execute(params![link, start, first as i64, last.min(i64::MAX as u64) as i64])?;
        }
        Ok(())
    }

    /// Keeps for this link from now on.
    pub(super) fn keep_for(&self, link: &str) -> Result<(), Trouble> {
        self.0.execute("INSERT INTO links VALUES (?1, checksum(?1))", [link])?;
        Ok(())
    }

    /// Keeps no more for this link.
    pub(super) fn keep_no_more_for(&self, link: &str) -> Result<usize, Trouble> {
        self.0.execute("DELETE FROM acked WHERE link = ?", [link])?;
        Ok(self.0.execute("DELETE FROM links WHERE link = ?", [link])?)
    }
}

/// False: what it is read from cannot be read to its end.
fn copy(from: &Connection, select: &str, to: &mut Statement<'_>) -> Result<bool, Trouble> {
    let Some(mut select) = unless_damaged(from.prepare(select))? else { return Ok(false) };
    let columns = select.column_count();
    let Some(mut rows) = unless_damaged(select.query([]))? else { return Ok(false) };
    loop {
        let Some(row) = unless_damaged(rows.next())? else { return Ok(false) };
        let Some(row) = row else { return Ok(true) };
        for column in 0..columns {
            to.raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(row.get_ref(column)?))?;
        }
        to.raw_execute()?;
    }
}

/// None where it is the file that was read that is at fault.
fn unless_damaged<T>(read: Result<T, impl Into<Trouble>>) -> Result<Option<T>, Trouble> {
    match read.map_err(Into::into) {
        Ok(read) => Ok(Some(read)),
        Err(Trouble::Damaged(_) | Trouble::Unreadable(_)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// What is the matter with the file, if something is.
fn damage(connection: &Connection) -> Result<Option<String>, Trouble> {
    for (table, columns) in CHECKED {
        match is_changed(connection, table, columns) {
            Ok(false) => {}
            Ok(true) => return Ok(Some("a row was changed".to_owned())),
            // Names of columns are bytes of the file like others.
            Err(Trouble::Damaged(what) | Trouble::Unreadable(what)) => return Ok(Some(what)),
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(None)
}

fn is_changed(connection: &Connection, table: &str, columns: &str) -> Result<bool, Trouble> {
    let changed = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE crc IS NOT checksum({columns}))");
    Ok(connection.query_row(&changed, [], |row| row.get(0))?)
}

/// Makes `checksum(…)` known: CRC-32 of the types and bytes of its arguments.
pub(super) fn with_checksums(connection: &Connection) -> Result<(), Trouble> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    Ok(connection.create_scalar_function("checksum", -1, flags, |arguments| {
        let mut checksum = crc32fast::Hasher::new();
        for place in 0..arguments.len() {
            let (kind, bytes): (u8, &[u8]) = match arguments.get_raw(place) {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(number) => (1, &number.to_le_bytes()),
                ValueRef::Real(number) => (2, &number.to_le_bytes()),
                ValueRef::Text(text) => (3, text),
                ValueRef::Blob(bytes) => (4, bytes),
            };
            checksum.update(&[kind]);
            checksum.update(&(bytes.len() as u64).to_le_bytes());
            checksum.update(bytes);
        }
        Ok(i64::from(checksum.finalize()))
    })?)
}

fn name(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Name> {
    let text: String = row.get(column)?;
    Name::try_from(text).map_err(|error| foreign(column, error))
}

fn number(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(number.max(0) as u64)
}

fn values(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Vec<Value>> {
    let readings: Vec<(Arc<str>, f64, Arc<str>)> =
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| foreign(column, error))?;
    Ok(readings.into_iter().map(|(quantity, value, unit)| Value { quantity, value, unit }).collect())
}

fn foreign(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
