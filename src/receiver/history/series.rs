//! The series of the history.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::read_error::ReadError;

/// A quantity of a port in one unit.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its row id in this file.
    pub id: i64,
    /// The agent.
    pub agent: String,
    /// The port.
    pub port: String,
    /// The quantity.
    pub quantity: String,
    /// The unit; empty for raw counts.
    pub unit: String,
}

impl Series {
    /// The columns that [`Series::of`] reads.
    const COLUMNS: &str = "id, agent, port, quantity, unit";

    /// Reads one series; `None` if it does not exist.
    pub(super) fn read(connection: &Connection, id: i64) -> Result<Option<Series>, ReadError> {
        let sql = format!("SELECT {} FROM series WHERE id = ?", Series::COLUMNS);
        Ok(connection.query_row(&sql, [id], Series::of).optional()?)
    }

    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Series> {
        let (agent, port, quantity, unit) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Series { id: row.get(0)?, agent, port, quantity, unit })
    }
}

/// All series, by number.
pub(super) fn all_series(connection: &Connection) -> Result<BTreeMap<i64, Series>, ReadError> {
    let mut select = connection.prepare(&format!("SELECT {} FROM series", Series::COLUMNS))?;
    let rows = select.query_map([], Series::of)?;
    Ok(rows.map(|row| row.map(|series| (series.id, series))).collect::<Result<_, _>>()?)
}
