//! An `SQLite` file that outlives power cuts and damage, and is one program's.
//!
//! It is in WAL mode with synchronous FULL: what was committed is on the disk. A file that is damaged, or is none of ours,
//! is set aside under another name, so that whoever needs a store has one (`store/files.rs`, and `store/wal.rs` for what was
//! written ahead and not all right).

mod wal;
mod files;
mod error;

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub use error::StoreError;
use files::identity;
pub use files::{beside, finish_renaming, is_hollow, remove, remove_ahead, rename, set_aside};
use wal::keep_incomplete;

/// What a file is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Marks the files of this kind (`PRAGMA application_id`).
    pub application_id: i32,
    /// Of the schema (`PRAGMA user_version`), and each has another one; a file of a later version is left alone.
    pub version: i32,
    /// Makes the tables of a new file.
    pub schema: &'static str,
}

/// An open store. The file is this program's for as long.
#[derive(Debug)]
pub struct Store {
    /// To the file.
    pub connection: Connection,
    /// What was in its place and could not be used: where it is now, and what is the matter with it.
    pub set_aside: Option<(PathBuf, String)>,
    /// A copy of what had been written ahead of it and was not all right: it is damaged, or a power cut came in the middle of
    /// a write and the disk took the later first.
    pub incomplete: Option<PathBuf>,
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
    lock: File,
}

/// How long another process, which looks at the file, is waited for.
const BUSY: Duration = Duration::from_secs(2);

/// From this size on what was written ahead is moved into the file.
const AHEAD: u64 = 4 * 1024 * 1024;

/// Up to this size a file is looked through when it is opened. A larger one takes too long: what is damaged of it is found
/// where it is read or written.
const LOOKED_THROUGH: u64 = 256 * 1024 * 1024;

impl Kind {
    /// Opens the file, which is made with its directory if there is none. All of it is looked at, which takes as long as
    /// reading it does.
    ///
    /// # Errors
    /// When it is in use or newer, or the disk does not allow it.
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        self.open_or(path, claim(path)?, |path| Ok(set_aside(path, path)?))
    }

    /// As [`Kind::open`] of what is [`claim`]ed; a file that is damaged is moved by `put_by`, which gives where to.
    ///
    /// # Errors
    /// As [`Kind::open`], and those of `put_by`.
    pub fn open_or(
        &self,
        path: &Path,
        lock: File,
        put_by: impl FnOnce(&Path) -> Result<PathBuf, StoreError>,
    ) -> Result<Store, StoreError> {
        let incomplete = keep_incomplete(&beside(path, "-wal"));
        match self.connect(path) {
            Ok(connection) => Store::of(connection, path, None, incomplete, lock),
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => {
                let aside = put_by(path)?;
                Store::of(self.connect(path)?, path, Some((aside, what)), incomplete, lock)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Opens a file for reading, whoever has it.
    ///
    /// # Errors
    /// When it is not there, or none of this kind.
    pub fn read(&self, path: &Path) -> Result<Connection, StoreError> {
        self.beside_its_owner(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a file for a small change, whoever has it.
    ///
    /// # Errors
    /// As [`Kind::read`].
    pub fn join(&self, path: &Path) -> Result<Connection, StoreError> {
        self.beside_its_owner(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn beside_its_owner(&self, path: &Path, how: OpenFlags) -> Result<Connection, StoreError> {
        let connection = beside_its_owner(path, how)?;
        self.recognise(&connection)?;
        Ok(connection)
    }

    fn connect(&self, path: &Path) -> Result<Connection, StoreError> {
        // SQLite would delete it: it is not what such a file could have had.
        if is_hollow(path) {
            // So that the two stay together, wherever they are moved.
            File::options().create(true).append(true).open(path)?;
            return Err(StoreError::Damaged("empty, and it was not".to_owned()));
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // Looks at each page more closely; nothing of the rest is to happen behind our back.
        connection.execute_batch(
            "PRAGMA cell_size_check = ON; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY",
        )?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Other(format!("{} cannot be written ahead ({mode})", path.display())));
        }
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if connection.is_readonly("main")? {
            let forbids = StoreError::Damaged("its header forbids writing".to_owned());
            return Err(if forbids_writing(path) { forbids } else { StoreError::ReadOnly });
        }
        if tables == 0 && id(&connection)? == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(self.schema)?;
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", self.version)?;
            transaction.commit()?;
        }
        self.recognise(&connection)?;
        if fs::metadata(path)?.len() <= LOOKED_THROUGH {
            look_through(&connection)?;
        }
        Ok(connection)
    }

    fn recognise(&self, connection: &Connection) -> Result<(), StoreError> {
        if id(connection)? != self.application_id {
            return Err(StoreError::Damaged("a file of another kind".to_owned()));
        }
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version <= self.version {
            return Ok(());
        }
        let others = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE instr(?, sql) = 0)";
        if connection.query_row(others, [self.schema], |row| row.get(0))? {
            Err(StoreError::Newer)
        } else {
            Err(StoreError::Damaged(format!("its version is {version}, its tables are of version {}", self.version)))
        }
    }
}

/// Makes a path this program's, for as long as what it gives is open.
///
/// # Errors
/// When another program has it, or the disk does not allow it.
pub fn claim(path: &Path) -> Result<File, StoreError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let lock = File::options().create(true).truncate(false).write(true).open(beside(path, ".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Opens a file of whatever kind for reading, to see what is in it.
///
/// # Errors
/// When it is not there, or cannot be read at all.
pub fn look_into(path: &Path) -> Result<Connection, StoreError> {
    beside_its_owner(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn beside_its_owner(path: &Path, how: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Whether a file's header says that only a newer `SQLite` may write it, as none of ours does: it would be taken for one on a
/// disk that is read-only for now, and waited for. In <https://sqlite.org/fileformat.html> it is the file format's write
/// version. To be asked when the file is given up: whoever closes a file loses all locks on it.
fn forbids_writing(path: &Path) -> bool {
    const WRITE_VERSION: u64 = 18;
    const HIGHEST: u8 = 2;
    let mut version = [0];
    File::open(path).is_ok_and(|file| file.read_exact_at(&mut version, WRITE_VERSION).is_ok()) && version[0] > HIGHEST
}

fn look_through(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    // Where it begins to be damaged is said in the last line.
    Err(StoreError::Damaged(found.lines().last().unwrap_or(&found).to_owned()))
}

fn id(connection: &Connection) -> Result<i32, StoreError> {
    Ok(connection.pragma_query_value(None, "application_id", |row| row.get(0))?)
}

impl Store {
    fn of(
        connection: Connection,
        path: &Path,
        set_aside: Option<(PathBuf, String)>,
        incomplete: Option<PathBuf>,
        lock: File,
    ) -> Result<Store, StoreError> {
        Ok(Store { path: path.to_owned(), identity: identity(path)?, connection, set_aside, incomplete, lock })
    }

    /// Sets the file aside and begins another one.
    ///
    /// # Errors
    /// As [`Kind::open`].
    pub fn renew(self, kind: &Kind, what: &str) -> Result<Store, StoreError> {
        self.renew_or(kind, what, |path| Ok(set_aside(path, path)?))
    }

    /// As [`Store::renew`]; the file is moved by `put_by`, which gives where to.
    ///
    /// # Errors
    /// As [`Kind::open_or`].
    pub fn renew_or(
        self,
        kind: &Kind,
        what: &str,
        put_by: impl FnOnce(&Path) -> Result<PathBuf, StoreError>,
    ) -> Result<Store, StoreError> {
        let Store { connection, path, lock, incomplete, .. } = self;
        drop(connection);
        let aside = put_by(&path)?;
        Store::of(kind.connect(&path)?, &path, Some((aside, what.to_owned())), incomplete, lock)
    }

    /// What was written ahead is left where it is when this is closed: it may not be on the disk, or the file not the one that
    /// is in its place.
    pub fn distrust(&self) {
        // It fails on a connection that cannot do anything at all.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Whether the file is where it was opened: one who removes it has not removed what is open here.
    ///
    /// # Errors
    /// When it is not.
    pub fn is_in_place(&self) -> Result<(), StoreError> {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        Err(StoreError::Disk(format!("{} was taken away", self.path.display())))
    }

    /// Moves what was written ahead into the file, when it has become much. To be called after a commit: `SQLite` would do it
    /// by itself, and not say when it fails.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub fn tidy(&self) -> Result<(), StoreError> {
        if fs::metadata(beside(&self.path, "-wal")).is_ok_and(|wal| wal.len() > AHEAD) {
            // One who reads meanwhile is not waited for; the next time will do.
            self.connection.busy_timeout(Duration::ZERO)?;
            let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.connection.busy_timeout(BUSY)?;
            moved?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { application_id: 7, version: 1, schema: "CREATE TABLE t(n INTEGER)" };

    fn count(store: &Store) -> i64 {
        store.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a table")
    }

    #[test]
    fn store_is_persistent_and_locked_by_one_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/store.sqlite");
        let store = KIND.open(&path).expect("a new one");
        store.connection.execute("INSERT INTO t VALUES (1)", []).expect("it is written");
        assert!(matches!(KIND.open(&path), Err(StoreError::InUse)));
        assert!(KIND.read(&path).is_ok(), "readers need no lock");
        drop(store);
        let store = KIND.open(&path).expect("the same");
        assert_eq!((count(&store), &store.set_aside), (1, &None));
    }

    #[test]
    fn checkpoint_does_not_wait_for_readers() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.sqlite");
        let store = KIND.open(&path).expect("a new one");
        let reader = KIND.read(&path).expect("it is there");
        reader.execute_batch("BEGIN; SELECT * FROM t").expect("it reads");
        store.connection.execute("INSERT INTO t VALUES (zeroblob(?))", [AHEAD as i64]).expect("it is written");
        let ahead = || fs::metadata(beside(&path, "-wal")).map_or(0, |wal| wal.len());
        let start = std::time::Instant::now();
        store.tidy().expect("the disk is well");
        assert!(start.elapsed() < BUSY / 2 && ahead() > AHEAD);
        reader.execute_batch("COMMIT").expect("it read");
        store.tidy().expect("the disk is well");
        assert_eq!(ahead(), 0);
    }

    #[test]
    fn foreign_file_is_set_aside_and_newer_one_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.sqlite");
        let other = Kind { application_id: 8, ..KIND };
        let wrong: [&dyn Fn(); 4] = [
            &|| fs::write(&path, "no database at all").expect("it is written"),
            &|| drop(other.open(&path).expect("a new one")),
            &|| {
                fs::write(&path, "").expect("it is written");
                fs::write(beside(&path, "-wal"), "something").expect("it is written");
            },
            // As after a crash while the two files were moved.
            &|| fs::write(beside(&path, "-wal"), "something else").expect("it is written"),
        ];
        for make in wrong {
            make();
            let store = KIND.open(&path).expect("a new one");
            let (aside, _) = store.set_aside.as_ref().expect("what was there");
            assert!(aside.exists());
            assert_eq!(count(&store), 0);
            drop(store);
            fs::remove_file(&path).expect("it is there");
        }
        let ahead = fs::read(beside(&path, ".damaged-3-wal")).expect("what was written ahead");
        assert_eq!(ahead, b"something else");
        let newer = Kind { version: 2, schema: "CREATE TABLE t(n INTEGER, m INTEGER)", ..KIND };
        drop(newer.open(&path).expect("a new one"));
        assert!(matches!(KIND.open(&path), Err(StoreError::Newer)));
    }
}
