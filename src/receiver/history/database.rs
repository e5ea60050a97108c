//! Writes to the history's file, in transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::TransactionBehavior;

use super::ReceivedReadings;
use super::cache::{Answer, Cache};
use super::expiry_pass::{Deleted, Pass};
use super::maintenance::{self, Job, JobError};
use super::series_index::SeriesLimits;
use super::upgrade::upgrade;
use crate::name::Name;
use crate::store::{Kind, Store, StoreError};
use crate::wire::Limit;

/// The history's kind of file. Its id is the bytes "wphi".
pub(super) const KIND: Kind = Kind {
    application_id: 0x7770_6869,
    version: 3,
    schema: concat!(include_str!("schema.sql"), include_str!("aggregates.sql"), include_str!("version_3.sql")),
};

/// An open history.
pub(super) struct Database {
    store: Store,
    cache: Cache,
    limits: SeriesLimits,
}

/// The result of a write.
pub(super) struct Written {
    /// How many messages of the group were written.
    pub(super) messages: usize,
    /// The answers to send.
    pub(super) answers: BTreeSet<Answer>,
    /// How many readings of each agent were refused, by limit.
    pub(super) refused: BTreeMap<(Name, Limit), u64>,
}

impl Database {
    /// Opens the file; moves a damaged one away (see [`Database::set_aside`]).
    pub(super) fn open(path: &Path, limits: SeriesLimits) -> Result<Database, StoreError> {
        let mut store = KIND.open(path)?;
        let cache = match prepare(&mut store, limits) {
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => {
                store = store.renew(&KIND, &what)?;
                prepare(&mut store, limits)
            }
            prepared => prepared,
        }?;
        Ok(Database { store, cache, limits })
    }

    /// The damaged file that was found: its new path and the reason.
    pub(super) fn set_aside(&self) -> Option<&(PathBuf, String)> {
        self.store.set_aside.as_ref()
    }

    /// A copy of the incomplete write-ahead log that was found.
    pub(super) fn incomplete(&self) -> Option<&Path> {
        self.store.incomplete.as_deref()
    }

    /// Writes messages in one transaction: all, or the first ones. After an error the cache is wrong, so reopen the
    /// file.
    pub(super) fn store(&mut self, group: &[ReceivedReadings]) -> Result<Written, StoreError> {
        let written = self.write(group);
        if written.is_err() {
            self.store.distrust();
        }
        written
    }

    fn write(&mut self, group: &[ReceivedReadings]) -> Result<Written, StoreError> {
        let cache = &mut self.cache;
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let group = cache.load_starts(&transaction, group)?;
        cache.compare_clocks(&transaction, group)?;
        let refusals = group.iter().map(|message| cache.write(&transaction, message)).collect::<Result<Vec<_>, _>>()?;
        cache.finish(&transaction)?;
        transaction.commit()?;
        self.store.is_in_place()?;
        let mut written = Written { messages: refusals.len(), answers: BTreeSet::new(), refused: BTreeMap::new() };
        for (message, refusals) in group.iter().zip(&refusals) {
            self.cache.answer(message, refusals, &mut written.answers);
            for (limit, count) in refusals.counts() {
                *written.refused.entry((message.readings.agent.clone(), limit)).or_default() += count;
            }
        }
        Ok(written)
    }

    /// The number of series, and its limit.
    pub(super) fn series_usage(&mut self) -> (u64, u64) {
        self.cache.series().usage()
    }

    /// How many readings of unconfirmed labels were removed since the last call, and an agent that they belonged to.
    pub(super) fn take_removed(&mut self) -> Option<(Name, u64)> {
        self.cache.series().unconfirmed().take_removed()
    }

    /// Removes some of the readings of unconfirmed labels that arrived before this time; returns whether there may be
    /// more. After an error, reopen the file.
    pub(super) fn expire_unconfirmed(&mut self, before_us: i64) -> Result<bool, StoreError> {
        let expired = (|| {
            let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let more = self.cache.series().unconfirmed().expire(&transaction, before_us)?;
            transaction.commit()?;
            Ok(more)
        })();
        if expired.is_err() {
            self.store.distrust();
        }
        expired
    }

    /// Stores a job and makes its first change. After an error of the store, reopen the file.
    pub(super) fn accept(&mut self, job: &Job) -> Result<(), JobError> {
        let accepted = (|| {
            let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            job.accept(&transaction)?;
            transaction.commit()?;
            Ok(self.cache.clear(&self.store.connection)?)
        })();
        if matches!(accepted, Err(JobError::Store(_))) {
            self.store.distrust();
        }
        accepted
    }

    /// Makes one step of the oldest job; returns the job, and whether it is complete. `None` without a job. After an
    /// error, reopen the file.
    pub(super) fn work(&mut self) -> Result<Option<(Job, bool)>, StoreError> {
        let worked = (|| {
            let worked = maintenance::step(&mut self.store.connection)?;
            if worked.is_some() {
                self.cache.clear(&self.store.connection)?;
            }
            self.store.tidy()?;
            Ok(worked)
        })();
        if worked.is_err() {
            self.store.distrust();
        }
        worked
    }

    /// Deletes a few expired rows; `None` when the pass is complete. After an error, reopen the file.
    pub(super) fn expire(&mut self, pass: &mut Pass) -> Result<Option<Deleted>, StoreError> {
        let deleted = pass.step(&mut self.store.connection).and_then(|deleted| self.store.tidy().map(|()| deleted));
        if deleted.is_err() {
            self.store.distrust();
        }
        deleted
    }

    /// See [`Store::tidy`].
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        self.store.tidy()
    }

    /// See [`Store::renew`].
    pub(super) fn renew(self, what: &str) -> Result<Database, StoreError> {
        let limits = self.limits;
        let mut store = self.store.renew(&KIND, what)?;
        let cache = prepare(&mut store, limits)?;
        Ok(Database { store, cache, limits })
    }
}

/// Verifies the file and fills the cache. After a failed sync the kernel may consider pages clean that are not on the
/// disk, so a checkpoint writes the write-ahead log to the file before anything in it is trusted.
fn prepare(store: &mut Store, limits: SeriesLimits) -> Result<Cache, StoreError> {
    let (frames, moved): (i64, i64) =
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if frames != moved {
        return Err(StoreError::Disk(
            "the write-ahead log cannot be checked while another program reads the file".to_owned(),
        ));
    }
    upgrade(&mut store.connection)?;
    for table in
        ["starts", "series", "readings", "kept", "minutes", "hours", "expired", "unconfirmed", "removed_series", "jobs"]
    {
        store.connection.prepare(&format!("SELECT * FROM {table}"))?;
    }
    Cache::load(&store.connection, limits)
}
