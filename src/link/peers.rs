//! Beside a link's messages: who comes in, who does not and why, and an end that has to connect once more.

use std::future::pending;

use anyhow::{Context as _, Error, Result};
use tokio::time::{Duration, Instant, sleep_until};

use super::connections::Connections;
use super::gate::{self, Gate};
use super::monitor::{self, Event, Failure, Monitor};
use super::refusal::{Keys, OnRefusal, Refusal};
use super::{LinkOptions, Pattern, set_option};
use crate::auth::certificate::KeyPair;
use crate::config::{Curve, Endpoint};

/// libzmq never tries again after a handshake that was wrong in its eyes, and the other side may be mended: so long after
/// a connection was lost, and none came instead, it is told to.
const AGAIN: Duration = Duration::from_secs(3);

/// `ZMQ_ZAP_ENFORCE_DOMAIN`, which the zmq crates have no name for.
const ZAP_ENFORCE_DOMAIN: i32 = 93;

/// What a link knows of the other side of its socket.
pub(super) struct Peers {
    monitor: Monitor,
    gate: Option<Gate>,
    pattern: Pattern,
    end: Endpoint,
    is_encrypted: bool,
    /// Of an end that connects, if it is encrypted.
    keys: Option<Keys>,
    refused: OnRefusal,
    pub(super) connections: Connections,
    /// An end that connects has a connection.
    is_ready: bool,
    /// Why an end that connects was refused, when that was the last thing that happened to it.
    pub(super) refusal_reason: Option<String>,
    /// When it is connected anew.
    again: Option<Instant>,
}

impl Peers {
    /// Gives a socket its keys, and binds or connects it once all is there that its first peer needs.
    pub(super) fn open(context: &zmq::Context, socket: &mut zmq::Socket, options: &LinkOptions) -> Result<Peers> {
        let LinkOptions { pattern, end, curve, refused } = options.clone();
        let curve = curve.as_ref();
        let keys = curve.map(|curve| encrypt(socket, curve)).transpose()?.flatten();
        let gate = match curve {
            Some(Curve::Server { allowed_keys_dir, .. }) => Some(Gate::open(context, allowed_keys_dir)?),
            Some(Curve::Client { .. }) | None => None,
        };
        let is_encrypted = curve.is_some();
        let monitor = Monitor::start(context, socket)?;
        let mut peers = Peers {
            monitor,
            gate,
            pattern,
            end,
            is_encrypted,
            keys,
            refused,
            connections: Connections::default(),
            is_ready: false,
            refusal_reason: None,
            again: None,
        };
        // The first change is told of only after having asked.
        let begun = peers.attach(socket).and_then(|()| peers.attend(socket));
        begun.inspect_err(|_| monitor::stop(socket))?;
        Ok(peers)
    }

    /// Waits until there is something to attend to.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let gate = async {
            match &mut self.gate {
                Some(gate) => gate.changed().await,
                None => pending().await,
            }
        };
        let again = async {
            match self.again {
                Some(time) => sleep_until(time).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = self.monitor.changed() => changed,
            changed = gate => changed,
            () = again => Ok(()),
        }
    }

    /// Lets peers in, or not, and takes notice of what became of connections.
    pub(super) fn attend(&mut self, socket: &zmq::Socket) -> Result<()> {
        if let Some(gate) = &mut self.gate {
            gate.answer()?.iter().for_each(&*self.refused);
        }
        while let Some(event) = self.monitor.next()? {
            self.notice(event);
        }
        if self.again.is_some_and(|time| time <= Instant::now()) {
            self.again = None;
            // So that there are never two; nothing is left of it if libzmq gave it up.
            let _ = socket.disconnect(self.end.address().as_str());
            self.attach(socket)?;
        }
        Ok(())
    }

    fn attach(&self, socket: &zmq::Socket) -> Result<()> {
        let address = self.end.address().as_str();
        match &self.end {
            Endpoint::Bind(_) => socket.bind(address).map_err(|error| {
                let other = if error == zmq::Error::EADDRINUSE { "; is another watchpost running?" } else { "" };
                Error::new(error).context(format!("cannot bind {address}{other}"))
            }),
            Endpoint::Connect(_) => socket.connect(address).with_context(|| format!("cannot connect to {address}")),
        }
    }

    /// An end that connects, and can tell from its socket that it is connected.
    fn awaits_peer(&self) -> bool {
        self.pattern == Pattern::Pair && matches!(self.end, Endpoint::Connect(_))
    }

    /// The socket has a peer.
    pub(super) fn has_peer(&mut self) {
        if self.is_ready && self.awaits_peer() {
            self.again = None;
        }
    }

    fn refuse(&self, failure: Failure) {
        Refusal::of_peer(failure, self.is_encrypted).iter().for_each(&*self.refused);
    }

    fn be_refused(&mut self, failure: Failure) {
        let refusal = Refusal::by_server(failure, self.keys);
        (self.refused)(&refusal);
        self.refusal_reason = Some(refusal.text);
    }

    fn notice(&mut self, event: Event) {
        match event {
            Event::Open(connection) => self.connections.came(connection),
            Event::Ready => self.connections.shook_hands(),
            Event::Lost(connection) => {
                if self.connections.went(connection) && matches!(self.end, Endpoint::Bind(_)) {
                    self.refuse(Failure::Senseless);
                }
            }
            Event::Failed(_) => self.connections.failed(),
            Event::Nobody => {}
        }
        match (event, &self.end) {
            (Event::Open(_), _) | (Event::Lost(_), Endpoint::Bind(_)) => {}
            (Event::Ready, _) => {
                (self.is_ready, self.refusal_reason) = (true, None);
                // Only then can it be said of a PAIR that it has taken it: it may still have had the one before.
                self.again = self.awaits_peer().then(|| Instant::now() + AGAIN);
            }
            (Event::Nobody, _) => self.refusal_reason = None,
            (Event::Lost(_), Endpoint::Connect(_)) => {
                // Of some failures nothing else is told.
                if !std::mem::take(&mut self.is_ready) && self.refusal_reason.is_none() {
                    self.be_refused(Failure::Other);
                }
                self.again = self.again.or(Some(Instant::now() + AGAIN));
            }
            (Event::Failed(failure), Endpoint::Connect(_)) => self.be_refused(failure),
            (Event::Failed(failure), Endpoint::Bind(_)) => self.refuse(failure),
        }
    }
}

/// Gives the socket its keys; gives the public ones of a client.
fn encrypt(socket: &mut zmq::Socket, curve: &Curve) -> Result<Option<Keys>> {
    let pair = KeyPair::read(curve.secret_key_file())?;
    socket.set_curve_secretkey(&pair.secret.0)?;
    match curve {
        Curve::Server { .. } => {
            socket.set_curve_server(true)?;
            socket.set_zap_domain(gate::DOMAIN)?;
            // Nobody to ask is no reason to let everyone in.
            set_option(socket, ZAP_ENFORCE_DOMAIN, 1).context("libzmq does not keep strangers out")?;
            Ok(None)
        }
        Curve::Client { server_key, .. } => {
            let server = pair.server(server_key)?;
            socket.set_curve_publickey(&pair.public.0)?;
            socket.set_curve_serverkey(&server.0)?;
            Ok(Some(Keys { own: pair.public, server }))
        }
    }
}
