//! Adds the series of an agent that was renamed to those of its new name.

use rusqlite::{OptionalExtension as _, Transaction};

use super::{ROWS_PER_STEP, SERIES_PER_STEP, delete_some};
use crate::name::Name;
use crate::receiver::history::aggregates::Changes;
use crate::receiver::history::series_index::next_id;
use crate::store::StoreError;

/// Moves everything without a counterpart to the new name. Starts move, too, so that readings that the agent repeats
/// under its new name are not stored twice.
pub(super) fn start(transaction: &Transaction<'_>, from: &Name, into: &Name) -> Result<(), StoreError> {
    for table in ["starts", "series", "unconfirmed"] {
        let rename = format!("UPDATE OR IGNORE {table} SET agent = ? WHERE agent = ?");
        transaction.execute(&rename, (&**into, &**from))?;
    }
    join_starts(transaction, from, into)?;
    add_series(transaction, from, into)?;
    confirm(transaction, from, into)
}

/// Lets the new name's starts have the numbers of the same starts under the old name.
fn join_starts(transaction: &Transaction<'_>, from: &Name, into: &Name) -> Result<(), StoreError> {
    // Overlapping ranges are joined when they are read.
    let join = "INSERT INTO kept(start, first, last)
                SELECT new.id, kept.first, kept.last FROM starts old JOIN starts new USING (boot)
                JOIN kept ON kept.start = old.id WHERE old.agent = ?1 AND new.agent = ?2
                ON CONFLICT DO UPDATE SET last = max(last, excluded.last)";
    transaction.execute(join, (&**from, &**into))?;
    Ok(())
}

/// Adds the series of labels that have a first reading under each name, which are two readings.
fn add_series(transaction: &Transaction<'_>, from: &Name, into: &Name) -> Result<(), StoreError> {
    let add = "INSERT OR IGNORE INTO series(id, agent, port, quantity, unit)
               SELECT ?3 + row_number() OVER () - 1, ?2, port, quantity, unit FROM unconfirmed WHERE agent = ?1";
    transaction.execute(add, (&**from, &**into, next_id(transaction)?))?;
    Ok(())
}

/// Adds first readings of labels to the series that the new name has by now.
fn confirm(transaction: &Transaction<'_>, from: &Name, into: &Name) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    let confirmed = "SELECT first.id, known.id, first.at_us, first.value FROM unconfirmed first JOIN series known
                     ON known.agent = ?2 AND known.port = first.port AND known.quantity = first.quantity
                         AND known.unit = first.unit
                     WHERE first.agent IN (?1, ?2)";
    let mut confirmed = transaction.prepare(confirmed)?;
    let mut rows = confirmed.query((&**from, &**into))?;
    while let Some(row) = rows.next()? {
        let (first, series): (i64, i64) = (row.get(0)?, row.get(1)?);
        let add = "INSERT OR IGNORE INTO readings(series, at_us, start, seq, value, dated)
                   SELECT ?2, at_us, start, seq, value, dated FROM unconfirmed WHERE id = ?1";
        transaction.prepare_cached(add)?.execute((first, series))?;
        transaction.prepare_cached("DELETE FROM unconfirmed WHERE id = ?")?.execute([first])?;
        changes.add(series, row.get(2)?, row.get(3)?);
    }
    changes.write(transaction)
}

/// Moves some rows of series that both names have; returns whether none are left.
pub(super) fn step(transaction: &Transaction<'_>, from: &Name, into: &Name) -> Result<bool, StoreError> {
    let mut moved = 0;
    for _ in 0..SERIES_PER_STEP {
        let Some((old, new)) = next_pair(transaction, from, into)? else { return Ok(true) };
        // The old name may have got this series since the merge began.
        let Some(new) = new else {
            let rename = "UPDATE series SET agent = ? WHERE id = ?";
            transaction.prepare_cached(rename)?.execute((&**into, old))?;
            continue;
        };
        for table in ["readings", "minutes", "hours"] {
            moved += move_some(transaction, table, old, new)?;
            if moved >= ROWS_PER_STEP {
                return Ok(false);
            }
        }
        transaction.prepare_cached("DELETE FROM series WHERE id = ?")?.execute([old])?;
    }
    Ok(false)
}

/// A series of the old name, and the same one of the new name.
fn next_pair(
    transaction: &Transaction<'_>,
    from: &Name,
    into: &Name,
) -> Result<Option<(i64, Option<i64>)>, StoreError> {
    let pair = "SELECT old.id, new.id FROM series old LEFT JOIN series new
                ON new.agent = ?2 AND new.port = old.port AND new.quantity = old.quantity AND new.unit = old.unit
                WHERE old.agent = ?1 LIMIT 1";
    let mut pair = transaction.prepare_cached(pair)?;
    Ok(pair.query_row((&**from, &**into), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Moves the oldest rows from one series to another; returns how many.
fn move_some(transaction: &Transaction<'_>, table: &str, from: i64, into: i64) -> Result<i64, StoreError> {
    let oldest = format!(
        "FROM {table} WHERE series = ?1 AND at_us <= coalesce(
             (SELECT at_us FROM {table} WHERE series = ?1 ORDER BY at_us LIMIT 1 OFFSET {}), {})",
        ROWS_PER_STEP - 1,
        i64::MAX
    );
    let copy = if table == "readings" {
        format!(
            "INSERT OR IGNORE INTO readings(series, at_us, start, seq, value, dated)
             SELECT ?2, at_us, start, seq, value, dated {oldest}"
        )
    } else {
        // The sum of an infinite and a negative infinite sum is NULL.
        format!(
            "INSERT INTO {table}(series, at_us, count, sum, min, max)
             SELECT ?2, at_us, count, sum, min, max {oldest}
             ON CONFLICT DO UPDATE SET count = count + excluded.count, sum = coalesce(sum + excluded.sum, 0),
                 min = min(min, excluded.min), max = max(max, excluded.max)"
        )
    };
    transaction.prepare_cached(&copy)?.execute((from, into))?;
    delete_some(transaction, table, from)
}
