//! The files that CURVE keys are kept in: certificates as CZMQ and pyzmq write and read them, `NAME.key` with the public
//! key and `NAME.key_secret` with both.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};

use crate::auth::secret;
use crate::config::ServerKey;
use crate::key::Key;

/// More peers than one link has.
const MOST_KEYS: usize = 4096;

/// A public key and the secret that proves it. It cannot be printed by mistake.
pub struct KeyPair {
    /// For everyone to know.
    pub public: Key,
    /// For nobody.
    pub secret: Key,
}

impl KeyPair {
    /// A new one.
    ///
    /// # Errors
    /// When libzmq was built without CURVE.
    pub fn generate() -> Result<KeyPair> {
        let pair = zmq::CurveKeyPair::new().context("libzmq makes no CURVE keys")?;
        Ok(KeyPair { public: Key(pair.public_key), secret: Key(pair.secret_key) })
    }

    /// Reads a `NAME.key_secret`.
    ///
    /// # Errors
    /// When it cannot be read, has no keys or only the public one, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<KeyPair> {
        let file = secret::open_secret(path, "key")?;
        let text = secret::read(&file, path, "key")?;
        // Before the mode: what is for everyone need not be hidden.
        ensure!(
            value(&text, "public-key").is_none() || value(&text, "secret-key").is_some(),
            "{} has no secret key: this is the public half; write {}",
            path.display(),
            path.with_extension("key_secret").display()
        );
        secret::ensure_hidden(&file, path, "key")?;
        Ok(KeyPair { public: find(&text, "public-key", path)?, secret: find(&text, "secret-key", path)? })
    }

    /// The key of the end that an end with this pair connects to.
    ///
    /// # Errors
    /// When it is not to be had, or is this pair's own.
    pub fn server(&self, server: &ServerKey) -> Result<Key> {
        let key = server.read()?;
        ensure!(key != self.public, "`server_key` {key:.8}…: this is this end's own key; write that of the bound end");
        Ok(key)
    }

    /// Writes `NAME.key_secret`, which only its owner can read, and `NAME.key` into a directory, which is made if it is
    /// not there; gives their paths. Files that are there are left as they are.
    ///
    /// # Errors
    /// When one is there already or cannot be written; then neither is made.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let dir = secret::directory(dir)?;
        let (secret, public) = (dir.join(format!("{name}.key_secret")), dir.join(format!("{name}.key")));
        let mut text = format!(
            "# A CURVE certificate of ZeroMQ, made by watchpost\n\nmetadata\ncurve\n    public-key = \"{}\"\n",
            self.public
        );
        secret::create(&public, 0o644, &text)?;
        writeln!(text, "    secret-key = \"{}\"", self.secret).expect("a String takes all");
        secret::create(&secret, 0o600, &text).inspect_err(|_| secret::forget(&public))?;
        Ok((secret, public))
    }
}

impl ServerKey {
    /// The key itself.
    ///
    /// # Errors
    /// When its file cannot be read or has none.
    pub fn read(&self) -> Result<Key> {
        match self {
            ServerKey::Written(key) => Ok(*key),
            ServerKey::File(path) => public(path),
        }
    }
}

/// The public key in a certificate.
fn public(path: &Path) -> Result<Key> {
    find(&secret::read(&secret::open(path, "key")?, path, "key")?, "public-key", path)
}

/// A certificate's lines are `name = "value"`, in sections that are indented by as much as one likes (ZeroMQ RFC 4).
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        (left.trim() == name).then(|| right.trim().trim_matches(['"', '\'']))
    })
}

fn find(text: &str, name: &str, path: &Path) -> Result<Key> {
    let value = value(text, name).with_context(|| {
        format!(
            "{} has no line `{name} = \"…\"`, so it is no certificate; `watchpost keygen` makes some",
            path.display()
        )
    })?;
    Key::from_z85(value).with_context(|| {
        format!("{}: the {name} is not the 40 characters of a key; copy the file once more", path.display())
    })
}

/// The certificates of a directory: the public keys of who may come.
pub struct Allowed {
    dir: PathBuf,
    keys: BTreeSet<Key>,
    /// A file that lets nobody in, and why; it is no reason to keep others out.
    unusable: Option<String>,
    /// When the directory was changed last before it was read, and when that was.
    changed: SystemTime,
    read: Instant,
}

/// A directory that did not change may still have a file that did.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl Allowed {
    /// Reads the directory's `*.key`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(dir: &Path) -> Result<Allowed> {
        let changed = changed(dir)?;
        let mut allowed =
            Allowed { dir: dir.to_owned(), keys: BTreeSet::new(), unusable: None, changed, read: Instant::now() };
        let entries = dir.read_dir().with_context(|| format!("cannot read the allowed keys in {}", dir.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let certificates = paths.filter(|path| path.extension().is_some_and(|ending| ending == "key"));
        for path in certificates.take(MOST_KEYS) {
            match public(&path) {
                Ok(key) => drop(allowed.keys.insert(key)),
                Err(error) => allowed.unusable = Some(format!("{error:#}")),
            }
        }
        Ok(allowed)
    }

    /// Nobody may come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key is there now.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn has(&mut self, key: &Key) -> Result<bool> {
        if changed(&self.dir)? != self.changed || self.read.elapsed() > READ_AGAIN {
            *self = Allowed::open(&self.dir)?;
        }
        Ok(self.keys.contains(key))
    }
}

impl fmt::Display for Allowed {
    /// How many they are and where, and what is wrong there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.keys.len() == 1 { "" } else { "s" };
        write!(f, "the {} key{plural} in {}", self.keys.len(), self.dir.display())?;
        self.unusable.iter().try_for_each(|why| write!(f, " ({why})"))
    }
}

fn changed(dir: &Path) -> Result<SystemTime> {
    let changed = dir.metadata().and_then(|data| data.modified());
    changed.with_context(|| format!("cannot read the allowed keys in {}", dir.display()))
}
