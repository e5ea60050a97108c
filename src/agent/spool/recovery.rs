//! How the spool's file is opened: whatever is the matter with it, what is sound of it is taken over into a new one.

use std::path::{Path, PathBuf};

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement, TransactionBehavior};

use super::change::Change;
use super::checksum::with_checksums;
use super::columns::number;
use super::disk::{Disk, KIND};
use crate::store::{self, StoreError};

/// What is looked at when the file is opened: table and columns.
const CHECKED: [(&str, &str); 4] = [
    ("starts", "id, boot, machine, zero_us"),
    ("batches", BATCH),
    ("acked", "link, start, first, last"),
    ("links", "link"),
];
const BATCH: &str = "start, seq, count, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings";

impl Disk {
    /// Opens the file; what was damaged is set aside, and what is sound of it is taken over.
    ///
    /// `distrusted`: it could not be written to before. What the kernel then shows of it need not be on the disk, so all of it
    /// is written once more, into a new file.
    pub(super) fn open(path: &Path, distrusted: bool) -> Result<Disk, StoreError> {
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
    fn settle(&mut self, old: &Path, path: &Path, what: Option<String>) -> Result<(), StoreError> {
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

    /// Takes over what is sound of another file: rows from the front and from the back, up to where it cannot be read. True
    /// when that was all.
    fn take_over(&mut self, path: &Path) -> Result<bool, StoreError> {
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
}

/// Moves the file to where it is taken over from. While there is one already, the file is but a copy of that, which was not
/// finished.
fn put_by(path: &Path, old: &Path) -> Result<PathBuf, StoreError> {
    if old.exists() {
        // In this order: what is left of it alone must not look like what was written ahead of the old one.
        store::remove_ahead(path)?;
        store::remove(path)?;
    } else {
        store::rename(path, old)?;
    }
    Ok(old.to_owned())
}

/// False: what it is read from cannot be read to its end.
fn copy(from: &Connection, select: &str, to: &mut Statement<'_>) -> Result<bool, StoreError> {
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
fn unless_damaged<T>(read: Result<T, impl Into<StoreError>>) -> Result<Option<T>, StoreError> {
    match read.map_err(Into::into) {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::Damaged(_) | StoreError::Unreadable(_)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// What is the matter with the file, if something is.
fn damage(connection: &Connection) -> Result<Option<String>, StoreError> {
    for (table, columns) in CHECKED {
        match is_changed(connection, table, columns) {
            Ok(false) => {}
            Ok(true) => return Ok(Some("a row was changed".to_owned())),
            // Names of columns are bytes of the file like others.
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => return Ok(Some(what)),
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(None)
}

fn is_changed(connection: &Connection, table: &str, columns: &str) -> Result<bool, StoreError> {
    let changed = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE crc IS NOT checksum({columns}))");
    Ok(connection.query_row(&changed, [], |row| row.get(0))?)
}
