//! The list of series, in parts: there may be a million.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::aggregates::{HOUR, MINUTE};
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

/// Which series to list.
#[derive(Clone, Debug)]
pub struct SeriesQuery {
    /// Only series of this agent.
    pub agent: Option<String>,
    /// Only series with a larger id.
    pub after: i64,
    /// The most series to return.
    pub limit: usize,
}

/// Some series, by id.
#[derive(Debug)]
pub struct SeriesPage {
    /// The series with the times of their first and last reading, in microseconds since 1970. For expired readings only
    /// the minute or the hour is known.
    pub series: Vec<(Series, i64, i64)>,
    /// The `after` of the next part; `None` in the last one.
    pub next: Option<i64>,
}

const COLUMNS: &str = "SELECT id, agent, port, quantity, unit FROM series";

impl Series {
    fn of(row: &Row<'_>) -> rusqlite::Result<Series> {
        let (agent, port, quantity, unit) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Series { id: row.get(0)?, agent, port, quantity, unit })
    }

    /// Returns the series with this id.
    pub(super) fn with_id(connection: &Connection, id: i64) -> Result<Option<Series>, ReadError> {
        let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE id = ?"))?;
        Ok(select.query_row([id], Series::of).optional()?)
    }

    /// Returns the series with the smallest id after this one.
    pub(super) fn after(connection: &Connection, id: i64) -> Result<Option<Series>, ReadError> {
        let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE id > ? ORDER BY id LIMIT 1"))?;
        Ok(select.query_row([id], Series::of).optional()?)
    }
}

impl SeriesPage {
    pub(super) fn read(connection: &mut Connection, query: &SeriesQuery) -> Result<SeriesPage, ReadError> {
        // One snapshot of the file for all reads.
        let transaction = connection.transaction()?;
        let SeriesQuery { agent, after, limit } = query;
        // One more row shows whether there is a next part.
        let given = (after, *limit as i64 + 1, agent);
        let by_agent = if agent.is_some() { "AND agent = ?3" } else { "AND ?3 IS NULL" };
        let mut select = transaction.prepare(&format!("{COLUMNS} WHERE id > ?1 {by_agent} ORDER BY id LIMIT ?2"))?;
        let mut all = select.query_map(given, Series::of)?.collect::<Result<Vec<_>, _>>()?;
        let has_more = all.len() > *limit;
        all.truncate(*limit);
        let next = all.last().filter(|_| has_more).map(|series| series.id);
        let mut select = transaction.prepare(TIMES)?;
        let mut series = Vec::new();
        for one in all {
            let times = select.query_row([one.id], |row| {
                let of_table = |column: usize| -> rusqlite::Result<_> {
                    let first: Option<i64> = row.get(column)?;
                    Ok(first.zip(row.get(column + 1)?))
                };
                Ok([(of_table(0)?, HOUR), (of_table(2)?, MINUTE), (of_table(4)?, 1)])
            });
            if let Some((first, last)) = first_and_last(times?) {
                series.push((one, first, last));
            }
        }
        Ok(SeriesPage { series, next })
    }
}

/// The agents that have series. Jumps from one to the next, because each may have many series.
pub(super) fn agents(connection: &Connection) -> Result<Vec<String>, ReadError> {
    let mut select = connection.prepare("SELECT agent FROM series WHERE agent > ? ORDER BY agent LIMIT 1")?;
    let mut agents: Vec<String> = Vec::new();
    loop {
        let last = agents.last().map_or("", String::as_str);
        let Some(next) = select.query_row([last], |row| row.get(0)).optional()? else { return Ok(agents) };
        agents.push(next);
    }
}

/// The first and last time of a series in each table, from the coarsest to the finest.
const TIMES: &str = "SELECT
    (SELECT at_us FROM hours WHERE series = ?1 ORDER BY at_us LIMIT 1),
    (SELECT at_us FROM hours WHERE series = ?1 ORDER BY at_us DESC LIMIT 1),
    (SELECT at_us FROM minutes WHERE series = ?1 ORDER BY at_us LIMIT 1),
    (SELECT at_us FROM minutes WHERE series = ?1 ORDER BY at_us DESC LIMIT 1),
    (SELECT at_us FROM readings WHERE series = ?1 ORDER BY at_us LIMIT 1),
    (SELECT at_us FROM readings WHERE series = ?1 ORDER BY at_us DESC LIMIT 1)";

/// The times of the first and last reading, from the finest table that still has them. `tables`: for each table its
/// first and last time, and the length of its steps in microseconds.
fn first_and_last(tables: [(Option<(i64, i64)>, i64); 3]) -> Option<(i64, i64)> {
    let mut found: Option<(i64, i64)> = None;
    for (times, length) in tables {
        let Some((first, last)) = times else { continue };
        found = Some(found.map_or((first, last), |(known_first, known_last)| {
            let is_in_first = first < known_first.saturating_add(if length == 1 { MINUTE } else { HOUR });
            (if is_in_first { first } else { known_first }, last.max(known_last))
        }));
    }
    found
}
