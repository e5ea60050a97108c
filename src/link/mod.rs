//! A ZeroMQ socket with an address, for tokio tasks.
//!
//! libzmq signals changes through one file descriptor (`polled.rs`), edge-triggered: read the events after each wake-up,
//! send and receive. [`Link`] does that, so its users try to send or receive, and wait for [`Link::changed`] when there is
//! nothing to do. One task owns a link and must also receive: a bound PAIR socket that only sends never notices that its
//! peer restarted.
//!
//! The same task serves two more sockets (`peers.rs`). One reports events of connections (`monitor.rs`), so that a refusal
//! has a reason (`refusal.rs`). The other authenticates the peers of a CURVE server, and numbers the connections of the
//! receiver's links (`gate.rs`), so that each message tells where it came from (`origins.rs`). The task also closes
//! connections of peers that would take all descriptors or fill the memory (`guard.rs`).

mod arrivals;
mod connections;
mod crowd;
mod ends;
mod gate;
mod guard;
mod held;
mod monitor;
mod options;
mod origins;
mod pattern;
mod peers;
mod polled;
mod refusal;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::time::timeout;

pub use guard::Shed;
pub use origins::Origin;
pub use pattern::Pattern;
pub use refusal::{OnRefusal, Refusal};

use crate::config::{Address, Curve, Endpoint};
use ends::Ends;
use peers::Peers;
use polled::{Polled, Received, retried};

/// Largest part of a message, in either direction. A peer that sends a larger one is disconnected.
pub const MAX_PART_BYTES: usize = 8 * 1024 * 1024;

/// More parts than any format has, with the peer's name on ROUTER.
const MAX_PARTS: usize = 5;

/// How long to wait for a link to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A socket notices within this time that its connection was closed.
const DISCONNECT_GRACE: Duration = Duration::from_secs(1);

/// Peers and tokio get their turn after this many messages without a pause.
const MESSAGES_PER_TURN: u32 = 32;

/// An open socket. Each has its own libzmq context and I/O thread: that thread resolves host names, and a slow name server
/// must not block other links.
pub struct Link {
    // Dropped in this order: the socket before the handler that authenticates its peers, and the context last.
    polled: Polled,
    peers: Peers,
    context: zmq::Context,
    /// With the actual address.
    options: LinkOptions,
    /// When a bound PAIR socket lost its peer while others may be waiting.
    peer_lost_at: Option<Instant>,
    messages_this_turn: u32,
    /// The last events, if nothing was sent or received since.
    cached_events: Option<Events>,
}

/// What a link can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// A message can be received.
    pub readable: bool,
    /// A message can be sent: on PAIR, a peer is connected and keeps up.
    pub writable: bool,
}

/// What a link received.
pub enum Incoming {
    /// A message, and the connection that it came from.
    Message(Vec<Bytes>, Arc<Origin>),
    /// The number of a connection that sent messages and has ended. A message of it may still follow.
    Ended(u64),
    /// The link [needs to be reopened](Link::needs_reopen).
    Broken,
}

/// How a link is opened.
#[derive(Clone)]
pub struct LinkOptions {
    /// The kind of socket.
    pub pattern: Pattern,
    /// Whether it binds or connects, and the address.
    pub end: Endpoint,
    /// The keys of an encrypted link.
    pub curve: Option<Curve>,
    /// Tells the connections of a bound end without CURVE apart, for [`Link::receive`]. Peers then need ZMTP 3, as in
    /// libzmq 4.0 of 2013 or newer.
    pub identify: bool,
    /// Called when a peer is refused, or when this end is.
    pub refused: OnRefusal,
}

impl LinkOptions {
    /// Opens the socket and binds or connects it.
    ///
    /// # Errors
    /// If an address to bind is in use or not of this machine, a host has no address, a key cannot be read, or no
    /// descriptor is left.
    pub fn open(mut self) -> Result<Link> {
        let context = zmq::Context::new();
        let mut socket = context.socket(match self.pattern {
            Pattern::Pair => zmq::PAIR,
            // XPUB is PUB for its subscribers, and shows us their subscriptions.
            Pattern::Pub => zmq::XPUB,
            Pattern::Sub => zmq::SUB,
            Pattern::Dealer => zmq::DEALER,
            Pattern::Router => zmq::ROUTER,
            Pattern::Req => zmq::REQ,
        })?;
        options::set_all(&mut socket, self.pattern, self.end.address())?;
        let mut polled = Polled::new(socket)?;
        let peers = Peers::open(&context, &mut polled.socket, &self)?;
        if let (Endpoint::Bind(address), Ok(Ok(endpoint))) = (&mut self.end, polled.socket.get_last_endpoint()) {
            *address = Address::try_from(endpoint).unwrap_or_else(|_| address.clone());
        }
        Ok(Link {
            polled,
            peers,
            context,
            options: self,
            peer_lost_at: None,
            messages_this_turn: 0,
            cached_events: None,
        })
    }
}

impl Link {
    /// Returns the address, with the actual port if the system chose it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.options.end.address().as_str()
    }

    /// Returns the options to open it again at the same address.
    #[must_use]
    pub fn options(&self) -> LinkOptions {
        self.options.clone()
    }

    /// Returns why the other end refused this one, if that is known.
    #[must_use]
    pub fn refusal_reason(&self) -> Option<&str> {
        self.peers.refusal_reason.as_deref()
    }

    /// Whether this connection, which sent messages, still exists.
    #[must_use]
    pub fn has_connection(&self, connection: u64) -> bool {
        self.peers.origins.has(connection)
    }

    /// Returns the number of connected peers that completed the handshake.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.connections.peers()
    }

    /// Returns what can be done now. Reading the events clears the descriptor's signal, so wait only for what is not
    /// possible now.
    ///
    /// # Errors
    /// If libzmq is shutting down.
    pub fn events(&mut self) -> Result<Events> {
        if let Some(events) = self.cached_events {
            return Ok(events);
        }
        let mut events = self.read_events()?;
        if !events.readable && self.peers.guard.is_due() {
            self.peers.guard.look();
            // A message may be complete now.
            events = self.read_events()?;
            self.peers.judge(!events.readable);
        }
        if events.writable {
            self.peers.confirm_peer();
        }
        self.cached_events = Some(events);
        Ok(events)
    }

    fn read_events(&self) -> Result<Events> {
        let events = self.polled.socket.get_events()?;
        Ok(Events { readable: events.contains(zmq::POLLIN), writable: events.contains(zmq::POLLOUT) })
    }

    /// Queues a message; returns false if libzmq accepts none now.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn try_send(&mut self, parts: &[Bytes]) -> Result<bool> {
        self.cached_events = None;
        let last = parts.len().saturating_sub(1);
        for (index, part) in parts.iter().enumerate() {
            let more = if index < last { zmq::SNDMORE } else { 0 };
            match retried(|| self.polled.socket.send(&part[..], zmq::DONTWAIT | more)) {
                Ok(()) => {}
                // libzmq can refuse only the first part while a peer is connected. EFSM: the last message on a REQ
                // socket has no answer yet.
                Err(zmq::Error::EAGAIN | zmq::Error::EFSM) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Returns the next message, if there is one. Leaves out parts that no format has.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn try_receive(&mut self) -> Result<Option<Vec<Bytes>>> {
        self.attend_in_turn()?;
        Ok(self.next_message(|_, _| ())?.map(|(parts, ())| parts))
    }

    /// Attends to the peers once every [`MESSAGES_PER_TURN`] messages.
    fn attend_in_turn(&mut self) -> Result<()> {
        self.messages_this_turn = self.messages_this_turn.wrapping_add(1);
        if self.messages_this_turn.is_multiple_of(MESSAGES_PER_TURN) {
            self.attend()?;
            if self.peers.guard.is_overdue() {
                self.peers.guard.look();
                self.peers.judge(false);
            }
        }
        Ok(())
    }

    /// Returns the next message, and what `inspect` returns for its last part.
    fn next_message<T>(
        &mut self,
        inspect: impl Fn(&mut Peers, &mut zmq::Message) -> T,
    ) -> Result<Option<(Vec<Bytes>, T)>> {
        self.cached_events = None;
        let mut bytes = 0;
        let mut parts = Vec::with_capacity(MAX_PARTS);
        loop {
            let mut part = match retried(|| self.polled.socket.recv_msg(zmq::DONTWAIT)) {
                Ok(part) => part,
                // EFSM: a REQ socket has sent no request.
                Err(zmq::Error::EAGAIN | zmq::Error::EFSM) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            bytes += part.len() as u64;
            let inspected = (!part.get_more()).then(|| {
                self.peers.guard.delivered(&mut part, bytes);
                inspect(&mut self.peers, &mut part)
            });
            if parts.len() < MAX_PARTS {
                parts.push(Bytes::from_owner(Received(part)));
            }
            if let Some(inspected) = inspected {
                return Ok(Some((parts, inspected)));
            }
        }
    }

    /// Waits for the next message or for the end of a connection.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub async fn receive(&mut self) -> Result<Incoming> {
        loop {
            self.attend_in_turn()?;
            // Report the end before the messages of the next connection.
            if let Some(connection) = self.peers.origins.next_ended() {
                return Ok(Incoming::Ended(connection));
            }
            if let Some((parts, origin)) = self.next_message(|peers, part| peers.origins.of(part))? {
                return Ok(Incoming::Message(parts, origin));
            }
            if self.needs_reopen()? {
                return Ok(Incoming::Broken);
            }
            if !self.events()?.readable {
                self.changed().await?;
            }
        }
    }

    /// Closes the link, and waits on another thread until queued messages are sent or time is up. Abandons a name lookup
    /// of libzmq, which cannot be interrupted.
    pub async fn close(self) {
        let context = self.context.clone();
        drop(self);
        // An error would be a panic while closing, and nothing depends on the link any more.
        let _ = timeout(CLOSE_TIMEOUT, tokio::task::spawn_blocking(move || drop(context))).await;
    }

    /// Waits until something may have changed: messages can be received or sent, or a peer connected, left or was refused.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn changed(&mut self) -> Result<()> {
        tokio::select! {
            changed = self.polled.changed() => changed?,
            changed = self.peers.changed() => {
                changed?;
                self.attend()?;
            }
        }
        self.cached_events = None;
        Ok(())
    }

    fn attend(&mut self) -> Result<()> {
        let lost = self.lost_peers();
        self.peers.attend(&self.polled.socket)?;
        if self.is_exclusive() && self.lost_peers() > lost {
            self.peer_lost_at = Some(Instant::now());
        }
        Ok(())
    }

    fn is_exclusive(&self) -> bool {
        self.options.pattern == Pattern::Pair && matches!(self.options.end, Endpoint::Bind(_))
    }

    /// Whether to close and open the link again: a bound PAIR socket that lost its peer never serves others that connected
    /// in the meantime.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn needs_reopen(&mut self) -> Result<bool> {
        // libzmq reports the closed connection before its socket notices.
        let is_recent = |lost: &Instant| lost.elapsed() < DISCONNECT_GRACE && self.peers.connections.peers() > 0;
        self.peer_lost_at = self.peer_lost_at.filter(is_recent);
        Ok(self.peer_lost_at.is_some() && !self.events()?.writable)
    }

    /// Whether another peer is connected and waits until the one peer of this link leaves.
    #[must_use]
    pub fn has_waiting_peer(&self) -> bool {
        self.is_exclusive() && self.peers.connections.peers() > 1
    }

    /// Returns the address of the first waiting peer, if the system still knows it.
    #[must_use]
    pub fn next_peer(&self) -> Option<IpAddr> {
        // libzmq's descriptor is also one of this process.
        Ends::of(self.peers.connections.next()?)?.address()
    }

    /// Returns the connections that were closed since the last call because there were too many.
    pub fn take_shed(&mut self) -> Shed {
        self.peers.guard.take_shed()
    }

    /// Returns how often the (first) peer's connection was lost so far, and with it what was in flight.
    #[must_use]
    pub fn lost_peers(&self) -> u64 {
        self.peers.connections.lost()
    }
}

impl Drop for Link {
    /// Stops the events first: the I/O thread must not wait for a reader that no longer exists.
    fn drop(&mut self) {
        monitor::stop(&self.polled.socket);
    }
}

/// Returns the connections of all links of this process, and their limit.
#[must_use]
pub fn connection_usage() -> (usize, usize) {
    crowd::usage()
}
