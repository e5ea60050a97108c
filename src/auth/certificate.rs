//! Files with CURVE keys: certificates in the format of CZMQ and pyzmq. `NAME.key` has the public key,
//! `NAME.key_secret` both keys.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};

use crate::auth::secret;
use crate::config::ServerKey;
use crate::key::Key;

/// Certificates that are read from a directory; no link has more peers.
const MAX_KEYS: usize = 4096;

/// A public key and its secret key. It cannot be printed by mistake.
pub struct KeyPair {
    /// The public key.
    pub public: Key,
    /// The secret key.
    pub secret: Key,
}

impl KeyPair {
    /// Creates a new pair.
    ///
    /// # Errors
    /// If libzmq was built without CURVE.
    pub fn generate() -> Result<KeyPair> {
        let pair = zmq::CurveKeyPair::new().context("this libzmq has no CURVE encryption")?;
        Ok(KeyPair { public: Key(pair.public_key), secret: Key(pair.secret_key) })
    }

    /// Reads a `NAME.key_secret`.
    ///
    /// # Errors
    /// If it cannot be read, has no keys or only the public one, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<KeyPair> {
        let missing = "`watchpost keygen` creates a key pair";
        let file = secret::open_secret(path, "key").map_err(|error| secret::advise_if_missing(error, missing))?;
        let text = secret::read(&file, path, "key")?;
        // Before the mode, because a public key may be readable by everyone.
        ensure!(
            value(&text, "public-key").is_none() || value(&text, "secret-key").is_some(),
            "{} has no secret key: this is the public half; write {}",
            path.display(),
            path.with_extension("key_secret").display()
        );
        secret::ensure_hidden(&file, path, "key")?;
        Ok(KeyPair { public: find(&text, "public-key", path)?, secret: find(&text, "secret-key", path)? })
    }

    /// Returns the public key of the bound end, for an end with this pair that connects.
    ///
    /// # Errors
    /// If it cannot be read, or is this pair's own key.
    pub fn server(&self, server: &ServerKey) -> Result<Key> {
        let key = server.read()?;
        ensure!(
            key != self.public,
            "`server_key` {key:.8}…: this is this end's own key; write the key of the end that binds"
        );
        Ok(key)
    }

    /// Writes `NAME.key_secret`, which only its owner can read, and `NAME.key` into a directory, which is created if
    /// necessary; returns their paths. Never overwrites a file.
    ///
    /// # Errors
    /// If one already exists or cannot be written; then neither is created.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let dir = secret::directory(dir)?;
        let (secret, public) = (dir.join(format!("{name}.key_secret")), dir.join(format!("{name}.key")));
        let mut text = format!(
            "# A CURVE certificate of ZeroMQ, made by watchpost\n\nmetadata\ncurve\n    public-key = \"{}\"\n",
            self.public
        );
        secret::create(&public, 0o644, &text)?;
        writeln!(text, "    secret-key = \"{}\"", self.secret).expect("writing to a String cannot fail");
        secret::create(&secret, 0o600, &text).inspect_err(|_| secret::remove(&public))?;
        Ok((secret, public))
    }
}

impl ServerKey {
    /// Returns the key.
    ///
    /// # Errors
    /// If its file cannot be read or has no key.
    pub fn read(&self) -> Result<Key> {
        match self {
            ServerKey::Written(key) => Ok(*key),
            ServerKey::File(path) => public(path)
                .map_err(|error| secret::advise_if_missing(error, "copy the .key file of the other end there")),
        }
    }
}

/// Returns the name of a certificate's file without its extension.
fn file_name(path: &Path) -> Arc<str> {
    path.file_stem().unwrap_or_default().to_string_lossy().into()
}

/// Returns the public key in a certificate.
fn public(path: &Path) -> Result<Key> {
    find(&secret::read(&secret::open(path, "key")?, path, "key")?, "public-key", path)
}

/// Returns the value of `name = "value"` in a certificate, whose sections have any indentation (ZeroMQ RFC 4).
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        (left.trim() == name).then(|| right.trim().trim_matches(['"', '\'']))
    })
}

fn find(text: &str, name: &str, path: &Path) -> Result<Key> {
    let value = value(text, name).with_context(|| {
        format!(
            "{} has no line `{name} = \"…\"`, so it is not a certificate; `watchpost keygen` creates one",
            path.display()
        )
    })?;
    Key::from_z85(value).with_context(|| {
        format!("{}: the {name} is not the 40 characters of a key; copy the file again", path.display())
    })
}

/// The certificates of a directory: the public keys of permitted peers.
pub struct Allowed {
    dir: PathBuf,
    /// The name of each key: its file's name without `.key`. Of several files with one key, the first by name counts.
    keys: BTreeMap<Key, Arc<str>>,
    /// Why a file of the directory cannot be used. The others still count.
    unusable: Option<String>,
    /// When the directory was last changed, and when it was read.
    changed: SystemTime,
    read: Instant,
}

/// An unchanged directory may contain a changed file, so it is read again after this time.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

impl Allowed {
    /// Reads the directory's `*.key` files.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn open(dir: &Path) -> Result<Allowed> {
        let changed = changed(dir)?;
        let mut allowed =
            Allowed { dir: dir.to_owned(), keys: BTreeMap::new(), unusable: None, changed, read: Instant::now() };
        let entries = dir.read_dir().with_context(|| format!("cannot read the allowed keys in {}", dir.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let certificates = paths.filter(|path| path.extension().is_some_and(|ending| ending == "key"));
        let mut certificates: Vec<_> = certificates.take(MAX_KEYS).collect();
        certificates.sort();
        for path in certificates {
            match public(&path) {
                Ok(key) => drop(allowed.keys.entry(key).or_insert_with(|| file_name(&path))),
                Err(error) => allowed.unusable = Some(format!("{error:#}")),
            }
        }
        Ok(allowed)
    }

    /// Whether no peer is permitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the name of the key if it is permitted now.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn name_of(&mut self, key: &Key) -> Result<Option<Arc<str>>> {
        if changed(&self.dir)? != self.changed || self.read.elapsed() > REREAD_INTERVAL {
            *self = Allowed::open(&self.dir)?;
        }
        Ok(self.keys.get(key).cloned())
    }
}

impl fmt::Display for Allowed {
    /// Their number, the directory, and a file that cannot be used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.keys.len() == 1 { "" } else { "s" };
        write!(f, "the {} key{plural} in {}", self.keys.len(), self.dir.display())?;
        self.unusable.iter().try_for_each(|why| write!(f, " ({why})"))
    }
}

fn changed(dir: &Path) -> Result<SystemTime> {
    let changed = dir.metadata().and_then(|data| data.modified());
    let changed = changed.with_context(|| format!("cannot read the allowed keys in {}", dir.display()));
    let missing = "create that directory, and copy the .key files of permitted peers there";
    changed.map_err(|error| secret::advise_if_missing(error, missing))
}
