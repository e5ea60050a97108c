//! The peers of a link: authentication, refusals with their reasons, and reconnecting after a failed handshake.

use std::future::pending;

use anyhow::{Context as _, Error, Result};
use tokio::time::{Duration, Instant, sleep_until};

use super::connections::Connections;
use super::gate::{self, Gate};
use super::guard::Guard;
use super::monitor::{self, Event, Failure, Monitor};
use super::options::set_option;
use super::origins::Origins;
use super::refusal::{Keys, OnRefusal, Refusal};
use super::{LinkOptions, Pattern};
use crate::auth::certificate::KeyPair;
use crate::config::{Curve, Endpoint};

/// libzmq does not retry after some failed handshakes. Reconnect after this time without a connection, in case the other
/// side was fixed.
const RECONNECT_DELAY: Duration = Duration::from_secs(3);

/// `ZMQ_ZAP_ENFORCE_DOMAIN`, which the zmq crates do not define.
const ZAP_ENFORCE_DOMAIN: i32 = 93;

/// What a link knows about its peers.
pub(super) struct Peers {
    monitor: Monitor,
    gate: Option<Gate>,
    pattern: Pattern,
    end: Endpoint,
    is_encrypted: bool,
    /// For an encrypted end that connects.
    keys: Option<Keys>,
    refused: OnRefusal,
    pub(super) connections: Connections,
    pub(super) origins: Origins,
    pub(super) guard: Guard,
    /// Whether an end that connects has completed its handshake.
    is_ready: bool,
    /// Why an end that connects was refused, until it succeeds or finds nobody.
    pub(super) refusal_reason: Option<String>,
    /// When to reconnect.
    reconnect_at: Option<Instant>,
}

impl Peers {
    /// Sets a socket's keys, then binds or connects it when everything is ready for its first peer.
    pub(super) fn open(context: &zmq::Context, socket: &mut zmq::Socket, options: &LinkOptions) -> Result<Peers> {
        let LinkOptions { pattern, end, curve, identify, refused } = options.clone();
        let curve = curve.as_ref();
        let keys = curve.map(|curve| encrypt(socket, curve)).transpose()?.flatten();
        let gate = match curve {
            Some(Curve::Server { allowed_keys_dir, .. }) => Some(Gate::open(context, Some(allowed_keys_dir))?),
            None if identify && matches!(end, Endpoint::Bind(_)) => {
                require_gate(socket)?;
                Some(Gate::open(context, None)?)
            }
            Some(Curve::Client { .. }) | None => None,
        };
        let origins = match (&end, curve) {
            (Endpoint::Bind(_), _) => Origins::bound(),
            (Endpoint::Connect(_), curve) => Origins::connecting(curve.and_then(Curve::server_name)),
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
            origins,
            guard: Guard::new()?,
            is_ready: false,
            refusal_reason: None,
            reconnect_at: None,
        };
        // libzmq signals changes only after the first read.
        let started = peers.attach(socket).and_then(|()| peers.attend(socket));
        started.inspect_err(|_| monitor::stop(socket))?;
        Ok(peers)
    }

    /// Waits until [`Peers::attend`] may have something to do.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let gate = async {
            match &mut self.gate {
                Some(gate) => gate.changed().await,
                None => pending().await,
            }
        };
        let reconnect = async {
            match self.reconnect_at {
                Some(time) => sleep_until(time).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = self.monitor.changed() => changed,
            changed = gate => changed,
            changed = self.guard.changed() => changed,
            () = reconnect => Ok(()),
        }
    }

    /// Authenticates peers, handles events of connections, and reconnects when it is time.
    pub(super) fn attend(&mut self, socket: &zmq::Socket) -> Result<()> {
        self.authenticate()?;
        if self.reconnect_at.is_some_and(|time| time <= Instant::now()) {
            self.reconnect_at = None;
            // Avoids a second connection. This fails if libzmq already gave up the first.
            let _ = socket.disconnect(self.end.address().as_str());
            self.attach(socket)?;
        }
        Ok(())
    }

    /// Answers the gate's requests and handles events. The events before a request come first: its connection may reuse
    /// the file descriptor of one that ended.
    fn authenticate(&mut self) -> Result<()> {
        loop {
            let request = self.gate.as_ref().map_or(Ok(None), Gate::next)?;
            while let Some(event) = self.monitor.next()? {
                self.handle(event);
            }
            let (Some(gate), Some(request)) = (&mut self.gate, request) else { return Ok(()) };
            gate.answer(&request)?.iter().for_each(&*self.refused);
        }
    }

    fn attach(&self, socket: &zmq::Socket) -> Result<()> {
        let address = self.end.address().as_str();
        match &self.end {
            Endpoint::Bind(_) => socket.bind(address).map_err(|error| {
                let hint = if error == zmq::Error::EADDRINUSE { "; is another watchpost running?" } else { "" };
                Error::new(error).context(format!("cannot bind {address}{hint}"))
            }),
            Endpoint::Connect(_) => socket.connect(address).with_context(|| format!("cannot connect to {address}")),
        }
    }

    /// Whether this end connects, and its socket shows whether it is connected.
    fn awaits_peer(&self) -> bool {
        self.pattern == Pattern::Pair && matches!(self.end, Endpoint::Connect(_))
    }

    /// Cancels reconnecting, because the socket has a peer.
    pub(super) fn confirm_peer(&mut self) {
        if self.is_ready && self.awaits_peer() {
            self.reconnect_at = None;
        }
    }

    /// Closes connections whose messages do not end; see [`Guard::judge`].
    pub(super) fn judge(&mut self, settled: bool) {
        self.guard.judge(settled).iter().for_each(&*self.refused);
    }

    fn report_refused_peer(&self, failure: Failure) {
        Refusal::of_peer(failure, self.is_encrypted).iter().for_each(&*self.refused);
    }

    fn report_refused_by_server(&mut self, failure: Failure) {
        let refusal = Refusal::by_server(failure, self.keys);
        (self.refused)(&refusal);
        self.refusal_reason = Some(refusal.text);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Open(connection) => {
                self.connections.opened(connection);
                self.guard.opened(connection);
                self.guard.shed().iter().for_each(&*self.refused);
            }
            Event::Ready => self.connections.handshake_succeeded(),
            Event::Lost(connection) => {
                self.origins.lost(connection);
                self.guard.closed(connection);
                if self.connections.closed(connection) && matches!(self.end, Endpoint::Bind(_)) {
                    self.report_refused_peer(Failure::Unreadable);
                }
            }
            Event::Failed(_) => self.connections.handshake_failed(),
            Event::Unreachable => {}
        }
        match (event, &self.end) {
            (Event::Open(_), _) | (Event::Lost(_), Endpoint::Bind(_)) => {}
            (Event::Ready, _) => {
                (self.is_ready, self.refusal_reason) = (true, None);
                // A PAIR socket may still serve its previous connection and ignore this one: reconnect unless it
                // shows that it has a peer.
                self.reconnect_at = self.awaits_peer().then(|| Instant::now() + RECONNECT_DELAY);
            }
            (Event::Unreachable, _) => self.refusal_reason = None,
            (Event::Lost(_), Endpoint::Connect(_)) => {
                // libzmq reports some failures only by this event.
                if !std::mem::take(&mut self.is_ready) && self.refusal_reason.is_none() {
                    self.report_refused_by_server(Failure::Other);
                }
                self.reconnect_at = self.reconnect_at.or(Some(Instant::now() + RECONNECT_DELAY));
            }
            (Event::Failed(failure), Endpoint::Connect(_)) => self.report_refused_by_server(failure),
            (Event::Failed(failure), Endpoint::Bind(_)) => self.report_refused_peer(failure),
        }
    }
}

/// Sets the socket's keys; returns the public keys of an end that connects.
fn encrypt(socket: &mut zmq::Socket, curve: &Curve) -> Result<Option<Keys>> {
    let pair = KeyPair::read(curve.secret_key_file())?;
    socket.set_curve_secretkey(&pair.secret.0)?;
    match curve {
        Curve::Server { .. } => {
            socket.set_curve_server(true)?;
            require_gate(socket)?;
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

/// Makes libzmq ask the gate about each connection. Without a gate it refuses all peers instead of accepting all.
fn require_gate(socket: &mut zmq::Socket) -> Result<()> {
    socket.set_zap_domain(gate::DOMAIN)?;
    set_option(socket, ZAP_ENFORCE_DOMAIN, 1).context("this libzmq cannot refuse unknown peers")
}
