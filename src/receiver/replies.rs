//! Control messages to the agents of a link: hello, frames seen, readings stored or refused, and viewers' commands.
//!
//! An agent without replies sends as much as the socket takes. Lost replies are repeated within a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::commands::Order;
use super::history::Answer;
use crate::config::{Format, InPattern, Inlet};
use crate::link::{Link, Origin};
use crate::name::Name;
use crate::wire::{Control, Message};

/// Limit on the cameras of one agent that get replies.
const MAX_CAMERAS: usize = 64;

/// An agent silent for this long gets no more replies; it sends a status every second.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// A refused agent silent for this long is not told again why.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Replies {
    /// False for one-way patterns and formats.
    is_two_way: bool,
    /// Peers that get replies, by connection.
    peers: HashMap<u64, Peer>,
    /// Peers whose messages are refused, by connection.
    refused: HashMap<u64, RefusedPeer>,
    /// Whether readings are stored here, and acknowledged.
    acks: bool,
    /// Limit on the agents that get replies.
    max_peers: usize,
}

struct Peer {
    /// Its routing id on a router; empty for other patterns.
    route: Bytes,
    last_message: Instant,
    /// The newest frame of each camera.
    seen: HashMap<Name, Control>,
}

struct RefusedPeer {
    route: Bytes,
    cause: &'static str,
    last_message: Instant,
}

/// Where a message came from, and where replies to it go.
pub(super) struct Sender<'a> {
    /// Its routing id on a router; empty for other patterns.
    pub(super) route: &'a Bytes,
    pub(super) origin: &'a Origin,
}

impl Replies {
    /// The replies of a link, to at most `max_peers`; `acks`: whether readings are stored here.
    pub(super) fn new(inlet: &Inlet, acks: bool, max_peers: usize) -> Replies {
        let is_two_way = inlet.pattern != InPattern::Sub && inlet.format == Format::Watchpost;
        Replies { is_two_way, peers: HashMap::new(), refused: HashMap::new(), acks, max_peers }
    }

    /// Whether agents on this link get replies.
    pub(super) fn is_two_way(&self) -> bool {
        self.is_two_way
    }

    /// Stops promising to store readings.
    pub(super) fn stop_acks(&mut self) {
        self.acks = false;
    }

    /// Tells an agent whether its readings are on the disk.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn send_answer(link: &mut Link, answer: &Answer) -> Result<()> {
        send(link, &answer.peer, &answer.control())
    }

    /// Passes a viewer's command on, unless its agent's connection has ended: another peer may have the routing id now.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn pass_on(link: &mut Link, Order { peer, connection, control, taken }: Order) -> Result<()> {
        let is_taken = link.has_connection(connection) && try_send(link, &peer, &control)?;
        // The viewer may have left.
        let _ = taken.send(is_taken);
        Ok(())
    }

    /// Forgets the peer of a connection that has ended.
    pub(super) fn connection_ended(&mut self, connection: u64) {
        self.peers.remove(&connection);
        self.refused.remove(&connection);
    }

    /// Forgets all peers, because the link was closed.
    pub(super) fn all_ended(&mut self) {
        self.peers.clear();
        self.refused.clear();
    }

    /// Tells a peer that its messages are refused.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn refuse(&mut self, link: &mut Link, from: &Sender<'_>, cause: &'static str) -> Result<()> {
        if !self.can_reply(from) {
            return Ok(());
        }
        let connection = from.origin.connection;
        self.peers.remove(&connection);
        if !self.refused.contains_key(&connection) {
            if self.refused.len() >= self.max_peers {
                return Ok(());
            }
            send(link, from.route, &Control::rejected(cause))?;
        }
        let refused = RefusedPeer { route: from.route.clone(), cause, last_message: Instant::now() };
        self.refused.insert(connection, refused);
        Ok(())
    }

    /// Replies to a message.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn answer(&mut self, link: &mut Link, from: &Sender<'_>, message: &Message) -> Result<()> {
        if !self.can_reply(from) {
            return Ok(());
        }
        let (connection, route) = (from.origin.connection, from.route);
        self.refused.remove(&connection);
        if !self.peers.contains_key(&connection) {
            if self.peers.len() >= self.max_peers {
                return Ok(());
            }
            send(link, route, &Control::hello(self.acks))?;
        }
        let known = self.peers.entry(connection).or_insert_with(|| Peer::new(route.clone()));
        known.last_message = Instant::now();
        if let Message::Status(status) = message {
            known.seen.retain(|name, _| status.cameras.iter().any(|camera| camera.name == *name));
        }
        if let Message::Frame(header, _) = message
            && let Some(boot) = header.boot.clone()
        {
            let seen = Control::Seen { camera: header.camera.clone(), boot, seq: header.seq };
            send(link, route, &seen)?;
            if known.seen.len() < MAX_CAMERAS || known.seen.contains_key(&header.camera) {
                known.seen.insert(header.camera.clone(), seen);
            }
        }
        Ok(())
    }

    /// Whether the sender gets replies. The end of a connection is reported once, so nothing would forget a peer that is
    /// added later.
    fn can_reply(&self, from: &Sender<'_>) -> bool {
        self.is_two_way && !from.origin.has_ended
    }

    /// Sends hello to every peer and repeats the frames seen, in case they were lost, and tells refused peers why. Call it
    /// every second.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn greet(&mut self, link: &mut Link) -> Result<()> {
        self.peers.retain(|_, peer| peer.last_message.elapsed() < PEER_TIMEOUT);
        self.refused.retain(|_, peer| peer.last_message.elapsed() < REFUSED_TIMEOUT);
        for peer in self.refused.values() {
            send(link, &peer.route, &Control::rejected(peer.cause))?;
        }
        for peer in self.peers.values() {
            send(link, &peer.route, &Control::hello(self.acks))?;
            peer.seen.values().try_for_each(|seen| send(link, &peer.route, seen))?;
        }
        Ok(())
    }
}

impl Peer {
    fn new(route: Bytes) -> Peer {
        Peer { route, last_message: Instant::now(), seen: HashMap::new() }
    }
}

/// Sends without blocking: a peer that cannot take it now misses it.
fn send(link: &mut Link, route: &Bytes, control: &Control) -> Result<()> {
    try_send(link, route, control).map(drop)
}

/// Sends without blocking; returns whether the link took it.
fn try_send(link: &mut Link, route: &Bytes, control: &Control) -> Result<bool> {
    let (route, control) = (route.clone(), control.encode());
    if route.is_empty() { link.try_send(&[control]) } else { link.try_send(&[route, control]) }
}
