//! Removes all series of an agent.

use rusqlite::{OptionalExtension as _, Transaction};

use super::{ROWS_PER_STEP, SERIES_PER_STEP, delete_some};
use crate::name::Name;
use crate::store::StoreError;

/// Takes the agent's series off the list. Later steps delete their rows. Later readings of the agent make new series.
pub(super) fn start(transaction: &Transaction<'_>, agent: &Name) -> Result<(), StoreError> {
    let move_ids = "INSERT INTO removed_series(series) SELECT id FROM series WHERE agent = ?";
    for statement in [move_ids, "DELETE FROM series WHERE agent = ?", "DELETE FROM unconfirmed WHERE agent = ?"] {
        transaction.execute(statement, [&**agent])?;
    }
    Ok(())
}

/// Deletes some rows of series that are off the list; returns whether none are left.
pub(super) fn step(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let mut deleted = 0;
    for _ in 0..SERIES_PER_STEP {
        let next = "SELECT series FROM removed_series ORDER BY series LIMIT 1";
        let next = transaction.prepare_cached(next)?.query_row([], |row| row.get::<_, i64>(0)).optional()?;
        let Some(series) = next else { return Ok(true) };
        for table in ["readings", "minutes", "hours"] {
            deleted += delete_some(transaction, table, series)?;
            if deleted >= ROWS_PER_STEP {
                return Ok(false);
            }
        }
        transaction.prepare_cached("DELETE FROM removed_series WHERE series = ?")?.execute([series])?;
    }
    Ok(false)
}
