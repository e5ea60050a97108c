//! An `SQLite` file that survives power cuts and damage, and belongs to one program at a time.
//!
//! It uses WAL mode with synchronous FULL, so every commit is on the disk. A file that is damaged or of another kind is
//! renamed and replaced (`store/files.rs`). `store/wal.rs` saves a damaged write-ahead log.

mod wal;
mod files;
mod error;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub use error::StoreError;
use files::identity;
pub use files::{beside, finish_renaming, is_hollow, remove, remove_ahead, rename, set_aside};
use wal::keep_incomplete;

/// A kind of store.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Marks the files of this kind (`PRAGMA application_id`).
    pub application_id: i32,
    /// Version of the schema (`PRAGMA user_version`). A file of a later version is not opened.
    pub version: i32,
    /// Creates the tables of a new file.
    pub schema: &'static str,
}

/// An open store. No other program can open the file meanwhile.
#[derive(Debug)]
pub struct Store {
    /// The connection to the file.
    pub connection: Connection,
    /// The unusable file that was found: its new path and the reason.
    pub set_aside: Option<(PathBuf, String)>,
    /// Copy of a write-ahead log that was incomplete, because of damage or a power cut.
    pub incomplete: Option<PathBuf>,
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
    lock: File,
}

/// How long to wait for another process that reads the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Size of the write-ahead log above which it is moved into the file.
const MAX_WAL_BYTES: u64 = 4 * 1024 * 1024;

/// Up to this size a file is checked completely when it is opened. Damage in a larger one is found when it is read or
/// written.
const MAX_CHECKED_BYTES: u64 = 256 * 1024 * 1024;

impl Kind {
    /// Opens the file, and creates it and its directory if necessary. Reads all of it to find damage.
    ///
    /// # Errors
    /// If it is in use or newer, or the disk fails.
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        self.open_or(path, claim(path)?, |path| Ok(set_aside(path, path)?))
    }

    /// As [`Kind::open`], for a path that is already [claimed](claim). `move_aside` moves a damaged file and returns its new
    /// path.
    ///
    /// # Errors
    /// As [`Kind::open`], and those of `move_aside`.
    pub fn open_or(
        &self,
        path: &Path,
        lock: File,
        move_aside: impl FnOnce(&Path) -> Result<PathBuf, StoreError>,
    ) -> Result<Store, StoreError> {
        let incomplete = keep_incomplete(&beside(path, "-wal"));
        match self.connect(path) {
            Ok(connection) => Store::of(connection, path, None, incomplete, lock),
            Err(StoreError::Damaged(what) | StoreError::Unreadable(what)) => {
                let aside = move_aside(path)?;
                Store::of(self.connect(path)?, path, Some((aside, what)), incomplete, lock)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading, even if a program uses it.
    ///
    /// # Errors
    /// If it does not exist or is of another kind.
    pub fn read(&self, path: &Path) -> Result<Connection, StoreError> {
        self.beside_its_owner(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a file for a small change, even if a program uses it.
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
        // SQLite would delete the write-ahead log of such a file.
        if is_hollow(path) {
            // Both are moved together later.
            private().create(true).append(true).open(path)?;
            return Err(StoreError::Damaged("it is empty, but has a write-ahead log".to_owned()));
        }
        // SQLite would let every user read a new file. It gives the files next to it the same permissions. SQLite reports
        // errors when it opens the file.
        let _ = private().create_new(true).write(true).open(path);
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Checks each page more strictly. `tidy` moves the write-ahead log, not SQLite.
        connection.execute_batch(
            "PRAGMA cell_size_check = ON; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY",
        )?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Other(format!("{} cannot have a write-ahead log ({mode})", path.display())));
        }
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if connection.is_readonly("main")? {
            let damaged = StoreError::Damaged("its header forbids writing".to_owned());
            return Err(if forbids_writing(path) { damaged } else { StoreError::ReadOnly });
        }
        if tables == 0 && id(&connection)? == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(self.schema)?;
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", self.version)?;
            transaction.commit()?;
        }
        self.recognise(&connection)?;
        if fs::metadata(path)?.len() <= MAX_CHECKED_BYTES {
            check(&connection)?;
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
            Err(StoreError::Damaged(format!(
                "its version is {version}, but its tables are of version {}",
                self.version
            )))
        }
    }
}

/// Reserves a path for this program while the returned lock is open.
///
/// # Errors
/// If another program uses it, or the disk fails.
pub fn claim(path: &Path) -> Result<File, StoreError> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let lock = private().create(true).truncate(false).write(true).open(beside(path, ".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Options for files that only their owner may read, if they are new.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Opens a file of any kind for reading.
///
/// # Errors
/// If it does not exist or cannot be read.
pub fn look_into(path: &Path) -> Result<Connection, StoreError> {
    beside_its_owner(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn beside_its_owner(path: &Path, how: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Whether the file's header permits writing only to a newer `SQLite` ("write version" in
/// <https://sqlite.org/fileformat.html>). None of our files does, so this one is damaged, and its disk is not read-only. Call
/// it only when the file is given up: closing a file releases all locks of the process on it.
fn forbids_writing(path: &Path) -> bool {
    const WRITE_VERSION: u64 = 18;
    const HIGHEST: u8 = 2;
    let mut version = [0];
    File::open(path).is_ok_and(|file| file.read_exact_at(&mut version, WRITE_VERSION).is_ok()) && version[0] > HIGHEST
}

fn check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    // The last line says where the damage starts.
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

    /// Renames the file and starts a new one.
    ///
    /// # Errors
    /// As [`Kind::open`].
    pub fn renew(self, kind: &Kind, what: &str) -> Result<Store, StoreError> {
        self.renew_or(kind, what, |path| Ok(set_aside(path, path)?))
    }

    /// As [`Store::renew`]. `move_aside` moves the file and returns its new path.
    ///
    /// # Errors
    /// As [`Kind::open_or`].
    pub fn renew_or(
        self,
        kind: &Kind,
        what: &str,
        move_aside: impl FnOnce(&Path) -> Result<PathBuf, StoreError>,
    ) -> Result<Store, StoreError> {
        let Store { connection, path, lock, incomplete, .. } = self;
        drop(connection);
        let aside = move_aside(&path)?;
        Store::of(kind.connect(&path)?, &path, Some((aside, what.to_owned())), incomplete, lock)
    }

    /// Keeps the write-ahead log on closing: it may not be on the disk, or the path may have another file now.
    pub fn distrust(&self) {
        // This fails only on an unusable connection.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Checks that the path still has this file: a removed file stays open.
    ///
    /// # Errors
    /// If it has not.
    pub fn is_in_place(&self) -> Result<(), StoreError> {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        Err(StoreError::Disk(format!("{} was removed", self.path.display())))
    }

    /// Moves a large write-ahead log into the file. Call it after commits: `SQLite` could do it automatically, but would not
    /// report errors.
    ///
    /// # Errors
    /// If reading or writing fails.
    pub fn tidy(&self) -> Result<(), StoreError> {
        if fs::metadata(beside(&self.path, "-wal")).is_ok_and(|wal| wal.len() > MAX_WAL_BYTES) {
            // Do not wait for readers. The next call tries again.
            self.connection.busy_timeout(Duration::ZERO)?;
            let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.connection.busy_timeout(BUSY_TIMEOUT)?;
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
    fn store_keeps_rows_and_has_one_owner() {
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
    fn tidy_does_not_wait_for_readers() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.sqlite");
        let store = KIND.open(&path).expect("a new one");
        let reader = KIND.read(&path).expect("it is there");
        reader.execute_batch("BEGIN; SELECT * FROM t").expect("it reads");
        store.connection.execute("INSERT INTO t VALUES (zeroblob(?))", [MAX_WAL_BYTES as i64]).expect("it is written");
        let ahead = || fs::metadata(beside(&path, "-wal")).map_or(0, |wal| wal.len());
        let start = std::time::Instant::now();
        store.tidy().expect("the disk is well");
        assert!(start.elapsed() < BUSY_TIMEOUT / 2 && ahead() > MAX_WAL_BYTES);
        reader.execute_batch("COMMIT").expect("it read");
        store.tidy().expect("the disk is well");
        assert_eq!(ahead(), 0);
    }

    #[test]
    fn other_files_are_moved_aside_and_newer_ones_kept() {
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
            let (aside, _) = store.set_aside.as_ref().expect("the old file");
            assert!(aside.exists());
            assert_eq!(count(&store), 0);
            drop(store);
            fs::remove_file(&path).expect("it is there");
        }
        let ahead = fs::read(beside(&path, ".damaged-3-wal")).expect("the write-ahead log");
        assert_eq!(ahead, b"something else");
        let newer = Kind { version: 2, schema: "CREATE TABLE t(n INTEGER, m INTEGER)", ..KIND };
        drop(newer.open(&path).expect("a new one"));
        assert!(matches!(KIND.open(&path), Err(StoreError::Newer)));
    }
}
