//! Changes to the history that viewers request. The writer thread makes them in small steps, so that readings are stored
//! meanwhile. A job is in the file before its request is answered, and a restart continues it.

mod merge_agents;
mod remove_agent;

use std::fmt;
use std::sync::Weak;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Input;
use crate::name::{Name, StoredName};
use crate::store::StoreError;

/// Limit of the jobs that are not complete.
const MAX_JOBS: i64 = 1_000;

/// Rows that one step changes, and series that it looks at.
const ROWS_PER_STEP: i64 = 2_000;
const SERIES_PER_STEP: usize = 200;

/// How long a request waits until its job is in the file.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// A change to the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Removes a series, with its readings, minutes and hours. The numbers of its readings stay, so that they are not
    /// stored again.
    RemoveSeries(i64),
    /// Removes all series of an agent.
    RemoveAgent(StoredName),
    /// Adds the series of an agent to those of another one: it was renamed.
    MergeAgents {
        /// The old name.
        from: StoredName,
        /// The new name.
        into: Name,
    },
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The series does not exist.
    #[error("series {0} does not exist; /api/series lists the existing ones")]
    NoSeries(i64),
    /// Too many jobs are waiting, or the writer does not respond.
    #[error("the history is busy; try again in a moment")]
    Busy,
    /// The file cannot be written now.
    #[error("the history cannot be changed now ({0}); see the receiver's log")]
    Failing(String),
    /// Writing failed.
    #[error("the history cannot be changed now ({0}); see the receiver's log")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for JobError {
    fn from(error: rusqlite::Error) -> JobError {
        JobError::Store(error.into())
    }
}

/// A job, and where to report whether it was accepted.
pub(super) type Request = (Job, oneshot::Sender<Result<(), JobError>>);

/// Leads to the writer thread while the history is open. Cheap to clone.
#[derive(Clone)]
pub(super) struct JobQueue(Weak<SyncSender<Input>>);

impl JobQueue {
    pub(super) fn new(writer: Weak<SyncSender<Input>>) -> JobQueue {
        JobQueue(writer)
    }

    /// Hands a job to the writer; returns when it is in the file and its first step is done.
    pub(super) async fn request(&self, job: Job) -> Result<(), JobError> {
        let (reply, accepted) = oneshot::channel();
        let ended = || JobError::Failing("the receiver is shutting down".to_owned());
        let sent = self.0.upgrade().ok_or_else(ended)?.try_send(Input::Job((job, reply)));
        sent.map_err(|_| JobError::Busy)?;
        timeout(ACCEPT_TIMEOUT, accepted).await.map_err(|_| JobError::Busy)?.map_err(|_| ended())?
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::RemoveSeries(series) => write!(f, "remove series {series}"),
            Job::RemoveAgent(agent) => write!(f, "remove the series of agent {}", agent.0),
            Job::MergeAgents { from, into } => write!(f, "merge agent {} into {into}", from.0),
        }
    }
}

impl Job {
    /// Stores the job and makes the part of the change that viewers see at once, in one transaction.
    pub(super) fn accept(&self, transaction: &Transaction<'_>) -> Result<(), JobError> {
        let waiting: i64 = transaction.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))?;
        if waiting >= MAX_JOBS {
            return Err(JobError::Busy);
        }
        let text = serde_json::to_string(self).map_err(|error| StoreError::Other(error.to_string()))?;
        transaction.execute("INSERT INTO jobs(job) VALUES (?)", [text])?;
        match self {
            // Later readings of its label make a new series.
            Job::RemoveSeries(series) => {
                if transaction.execute("DELETE FROM series WHERE id = ?", [series])? == 0 {
                    return Err(JobError::NoSeries(*series));
                }
            }
            Job::RemoveAgent(agent) => remove_agent::start(transaction, &agent.0)?,
            Job::MergeAgents { from, into } => merge_agents::start(transaction, &from.0, into)?,
        }
        Ok(())
    }

    /// Changes a few more rows; returns whether the job is complete. A step depends only on the tables, because a
    /// restart may precede it.
    fn step(&self, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
        match self {
            Job::RemoveSeries(series) => {
                for table in ["readings", "minutes", "hours"] {
                    if delete_some(transaction, table, *series)? >= ROWS_PER_STEP {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Job::RemoveAgent(_) => remove_agent::step(transaction),
            Job::MergeAgents { from, into } => merge_agents::step(transaction, &from.0, into),
        }
    }
}

/// Makes one step of the oldest job, in one transaction; returns the job, and whether it is complete. `None` without a
/// job.
pub(super) fn step(connection: &mut Connection) -> Result<Option<(Job, bool)>, StoreError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let oldest = "SELECT id, job FROM jobs ORDER BY id LIMIT 1";
    let oldest = transaction.query_row(oldest, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some((id, text)) = oldest.optional()? else { return Ok(None) };
    let job: Job = serde_json::from_str(&text).map_err(|error| StoreError::Damaged(format!("a job: {error}")))?;
    let is_complete = job.step(&transaction)?;
    if is_complete {
        transaction.execute("DELETE FROM jobs WHERE id = ?", [id])?;
    }
    transaction.commit()?;
    Ok(Some((job, is_complete)))
}

/// Deletes the oldest rows of a series; returns how many. There may be more if it is [`ROWS_PER_STEP`].
fn delete_some(transaction: &Transaction<'_>, table: &str, series: i64) -> Result<i64, StoreError> {
    let delete = format!(
        "DELETE FROM {table} WHERE series = ?1 AND at_us <= coalesce(
             (SELECT at_us FROM {table} WHERE series = ?1 ORDER BY at_us LIMIT 1 OFFSET ?2), {})",
        i64::MAX
    );
    Ok(transaction.prepare_cached(&delete)?.execute((series, ROWS_PER_STEP - 1))? as i64)
}
