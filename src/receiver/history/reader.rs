//! Reads the history, concurrently with the thread that writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::aggregates::{HOUR, MINUTE};
use super::chart::{Chart, ChartQuery};
use super::database::KIND;
use super::read_error::ReadError;
use super::series::{Series, all_series};
use super::writer_state::WriterState;
use crate::store::StoreError;

/// Concurrent reads, each on a thread; others wait up to `PERMIT_TIMEOUT`.
const MAX_READS: usize = 2;
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Concurrent exports: each holds a connection and some readings in memory until its client has read everything.
const MAX_EXPORTS: usize = 8;

/// Read access to the history. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    path: Arc<Path>,
    state: Arc<WriterState>,
    reads: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, state: Arc<WriterState>) -> Reader {
        let (reads, exports) = (Arc::new(Semaphore::new(MAX_READS)), Arc::new(Semaphore::new(MAX_EXPORTS)));
        Reader { path: path.into(), state, reads, exports }
    }

    /// Why no readings are stored now; empty if they are.
    #[must_use]
    pub fn cause(&self) -> String {
        self.state.cause()
    }

    /// Number of readings that expired since the start.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.state.expired()
    }

    /// Returns all series with the times of their first and last reading, in microseconds since 1970. For expired
    /// readings only the minute or the hour is known.
    ///
    /// # Errors
    /// When the file cannot be read, or too many reads are in progress.
    pub async fn series(&self) -> Result<Vec<(Series, i64, i64)>, ReadError> {
        self.read(|connection| {
            let mut found = Vec::new();
            for series in all_series(connection)?.into_values() {
                if let Some((first, last)) = times(connection, series.id)? {
                    found.push((series, first, last));
                }
            }
            Ok(found)
        })
        .await
    }

    /// Returns a chart of a series. `stale_after_us` returns the age at which a series' newest reading is stale, in
    /// microseconds, if that is known.
    ///
    /// # Errors
    /// As [`Reader::series`]; when the series does not exist, or its period has too many hours.
    pub async fn chart(
        &self,
        query: ChartQuery,
        stale_after_us: impl FnOnce(&Series) -> Option<i64> + Send + 'static,
    ) -> Result<Chart, ReadError> {
        self.read(move |connection| Chart::read(connection, &query, stale_after_us)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.with_connection(|mut connection| work(&mut connection)).await
    }

    /// Runs `work` with a new connection.
    pub(super) async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let path = Arc::clone(&self.path);
        self.with_permit(move || work(open(&path)?)).await
    }

    /// Runs `work` on a blocking thread, once fewer than [`MAX_READS`] others run.
    pub(super) async fn with_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = timeout(PERMIT_TIMEOUT, Arc::clone(&self.reads).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(ReadError::Busy)?;
        let done = timeout(READ_TIMEOUT, spawn_blocking(move || (work(), drop(permit)).0)).await;
        let hung = || ReadError::Store(StoreError::Disk("it does not respond".to_owned()));
        done.map_err(|_| hung())?.map_err(|_| hung())?
    }

    /// Admits one more export.
    pub(super) fn export_permit(&self) -> Result<OwnedSemaphorePermit, ReadError> {
        Arc::clone(&self.exports).try_acquire_owned().map_err(|_| ReadError::Busy)
    }
}

/// Opens the file. Connections are not reused, because the file may have been replaced.
fn open(path: &Path) -> Result<Connection, ReadError> {
    let connection = KIND.read(path)?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < KIND.version {
        return Err(StoreError::Other("it has an older version and is being upgraded".to_owned()).into());
    }
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

/// The times of the first and last reading, from the finest table that still has them.
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
