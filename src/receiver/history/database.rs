//! The history's tables: what is written into them, in one transaction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::TransactionBehavior;

use super::cache::{Ack, Cache};
use super::expiry_pass::{Gone, Pass};
use super::{ReceivedReadings, aggregates};
use crate::store::{Kind, Store, StoreError};

/// Files of histories. Their id is "wphi", as bytes.
pub(super) const KIND: Kind = Kind {
    application_id: 0x7770_6869,
    version: 2,
    schema: concat!(include_str!("schema.sql"), include_str!("aggregates.sql")),
};

/// A history that is open.
pub(super) struct Database {
    store: Store,
    cache: Cache,
}

/// What is there now.
pub(super) struct Written {
    /// So many messages of the group.
    pub(super) messages: usize,
    /// Who is to be told what.
    pub(super) acks: BTreeSet<Ack>,
    /// Readings that are not kept: their numbers are too large, or there are too many series or pieces. They are acknowledged
    /// where they have a number: they would be no better the next time, and are in the way of others.
    pub(super) refused: u64,
}

impl Database {
    /// Opens the file. What was in its place and made no sense is [`Database::was_set_aside`].
    pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
        let mut store = KIND.open(path)?;
        let cache = match settle(&mut store) {
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => {
                store = store.renew(&KIND, &what)?;
                settle(&mut store)
            }
            settled => settled,
        }?;
        Ok(Database { store, cache })
    }

    /// Where it is now, and what is the matter with it.
    pub(super) fn was_set_aside(&self) -> Option<&(PathBuf, String)> {
        self.store.set_aside.as_ref()
    }

    /// A copy of what was written ahead and not all right.
    pub(super) fn incomplete(&self) -> Option<&Path> {
        self.store.incomplete.as_deref()
    }

    /// Writes messages, the first ones at least, in one transaction. After an error what is cache here is wrong: the file has
    /// to be opened anew.
    pub(super) fn keep(&mut self, group: &[ReceivedReadings]) -> Result<Written, StoreError> {
        let written = self.write(group);
        if written.is_err() {
            self.store.distrust();
        }
        written
    }

    fn write(&mut self, group: &[ReceivedReadings]) -> Result<Written, StoreError> {
        let cache = &mut self.cache;
        if cache.is_full() {
            cache.forget_starts();
        }
        let transaction = self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut written = Written { messages: 0, acks: BTreeSet::new(), refused: 0 };
        cache.compare_clocks(&transaction, group)?;
        for came in group {
            written.refused += cache.put(&transaction, came)?;
            written.messages += 1;
            if cache.is_full() {
                break;
            }
        }
        cache.finish(&transaction)?;
        transaction.commit()?;
        self.store.is_in_place()?;
        for came in &group[..written.messages] {
            self.cache.acknowledge(came, &mut written.acks);
        }
        Ok(written)
    }

    /// Lets a little go of what is too old; after an error as [`Database::keep`]. None: that was all.
    pub(super) fn expire(&mut self, pass: &mut Pass) -> Result<Option<Gone>, StoreError> {
        let gone = pass.step(&mut self.store.connection).and_then(|gone| self.store.tidy().map(|()| gone));
        if gone.is_err() {
            self.store.distrust();
        }
        gone
    }

    /// As [`Store::tidy`].
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        self.store.tidy()
    }

    /// As [`Store::renew`].
    pub(super) fn renew(self, what: &str) -> Result<Database, StoreError> {
        let mut store = self.store.renew(&KIND, what)?;
        let cache = settle(&mut store)?;
        Ok(Database { store, cache })
    }
}

/// Makes sure of what is there. A sync may have failed before, and the system then calls clean what is not on the disk: what
/// is written ahead is written once more, elsewhere, before anything of it is believed.
fn settle(store: &mut Store) -> Result<Cache, StoreError> {
    let (ahead, moved): (i64, i64) =
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if ahead != moved {
        return Err(StoreError::Disk(
            "what was written last cannot be made sure of while another program reads".to_owned(),
        ));
    }
    aggregates::upgrade(&mut store.connection)?;
    for table in ["starts", "readings", "kept", "minutes", "hours", "expired"] {
        store.connection.prepare(&format!("SELECT * FROM {table}"))?;
    }
    Cache::of(&store.connection)
}
