//! Authentication of peers by a CURVE server: the handler of libzmq's ZAP requests (ZeroMQ RFC 27).

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Refusal;
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
    allowed: Allowed,
}

impl Gate {
    pub(super) fn open(context: &zmq::Context, allowed_keys_dir: &Path) -> Result<Gate> {
        let allowed = Allowed::open(allowed_keys_dir)?;
        let socket = context.socket(zmq::REP)?;
        socket.set_linger(0)?;
        socket.bind(HANDLER).context("cannot start the authentication of peers")?;
        Ok(Gate { polled: Polled::new(socket)?, allowed })
    }

    /// Waits until there may be a request.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.polled.changed().await
    }

    /// Answers all requests; returns the refusals.
    pub(super) fn answer(&mut self) -> Result<Vec<Refusal>> {
        let mut refused = Vec::new();
        loop {
            let request = match self.polled.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(request) => request,
                Err(zmq::Error::EAGAIN) => return Ok(refused),
                Err(zmq::Error::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let refusal = self.check(&request);
            let id = request.get(1).map_or(&b""[..], Vec::as_slice);
            // 300 means a temporary error. libzmq's client never retries after 400, and a key may be added later.
            let (code, reason): (&[u8], &[u8]) =
                if refusal.is_some() { (b"300", b"unknown key") } else { (b"200", b"") };
            self.polled.socket.send_multipart([b"1.0", id, code, reason, b"", b""], zmq::DONTWAIT)?;
            refused.extend(refusal);
        }
    }

    /// Checks a request: version, id, domain, address, identity, mechanism, and for CURVE the key.
    fn check(&mut self, request: &[Vec<u8>]) -> Option<Refusal> {
        let address = request.get(3).map(|address| String::from_utf8_lossy(address)).unwrap_or_default();
        let address = if address.is_empty() { "this machine" } else { &address };
        let key = match request {
            [_, _, _, _, _, mechanism, key] if mechanism == b"CURVE" => key.as_slice().try_into().ok().map(Key),
            _ => None,
        };
        let Some(key) = key else { return Some(Refusal::of(format!("a peer at {address} without a key"), "")) };
        let reason = match self.allowed.has(&key) {
            Ok(true) => return None,
            Ok(false) => format!("its key {key} is not among {}; to permit it, put its .key file there", self.allowed),
            Err(error) => format!("{error:#}"),
        };
        Some(Refusal::of(format!("a peer at {address}"), &reason))
    }
}
