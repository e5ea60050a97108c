//! Reads the history, concurrently with the thread that writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::chart::{Chart, ChartQuery};
use super::database::KIND;
use super::maintenance::{Job, JobError, JobQueue};
use super::read_error::ReadError;
use super::series_list::{Series, SeriesPage, SeriesQuery, agents};
use super::writer_state::WriterState;
use crate::store::StoreError;

/// Concurrent reads, each on a thread; others wait up to `PERMIT_TIMEOUT`.
const MAX_READS: usize = 2;
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Concurrent exports: each holds a connection and some readings in memory until its client has read everything.
const MAX_EXPORTS: usize = 8;

/// Read access to the history, and the way to request changes. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    path: Arc<Path>,
    state: Arc<WriterState>,
    jobs: JobQueue,
    reads: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, state: Arc<WriterState>, jobs: JobQueue) -> Reader {
        let (reads, exports) = (Arc::new(Semaphore::new(MAX_READS)), Arc::new(Semaphore::new(MAX_EXPORTS)));
        Reader { path: path.into(), state, jobs, reads, exports }
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

    /// Number of readings of unconfirmed labels that were removed since the start.
    #[must_use]
    pub fn unconfirmed_removed(&self) -> u64 {
        self.state.unconfirmed_removed()
    }

    /// Requests a change; returns when the history has accepted it.
    ///
    /// # Errors
    /// When the history cannot be changed now, or the job names what does not exist.
    pub async fn request(&self, job: Job) -> Result<(), JobError> {
        self.jobs.request(job).await
    }

    /// Returns a part of the list of series.
    ///
    /// # Errors
    /// When the file cannot be read, or too many reads are in progress.
    pub async fn series(&self, query: SeriesQuery) -> Result<SeriesPage, ReadError> {
        self.read(move |connection| SeriesPage::read(connection, &query)).await
    }

    /// Returns the agents that have series, by name.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn agents(&self) -> Result<Vec<String>, ReadError> {
        self.read(|connection| agents(connection)).await
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
