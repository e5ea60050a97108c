//! Who may come: what libzmq asks about each peer of a CURVE server whose handshake is right (ZAP, ZeroMQ RFC 27).

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Refusal;
use super::polled::Polled;
use crate::auth::certificate::Allowed;
use crate::key::Key;

/// Where libzmq looks for the handler, in each context.
const HANDLER: &str = "inproc://zeromq.zap.01";

/// Without a domain libzmq asks nobody, and lets everyone in.
pub(super) const DOMAIN: &str = "watchpost";

/// The handler. It has to be there before the link is bound, and is closed after it.
pub(super) struct Gate {
    polled: Polled,
    allowed: Allowed,
}

impl Gate {
    pub(super) fn open(context: &zmq::Context, allowed_keys_dir: &Path) -> Result<Gate> {
        let allowed = Allowed::open(allowed_keys_dir)?;
        let socket = context.socket(zmq::REP)?;
        socket.set_linger(0)?;
        socket.bind(HANDLER).context("cannot ask who may come")?;
        Ok(Gate { polled: Polled::new(socket)?, allowed })
    }

    /// Waits until somebody may want to come in.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.polled.changed().await
    }

    /// Lets in, or not, all who wait; gives those who were refused.
    pub(super) fn answer(&mut self) -> Result<Vec<Refusal>> {
        let mut refused = Vec::new();
        loop {
            let request = match self.polled.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(request) => request,
                Err(zmq::Error::EAGAIN) => return Ok(refused),
                Err(zmq::Error::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let refusal = self.judge(&request);
            let id = request.get(1).map_or(&b""[..], Vec::as_slice);
            // Not 400, after which libzmq's client never tries again, but as if for now: a key may be added.
            let (code, why): (&[u8], &[u8]) = if refusal.is_some() { (b"300", b"unknown key") } else { (b"200", b"") };
            self.polled.socket.send_multipart([b"1.0", id, code, why, b"", b""], zmq::DONTWAIT)?;
            refused.extend(refusal);
        }
    }

    /// A request is version, id, domain, address, identity, mechanism, and for CURVE the key.
    fn judge(&mut self, request: &[Vec<u8>]) -> Option<Refusal> {
        let address = request.get(3).map(|address| String::from_utf8_lossy(address)).unwrap_or_default();
        let address = if address.is_empty() { "this machine" } else { &address };
        let key = match request {
            [_, _, _, _, _, mechanism, key] if mechanism == b"CURVE" => key.as_slice().try_into().ok().map(Key),
            _ => None,
        };
        let Some(key) = key else { return Some(Refusal::of(format!("a peer at {address} that shows no key"), "")) };
        let why = match self.allowed.has(&key) {
            Ok(true) => return None,
            Ok(false) => format!("its key {key} is not among {}; put its .key file there if it may come", self.allowed),
            Err(error) => format!("{error:#}"),
        };
        Some(Refusal::of(format!("a peer at {address}"), &why))
    }
}
