//! Opens the spool's file. If it is damaged, its intact rows are copied to a new one.

use std::path::{Path, PathBuf};

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement, TransactionBehavior};

use super::change::Change;
use super::checksum::add_checksum_function;
use super::columns::number;
use super::disk::{Disk, KIND};
use crate::store::{self, StoreError};

/// The tables, with the columns that their checksums cover.
const TABLES: [(&str, &str); 4] = [
    ("starts", "id, boot, machine, zero_us"),
    ("batches", BATCH_COLUMNS),
    ("acked", "link, start, first, last"),
    ("links", "link"),
];
const BATCH_COLUMNS: &str = "start, seq, count, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings";

impl Disk {
    /// Opens the file. A damaged one is set aside and its intact rows are copied to a new one.
    ///
    /// `needs_copy`: a write failed. The kernel's view of the file may differ from the disk then, so all rows are
    /// written to a new file.
    pub(super) fn open(path: &Path, needs_copy: bool) -> Result<Disk, StoreError> {
        let lock = store::claim(path)?;
        let old = store::beside(path, ".old");
        if old.exists() && !store::beside(&old, "-wal").exists() && !path.exists() {
            // Its write-ahead log may still have the old name.
            store::finish_renaming(path, &old)?;
        }
        if needs_copy || old.exists() {
            move_to_old(path, &old)?;
        }
        let had_old = old.exists();
        let mut store = KIND.open_or(path, lock, |path| move_to_old(path, &old))?;
        add_checksum_function(&store.connection)?;
        if store.set_aside.is_none()
            && let Some(reason) = find_damage(&store.connection)?
        {
            store = store.renew_or(&KIND, &reason, |path| move_to_old(path, &old))?;
            add_checksum_function(&store.connection)?;
        }
        // With an old file, the damaged one was an unfinished copy, which says nothing about the old file.
        let damage = store.set_aside.take().map(|(_, reason)| reason).filter(|_| !had_old);
        let mut disk = Disk { store, readings: 0 };
        if old.exists() {
            disk.recover(&old, path, damage)?;
        }
        let readings = "SELECT coalesce(sum(count), 0) FROM batches";
        disk.readings = disk.store.connection.query_row(readings, [], |row| number(row, 0))?;
        Ok(disk)
    }

    /// Copies the rows of the old file, then sets it aside if it is damaged and deletes it otherwise. The old file
    /// stays in place until its rows are on the disk, so a failed attempt can be repeated.
    fn recover(&mut self, old: &Path, path: &Path, damage: Option<String>) -> Result<(), StoreError> {
        let copied = self.copy_rows(old);
        let is_complete = copied.inspect_err(|_| self.store.distrust())?;
        match damage.or_else(|| (!is_complete).then(|| "not all of it could be read".to_owned())) {
            Some(reason) => self.store.set_aside = Some((store::set_aside(old, path)?, reason)),
            None => store::remove(old)?,
        }
        Ok(())
    }

    /// Whether the rows of an old file still have to be copied, which needs room for all of them.
    pub(super) fn has_old_file(path: &Path) -> bool {
        store::beside(path, ".old").exists()
    }

    /// Copies the intact rows of another file: from the front and from the back, up to where it cannot be read. Returns
    /// true if the file had no damage.
    fn copy_rows(&mut self, path: &Path) -> Result<bool, StoreError> {
        if store::is_hollow(path) {
            return Ok(false);
        }
        // The file's header does not matter: the checksum of each row shows whether it is ours.
        let Some(other) = unless_damaged(store::look_into(path))? else { return Ok(false) };
        add_checksum_function(&other)?;
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut is_complete = true;
        for (table, columns) in TABLES {
            let values = vec!["?"; columns.split(", ").count() + 1].join(", ");
            let mut insert =
                transaction.prepare(&format!("INSERT OR IGNORE INTO {table} ({columns}, crc) VALUES ({values})"))?;
            let orders: &[&str] = if table == "batches" { &["start, seq", "start DESC, seq DESC"] } else { &["rowid"] };
            for order in orders {
                let intact =
                    format!("SELECT {columns}, crc FROM {table} WHERE crc = checksum({columns}) ORDER BY {order}");
                if copy_table(&other, &intact, &mut insert)? {
                    break;
                }
                is_complete = false;
            }
            is_complete &= !has_changed_rows(&other, table, columns).unwrap_or(true);
        }
        let check = other.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        is_complete &= check.is_ok_and(|check| check == "ok");
        Change(&transaction).add_missing_starts()?;
        transaction.commit()?;
        Ok(is_complete)
    }
}

/// Moves the file to `old`, from where its rows are copied. If `old` exists, the file is an unfinished copy of it, and
/// is deleted.
fn move_to_old(path: &Path, old: &Path) -> Result<PathBuf, StoreError> {
    if old.exists() {
        // In this order: a write-ahead log that is left alone would be taken for that of the old file.
        store::remove_ahead(path)?;
        store::remove(path)?;
    } else {
        store::rename(path, old)?;
    }
    Ok(old.to_owned())
}

/// Copies the rows of a query; returns false if it cannot be read to its end.
fn copy_table(from: &Connection, select: &str, insert: &mut Statement<'_>) -> Result<bool, StoreError> {
    let Some(mut select) = unless_damaged(from.prepare(select))? else { return Ok(false) };
    let columns = select.column_count();
    let Some(mut rows) = unless_damaged(select.query([]))? else { return Ok(false) };
    loop {
        let Some(row) = unless_damaged(rows.next())? else { return Ok(false) };
        let Some(row) = row else { return Ok(true) };
        for column in 0..columns {
            insert.raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(row.get_ref(column)?))?;
        }
        insert.raw_execute()?;
    }
}

/// Turns damage of the file that is read into `None`.
fn unless_damaged<T>(read: Result<T, impl Into<StoreError>>) -> Result<Option<T>, StoreError> {
    match read.map_err(Into::into) {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::Damaged(_) | StoreError::Unreadable(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks for damage in all tables; returns a description of it.
fn find_damage(connection: &Connection) -> Result<Option<String>, StoreError> {
    for (table, columns) in TABLES {
        match has_changed_rows(connection, table, columns) {
            Ok(false) => {}
            Ok(true) => return Ok(Some("a row does not match its checksum".to_owned())),
            // Damaged column names make the query fail.
            Err(StoreError::Damaged(reason) | StoreError::Unreadable(reason)) => return Ok(Some(reason)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn has_changed_rows(connection: &Connection, table: &str, columns: &str) -> Result<bool, StoreError> {
    let changed = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE crc IS NOT checksum({columns}))");
    Ok(connection.query_row(&changed, [], |row| row.get(0))?)
}
