//! Authentication of peers: the handler of libzmq's ZAP requests (ZeroMQ RFC 27).
//!
//! It runs for a CURVE server, and for a link without CURVE that numbers its connections. It gives each connection that it
//! accepts a user id (`origins.rs`).

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::Refusal;
use super::origins::Origins;
use super::polled::Polled;
use crate::auth::certificate::Allowed;
use crate::key::Key;

/// Address of the handler in each libzmq context.
const HANDLER: &str = "inproc://zeromq.zap.01";

/// ZAP domain. Without one libzmq accepts every peer.
pub(super) const DOMAIN: &str = "watchpost";

/// The handler. Open it before the link is bound, and close it after the link.
pub(super) struct Gate {
    polled: Polled,
    /// The keys of permitted peers; without CURVE, every peer is permitted.
    allowed: Option<Allowed>,
}

/// A request to accept a connection: version, id, domain, address, identity, mechanism, and for CURVE the key.
pub(super) struct Request(Vec<Vec<u8>>);

impl Gate {
    pub(super) fn open(context: &zmq::Context, allowed_keys_dir: Option<&Path>) -> Result<Gate> {
        let allowed = allowed_keys_dir.map(Allowed::open).transpose()?;
        let socket = context.socket(zmq::REP)?;
        socket.set_linger(0)?;
        socket.bind(HANDLER).context("cannot start the authentication of peers")?;
        Ok(Gate { polled: Polled::new(socket)?, allowed })
    }

    /// Waits until there may be a request.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.polled.changed().await
    }

    /// Returns the next request, if there is one. Answer it before the next one.
    pub(super) fn next(&self) -> Result<Option<Request>> {
        loop {
            match self.polled.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(parts) => return Ok(Some(Request(parts))),
                Err(zmq::Error::EAGAIN) => return Ok(None),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Answers a request; returns the refusal if the peer is refused.
    pub(super) fn answer(&mut self, request: &Request) -> Result<Option<Refusal>> {
        let id = request.0.get(1).map_or(&b""[..], Vec::as_slice);
        let key = self.check(request);
        // 300 means a temporary error. libzmq's client never retries after 400, and a key may be added later.
        let (code, reason, user): (&[u8], &[u8], String) = match &key {
            Ok(key) => (b"200", b"", Origins::user_id(key.as_deref())),
            Err(_) => (b"300", b"unknown key", String::new()),
        };
        self.polled.socket.send_multipart([b"1.0", id, code, reason, user.as_bytes(), b""], zmq::DONTWAIT)?;
        Ok(key.err())
    }

    /// Returns the name of the peer's key, or `None` without CURVE.
    fn check(&mut self, Request(request): &Request) -> Result<Option<Arc<str>>, Refusal> {
        let Some(allowed) = &mut self.allowed else { return Ok(None) };
        let address = request.get(3).map(|address| String::from_utf8_lossy(address)).unwrap_or_default();
        let address = if address.is_empty() { "this machine" } else { &address };
        let key = match request.as_slice() {
            [_, _, _, _, _, mechanism, key] if mechanism == b"CURVE" => key.as_slice().try_into().ok().map(Key),
            _ => None,
        };
        let Some(key) = key else { return Err(Refusal::of(format!("a peer at {address} without a key"), "")) };
        let reason = match allowed.name_of(&key) {
            Ok(Some(name)) => return Ok(Some(name)),
            Ok(None) => format!("its key {key} is not among {allowed}; to permit it, put its .key file there"),
            Err(error) => format!("{error:#}"),
        };
        Err(Refusal::of(format!("a peer at {address}"), &reason))
    }
}
