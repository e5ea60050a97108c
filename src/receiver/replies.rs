//! What the receiver says to the agents of a link: that it is there, which frames it has seen, which readings it keeps,
//! and what viewers want of cameras.
//!
//! An agent that hears nothing sends all that the socket takes; what is lost of this is said again within a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::commands::Order;
use super::history::Ack;
use crate::config::{Format, InPattern, Inlet};
use crate::link::Link;
use crate::name::Name;
use crate::wire::{Control, Message};

/// Agents of one link that are spoken to, and cameras of each.
const MOST: usize = 1024;
const MOST_CAMERAS: usize = 64;

/// An agent that has said nothing for this long, and it says how it is each second, is no longer spoken to.
const GONE: Duration = Duration::from_secs(10);

pub(super) struct Replies {
    /// Some patterns have no way back, and some formats no agent that listens.
    speaks: bool,
    /// By what its messages begin with on a router; elsewhere there is one, without a name.
    peers: HashMap<Bytes, Peer>,
    /// Connections that had ended when this was last looked at.
    ended: u64,
    /// Readings are kept here, and acknowledged.
    acks: bool,
}

struct Peer {
    heard: Instant,
    /// The newest frame of each camera.
    seen: HashMap<Name, Control>,
}

impl Replies {
    /// On a link; `acks`: readings are kept here.
    pub(super) fn of(inlet: &Inlet, acks: bool) -> Replies {
        let speaks = inlet.pattern != InPattern::Sub && inlet.format == Format::Watchpost;
        Replies { speaks, peers: HashMap::new(), ended: 0, acks }
    }

    /// Whether anybody there listens.
    pub(super) fn speaks(&self) -> bool {
        self.speaks
    }

    /// Readings are not kept here any more.
    pub(super) fn keep_no_more(&mut self) {
        self.acks = false;
    }

    /// Says which readings are there for good.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn acknowledge(link: &mut Link, Ack { peer, boot, first, last, .. }: Ack) -> Result<()> {
        say(link, &peer, &Control::Ack { boot, first, seq: last })
    }

    /// Says what a viewer wants.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn pass_on(link: &mut Link, Order { peer, control, taken }: Order) -> Result<()> {
        let is_taken = try_say(link, &peer, &control)?;
        // A viewer that has left meanwhile need not be told.
        let _ = taken.send(is_taken);
        Ok(())
    }

    /// Says what is to be said to a peer that sent a message.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn answer(&mut self, link: &mut Link, peer: &Bytes, message: &Message) -> Result<()> {
        if !self.speaks {
            return Ok(());
        }
        if std::mem::replace(&mut self.ended, link.ended()) != link.ended() && peer.is_empty() {
            self.peers.clear();
        }
        if !self.peers.contains_key(peer) {
            if self.peers.len() == MOST {
                return Ok(());
            }
            say(link, peer, &Control::hello(self.acks))?;
        }
        let known = self.peers.entry(peer.clone()).or_insert_with(Peer::new);
        known.heard = Instant::now();
        if let Message::Status(status) = message {
            // A camera that is gone is not spoken of.
            known.seen.retain(|name, _| status.cameras.iter().any(|camera| camera.name == *name));
        }
        if let Message::Frame(header, _) = message
            && let Some(boot) = header.boot.clone()
        {
            let seen = Control::Seen { camera: header.camera.clone(), boot, seq: header.seq };
            say(link, peer, &seen)?;
            if known.seen.len() < MOST_CAMERAS || known.seen.contains_key(&header.camera) {
                known.seen.insert(header.camera.clone(), seen);
            }
        }
        Ok(())
    }

    /// Says hello to all, each second, and once more what they may have missed.
    ///
    /// # Errors
    /// As [`Link::try_send`].
    pub(super) fn greet(&mut self, link: &mut Link) -> Result<()> {
        self.peers.retain(|_, peer| peer.heard.elapsed() < GONE);
        for (name, peer) in &self.peers {
            say(link, name, &Control::hello(self.acks))?;
            peer.seen.values().try_for_each(|seen| say(link, name, seen))?;
        }
        Ok(())
    }
}

impl Peer {
    fn new() -> Peer {
        Peer { heard: Instant::now(), seen: HashMap::new() }
    }
}

/// Whoever takes nothing now is not waited for.
fn say(link: &mut Link, peer: &Bytes, control: &Control) -> Result<()> {
    try_say(link, peer, control).map(drop)
}

/// True when it was taken.
fn try_say(link: &mut Link, peer: &Bytes, control: &Control) -> Result<bool> {
    let (name, control) = (peer.clone(), control.encode());
    if peer.is_empty() { link.try_send(&[control]) } else { link.try_send(&[name, control]) }
}
