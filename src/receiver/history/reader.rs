//! Who reads the history: beside the thread that writes it, and never in its way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::aggregates::{HOUR, MINUTE};
use super::chart::{Ask, Chart};
use super::database::KIND;
use super::read_error::ReadError;
use super::state::State;
use crate::store::StoreError;

/// Reads that are under way at once, each on a thread; others wait for their turn, but not for ever.
const AT_ONCE: usize = 2;
const TURN: Duration = Duration::from_secs(5);

/// A disk that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(10);

/// Exports that are under way at once: each has a connection and some readings in memory, for as long as who takes them needs.
const EXPORTS: usize = 8;

/// A way to what is in the history.
#[derive(Clone)]
pub struct Reader {
    path: Arc<Path>,
    state: Arc<State>,
    turns: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

/// A quantity of a port, in one unit.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its number in this file.
    pub id: i64,
    /// Whose it is.
    pub agent: String,
    /// Where it was measured.
    pub port: String,
    /// What was measured.
    pub quantity: String,
    /// Empty for raw counts.
    pub unit: String,
}

impl Reader {
    pub(super) fn new(path: PathBuf, state: Arc<State>) -> Reader {
        let (turns, exports) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(EXPORTS)));
        Reader { path: path.into(), state, turns, exports }
    }

    /// Why no reading is kept now; empty: they are.
    #[must_use]
    pub fn cause(&self) -> String {
        self.state.cause()
    }

    /// How many readings have gone since the start because they were too old.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.state.all_expired()
    }

    /// All series, each with the time of its first and its last reading, in microseconds since 1970. Of what has gone only the
    /// minute or the hour is known.
    ///
    /// # Errors
    /// When the file cannot be read, or too many others read it.
    pub async fn series(&self) -> Result<Vec<(Series, i64, i64)>, ReadError> {
        self.read(|connection| {
            let mut found = Vec::new();
            for series in all(connection)?.into_values() {
                if let Some((first, last)) = times(connection, series.id)? {
                    found.push((series, first, last));
                }
            }
            Ok(found)
        })
        .await
    }

    /// What was measured in a time, in so few points that they can be drawn.
    ///
    /// # Errors
    /// As [`Reader::series`]; when there is no such series, and when its time has more hours than can be gone through.
    pub async fn chart(&self, ask: Ask) -> Result<Chart, ReadError> {
        self.read(move |connection| Chart::read(connection, &ask)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.opened(|mut connection| work(&mut connection)).await
    }

    /// Does this with a connection of its own.
    pub(super) async fn opened<T: Send + 'static>(
        &self,
        work: impl FnOnce(Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let path = Arc::clone(&self.path);
        self.take_turn(move || work(open(&path)?)).await
    }

    /// Does this on another thread.
    pub(super) async fn take_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(ReadError::Busy)?;
        let done = timeout(LONGEST, spawn_blocking(move || (work(), drop(turn)).0)).await;
        let hangs = || ReadError::Store(StoreError::Disk("it gives no answer".to_owned()));
        done.map_err(|_| hangs())?.map_err(|_| hangs())?
    }

    /// Room for one more export.
    pub(super) fn room(&self) -> Result<OwnedSemaphorePermit, ReadError> {
        Arc::clone(&self.exports).try_acquire_owned().map_err(|_| ReadError::Busy)
    }
}

/// Anew each time: another file may have taken its place.
fn open(path: &Path) -> Result<Connection, ReadError> {
    let connection = KIND.read(path)?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < KIND.version {
        return Err(StoreError::Other("it is of an older version, and not yet all gone through".to_owned()).into());
    }
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

/// All series by their numbers.
pub(super) fn all(connection: &Connection) -> Result<BTreeMap<i64, Series>, ReadError> {
    let mut select = connection.prepare("SELECT id, agent, port, quantity, unit FROM series")?;
    let rows = select.query_map([], |row| {
        let (agent, port, quantity, unit) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Series { id: row.get(0)?, agent, port, quantity, unit })
    })?;
    Ok(rows.map(|row| row.map(|series| (series.id, series))).collect::<Result<_, _>>()?)
}

/// The finer table knows better, if it still has it.
fn times(connection: &Connection, series: i64) -> Result<Option<(i64, i64)>, ReadError> {
    let mut found: Option<(i64, i64)> = None;
    for (table, length) in [("hours", HOUR), ("minutes", MINUTE), ("readings", 1)] {
        let at = |direction| {
            let sql = format!("SELECT at_us FROM {table} WHERE series = ? ORDER BY at_us {direction} LIMIT 1");
            connection.prepare_cached(&sql)?.query_row([series], |row| row.get::<_, i64>(0)).optional()
        };
        let (Some(first), Some(last)) = (at("ASC")?, at("DESC")?) else { continue };
        found = Some(found.map_or((first, last), |(known_first, known_last)| {
            let is_in_first = first < known_first.saturating_add(if length == 1 { MINUTE } else { HOUR });
            (if is_in_first { first } else { known_first }, last.max(known_last))
        }));
    }
    Ok(found)
}
