//! Upgrades a file of an earlier version.

use rusqlite::{Connection, Transaction};

use super::aggregates;
use crate::store::StoreError;

/// The tables that version 2 lacks.
const VERSION_3: &str = include_str!("version_3.sql");

/// Upgrades a file to the newest version, in one transaction per version.
pub(super) fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    loop {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let transaction = connection.transaction()?;
        match version {
            3 => return Ok(()),
            2 => transaction.execute_batch(VERSION_3)?,
            1 => aggregates::create(&transaction)?,
            other => return Err(StoreError::Damaged(format!("unknown version {other}"))),
        }
        finish(transaction, version + 1)?;
    }
}

fn finish(transaction: Transaction<'_>, version: i64) -> Result<(), StoreError> {
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}
