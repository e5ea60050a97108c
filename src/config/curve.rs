//! `[link.curve]` tables: the keys of an encrypted link.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::address::Endpoint;
use super::error::Fault;
use crate::key::Key;
use crate::name::Name;

/// Encryption and authentication of a link with CURVE (ZeroMQ RFC 26). Its files are read when the link is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Curve {
    /// An end that binds and knows the keys of permitted peers.
    Server {
        /// This end's certificate with the secret key.
        secret_key_file: PathBuf,
        /// Directory with the `*.key` certificates of permitted peers.
        allowed_keys_dir: PathBuf,
    },
    /// An end that connects and knows the key of the bound end.
    Client {
        /// This end's certificate with the secret key.
        secret_key_file: PathBuf,
        /// Public key of the bound end.
        server_key: ServerKey,
    },
}

impl Curve {
    /// Returns the path of this end's certificate with the secret key.
    #[must_use]
    pub fn secret_key_file(&self) -> &Path {
        let (Curve::Server { secret_key_file, .. } | Curve::Client { secret_key_file, .. }) = self;
        secret_key_file
    }

    /// Returns the name of this end's key: its file's name without the extension.
    #[must_use]
    pub fn own_name(&self) -> Cow<'_, str> {
        self.secret_key_file().file_stem().unwrap_or_default().to_string_lossy()
    }

    /// Returns the name of the bound end's key, for an end that connects: its file's name without `.key`, or the key itself.
    #[must_use]
    pub fn server_name(&self) -> Option<Arc<str>> {
        match self {
            Curve::Server { .. } => None,
            Curve::Client { server_key: ServerKey::Written(key), .. } => Some(key.to_string().into()),
            Curve::Client { server_key: ServerKey::File(path), .. } => {
                Some(path.file_stem().unwrap_or_default().to_string_lossy().into())
            }
        }
    }
}

/// By the name of a key, the agents that may use it besides the agent of that name.
pub type Agents = BTreeMap<String, Vec<Name>>;

/// The other end's public key, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKey {
    /// In the configuration, as 40 characters of Z85 (ZeroMQ RFC 32).
    Written(Key),
    /// In a certificate file.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CurveTable {
    secret_key_file: PathBuf,
    server_key: Option<String>,
    allowed_keys_dir: Option<PathBuf>,
}

/// The table of a receiver's link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InletCurveTable {
    secret_key_file: PathBuf,
    server_key: Option<String>,
    allowed_keys_dir: Option<PathBuf>,
    #[serde(default)]
    agents: Agents,
}

impl InletCurveTable {
    /// Separates the keys from the agents.
    pub(super) fn split(table: Spanned<InletCurveTable>) -> (Spanned<CurveTable>, Agents) {
        let span = table.span();
        let InletCurveTable { secret_key_file, server_key, allowed_keys_dir, agents } = table.into_inner();
        (Spanned::new(span, CurveTable { secret_key_file, server_key, allowed_keys_dir }), agents)
    }
}

impl CurveTable {
    /// Checks the table. The end that binds is the server, in the agent as well as in the receiver.
    pub(super) fn check(table: Spanned<CurveTable>, end: &Endpoint) -> Result<Curve, Fault> {
        let span = table.span();
        let CurveTable { secret_key_file, server_key, allowed_keys_dir } = table.into_inner();
        let whole = |key, path: PathBuf| whole(key, path, &span);
        let fault = |key, what: &str| Err(Fault::of(key, span.clone(), what.to_owned()));
        let secret_key_file = whole("secret_key_file", secret_key_file)?;
        match (end, server_key, allowed_keys_dir) {
            (Endpoint::Bind(_), None, Some(dir)) => {
                Ok(Curve::Server { secret_key_file, allowed_keys_dir: whole("allowed_keys_dir", dir)? })
            }
            (Endpoint::Connect(_), Some(key), None) => {
                Ok(Curve::Client { secret_key_file, server_key: server_key_of(key, &span)? })
            }
            (Endpoint::Bind(_), Some(_), _) => fault(
                "server_key",
                "this link binds, so it has no `server_key`; write the directory with the .key files of permitted \
                 peers instead, as in `allowed_keys_dir = \"/etc/watchpost/allowed\"`",
            ),
            (Endpoint::Bind(_), None, None) => fault(
                "curve",
                "this link binds, and needs the keys of permitted peers; write the directory with their .key files, as \
                 in `allowed_keys_dir = \"/etc/watchpost/allowed\"`",
            ),
            (Endpoint::Connect(_), _, Some(_)) => fault(
                "allowed_keys_dir",
                "this link connects, so it permits no peers; write the other end's key instead, as in \
                 `server_key = \"/etc/watchpost/receiver.key\"`",
            ),
            (Endpoint::Connect(_), None, None) => fault(
                "curve",
                "this link connects, and needs the other end's key; write its .key file or the 40 characters in it, \
                 as in `server_key = \"/etc/watchpost/receiver.key\"`",
            ),
        }
    }
}

/// Checks that a path is absolute, because the working directory of a service is not obvious.
fn whole(key: &'static str, path: PathBuf, span: &Range<usize>) -> Result<PathBuf, Fault> {
    if path.is_absolute() {
        return Ok(path);
    }
    let what = format!("{} is not a whole path; start it with /, as in \"/etc/watchpost/…\"", path.display());
    Err(Fault::of(key, span.clone(), what))
}

/// Tells a key from a path. A path may also be 40 characters of Z85, so the file name extension decides.
fn server_key_of(text: String, span: &Range<usize>) -> Result<ServerKey, Fault> {
    let path = Path::new(&text);
    if path.extension().is_some_and(|ending| ending == "key_secret") {
        let public = path.with_extension("key");
        let what = format!(
            "{text} names a secret file, which belongs on the other machine only; write its .key file, as in \"{}\"",
            public.display()
        );
        return Err(Fault::of("server_key", span.clone(), what));
    }
    if path.extension().is_some_and(|ending| ending == "key") {
        return whole("server_key", text.into(), span).map(ServerKey::File);
    }
    let what = "not a key; write the whole path of the other end's .key file, or the 40 characters of its public-key";
    let key = Key::from_z85(&text).ok_or_else(|| Fault::of("server_key", span.clone(), what.into()))?;
    Ok(ServerKey::Written(key))
}
