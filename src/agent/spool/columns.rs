//! Converts columns of the spool's file.

use std::sync::Arc;

use rusqlite::Row;

use crate::name::Name;
use crate::wire::Value;

pub(super) fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<Name> {
    // An earlier version allowed longer names.
    row.get::<_, String>(column).map(|text| Name::nearest(&text))
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(number.max(0) as u64)
}

pub(super) fn values(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Value>> {
    let readings: Vec<(Arc<str>, f64, Arc<str>)> =
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| conversion_error(column, error))?;
    Ok(readings.into_iter().map(|(quantity, value, unit)| Value { quantity, value, unit }).collect())
}

fn conversion_error(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
