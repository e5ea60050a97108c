//! Writes to the history's file, in transactions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::TransactionBehavior;

use super::cache::{Ack, Cache};
use super::expiry_pass::{Deleted, Pass};
use super::{ReceivedReadings, aggregates};
use crate::store::{Kind, Store, StoreError};

/// The history's kind of file. Its id is the bytes "wphi".
pub(super) const KIND: Kind = Kind {
    application_id: 0x7770_6869,
    version: 2,
    schema: concat!(include_str!("schema.sql"), include_str!("aggregates.sql")),
};

/// An open history.
pub(super) struct Database {
    store: Store,
    cache: Cache,
}

/// The result of a write.
pub(super) struct Written {
    /// How many messages of the group were written.
    pub(super) messages: usize,
    /// The acknowledgements to send.
    pub(super) acks: BTreeSet<Ack>,
    /// Readings that were refused: their numbers are too large, or there are too many series or gaps. They are
    /// acknowledged where possible, because sending them again would not help and would hold up others.
    pub(super) refused: u64,
}

impl Database {
    /// Opens the file; moves a damaged one away (see [`Database::set_aside`]).
    pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
        let mut store = KIND.open(path)?;
        let cache = match prepare(&mut store) {
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => {
                store = store.renew(&KIND, &what)?;
                prepare(&mut store)
            }
            prepared => prepared,
        }?;
        Ok(Database { store, cache })
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
        if cache.is_full() {
            cache.clear_starts();
        }
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut written = Written { messages: 0, acks: BTreeSet::new(), refused: 0 };
        cache.compare_clocks(&transaction, group)?;
        for message in group {
            written.refused += cache.write(&transaction, message)?;
            written.messages += 1;
            if cache.is_full() {
                break;
            }
        }
        cache.finish(&transaction)?;
        transaction.commit()?;
        self.store.is_in_place()?;
        for message in &group[..written.messages] {
            self.cache.acknowledge(message, &mut written.acks);
        }
        Ok(written)
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
        let mut store = self.store.renew(&KIND, what)?;
        let cache = prepare(&mut store)?;
        Ok(Database { store, cache })
    }
}

/// Verifies the file and fills the cache. After a failed sync the kernel may consider pages clean that are not on the
/// disk, so a checkpoint writes the write-ahead log to the file before anything in it is trusted.
fn prepare(store: &mut Store) -> Result<Cache, StoreError> {
    let (frames, moved): (i64, i64) =
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if frames != moved {
        return Err(StoreError::Disk(
            "the write-ahead log cannot be checked while another program reads the file".to_owned(),
        ));
    }
    aggregates::upgrade(&mut store.connection)?;
    for table in ["starts", "readings", "kept", "minutes", "hours", "expired"] {
        store.connection.prepare(&format!("SELECT * FROM {table}"))?;
    }
    Cache::load(&store.connection)
}
