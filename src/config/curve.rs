//! `[link.curve]` tables: what a link is encrypted with, and who the other side is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::address::Endpoint;
use super::error::Fault;
use crate::key::Key;

/// Encryption and authentication of a link by CURVE (ZeroMQ RFC 26). The files are read when the link is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Of a bound end, which says whose keys it lets in.
    Server {
        /// This end's certificate with the secret key.
        secret_key_file: PathBuf,
        /// Each `*.key` in it is the certificate of a peer that may come.
        allowed_keys_dir: PathBuf,
    },
    /// Of a connecting end, which knows whom it goes to.
    Client {
        /// This end's certificate with the secret key.
        secret_key_file: PathBuf,
        /// The bound end's public key.
        server_key: ServerKey,
    },
}

impl Curve {
    /// This end's certificate with the secret key.
    #[must_use]
    pub fn secret_key_file(&self) -> &Path {
        let (Curve::Server { secret_key_file, .. } | Curve::Client { secret_key_file, .. }) = self;
        secret_key_file
    }
}

/// Where the other side's public key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKey {
    /// Here, in the 40 characters of Z85 (ZeroMQ RFC 32).
    Written(Key),
    /// In a certificate.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CurveTable {
    secret_key_file: PathBuf,
    server_key: Option<String>,
    allowed_keys_dir: Option<PathBuf>,
}

impl CurveTable {
    /// The bound end is the server, whichever program it is.
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
                "this end is bound and so the server itself; write the directory with the .key files of those that \
                 may come instead, as in `allowed_keys_dir = \"/etc/watchpost/allowed\"`",
            ),
            (Endpoint::Bind(_), None, None) => fault(
                "curve",
                "a bound end needs to know who may come; write the directory with their .key files, as in \
                 `allowed_keys_dir = \"/etc/watchpost/allowed\"`",
            ),
            (Endpoint::Connect(_), _, Some(_)) => fault(
                "allowed_keys_dir",
                "this end connects and lets nobody in; write the bound end's key instead, as in \
                 `server_key = \"/etc/watchpost/receiver.key\"`",
            ),
            (Endpoint::Connect(_), None, None) => fault(
                "curve",
                "an end that connects needs to know the other's key; write its .key file or the 40 characters in it, \
                 as in `server_key = \"/etc/watchpost/receiver.key\"`",
            ),
        }
    }
}

/// A service is started in a directory that nobody thinks of.
fn whole(key: &'static str, path: PathBuf, span: &Range<usize>) -> Result<PathBuf, Fault> {
    if path.is_absolute() {
        return Ok(path);
    }
    let what = format!("{} is not a whole path; begin it with /, as in \"/etc/watchpost/…\"", path.display());
    Err(Fault::of(key, span.clone(), what))
}

/// A path may well be 40 characters of Z85, too, but a key hardly ends as a file's name does.
fn server_key_of(text: String, span: &Range<usize>) -> Result<ServerKey, Fault> {
    let path = Path::new(&text);
    if path.extension().is_some_and(|ending| ending == "key_secret") {
        let public = path.with_extension("key");
        let what = format!(
            "{text} names a secret file, which belongs on the other machine only; write its .key, as in \"{}\"",
            public.display()
        );
        return Err(Fault::of("server_key", span.clone(), what));
    }
    if path.extension().is_some_and(|ending| ending == "key") {
        return whole("server_key", text.into(), span).map(ServerKey::File);
    }
    let what = "not a key; write the other side's .key file with its whole path, or the 40 characters that it has as \
                public-key";
    let key = Key::from_z85(&text).ok_or_else(|| Fault::of("server_key", span.clone(), what.into()))?;
    Ok(ServerKey::Written(key))
}
