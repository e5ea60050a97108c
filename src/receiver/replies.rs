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
use crate::link::Link;
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
    is_router: bool,
    /// By routing id on a router; other patterns have one peer, with an empty id.
    peers: HashMap<Bytes, Peer>,
    /// Peers whose messages are refused, by routing id: why, and when the last one arrived.
    refused: HashMap<Bytes, (&'static str, Instant)>,
    /// Whether readings are stored here, and acknowledged.
    acks: bool,
    /// Limit on the agents that get replies.
    max_peers: usize,
}

struct Peer {
    last_message: Instant,
    /// The newest frame of each camera.
    seen: HashMap<Name, Control>,
}

impl Replies {
    /// The replies of a link, to at most `max_peers`; `acks`: whether readings are stored here.
    pub(super) fn new(inlet: &Inlet, acks: bool, max_peers: usize) -> Replies {
        let is_two_way = inlet.pattern != InPattern::Sub && inlet.format == Format::Watchpost;
        let is_router = inlet.pattern == InPattern::Router;
        Replies { is_two_way, is_router, peers: HashMap::new(), refused: HashMap::new(), acks, max_peers }
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

    /// Forgets the peer of a link that serves one, because its connection has ended.
    pub(super) fn connection_ended(&mut self) {
        if !self.is_router {
            self.peers.clear();
            self.refused.clear();
        }
    }

    /// Tells a peer that its messages are refused.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn refuse(&mut self, link: &mut Link, peer: &Bytes, cause: &'static str) -> Result<()> {
        if !self.is_two_way {
            return Ok(());
        }
        self.peers.remove(peer);
        if !self.refused.contains_key(peer) {
            if self.refused.len() >= self.max_peers {
                return Ok(());
            }
            send(link, peer, &Control::rejected(cause))?;
        }
        self.refused.insert(peer.clone(), (cause, Instant::now()));
        Ok(())
    }

    /// Replies to a message.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn answer(&mut self, link: &mut Link, peer: &Bytes, message: &Message) -> Result<()> {
        if !self.is_two_way {
            return Ok(());
        }
        self.refused.remove(peer);
        if !self.peers.contains_key(peer) {
            if self.peers.len() >= self.max_peers {
                return Ok(());
            }
            send(link, peer, &Control::hello(self.acks))?;
        }
        let known = self.peers.entry(peer.clone()).or_insert_with(Peer::new);
        known.last_message = Instant::now();
        if let Message::Status(status) = message {
            known.seen.retain(|name, _| status.cameras.iter().any(|camera| camera.name == *name));
        }
        if let Message::Frame(header, _) = message
            && let Some(boot) = header.boot.clone()
        {
            let seen = Control::Seen { camera: header.camera.clone(), boot, seq: header.seq };
            send(link, peer, &seen)?;
            if known.seen.len() < MAX_CAMERAS || known.seen.contains_key(&header.camera) {
                known.seen.insert(header.camera.clone(), seen);
            }
        }
        Ok(())
    }

    /// Sends hello to every peer and repeats the frames seen, in case they were lost, and tells refused peers why. Call it
    /// every second.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn greet(&mut self, link: &mut Link) -> Result<()> {
        self.peers.retain(|_, peer| peer.last_message.elapsed() < PEER_TIMEOUT);
        self.refused.retain(|_, (_, at)| at.elapsed() < REFUSED_TIMEOUT);
        for (name, (cause, _)) in &self.refused {
            send(link, name, &Control::rejected(cause))?;
        }
        for (name, peer) in &self.peers {
            send(link, name, &Control::hello(self.acks))?;
            peer.seen.values().try_for_each(|seen| send(link, name, seen))?;
        }
        Ok(())
    }
}

impl Peer {
    fn new() -> Peer {
        Peer { last_message: Instant::now(), seen: HashMap::new() }
    }
}

/// Sends without blocking: a peer that cannot take it now misses it.
fn send(link: &mut Link, peer: &Bytes, control: &Control) -> Result<()> {
    try_send(link, peer, control).map(drop)
}

/// Sends without blocking; returns whether the link took it.
fn try_send(link: &mut Link, peer: &Bytes, control: &Control) -> Result<bool> {
    let (name, control) = (peer.clone(), control.encode());
    if peer.is_empty() { link.try_send(&[control]) } else { link.try_send(&[name, control]) }
}
