//! A link's view of its peer: whether it is present, and which frames it wants.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flow_control::{FlowControl, InFlight};
use super::subscriptions::Subscriptions;
use crate::agent::health::Part;
use crate::config::{Format, OutPattern, Outlet};
use crate::link::Link;
use crate::wire::{Control, Malformed};

/// A link whose peer accepts nothing for this long is down; also the limit for a reply and for a hello.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct PeerState {
    pattern: OutPattern,
    format: Format,
    /// A watchpost receiver sends control messages over this link.
    has_control: bool,
    /// The topics of a pub link. The link prepares nothing while this is empty.
    topics: Subscriptions,
    /// The peer accepted messages recently; unused on pub links.
    is_connected: bool,
    /// When the current peer first accepted messages.
    connected_since: Option<Instant>,
    /// Since when the peer accepts no messages.
    blocked_since: Option<Instant>,
    /// When the last message was sent that a req link's peer has not replied to.
    reply_due_since: Option<Instant>,
    /// The peer that owes a reply has left.
    replier_has_left: bool,
    /// How many peers had left at the last check.
    departures: u64,
    flow: FlowControl,
    /// Why the receiver refuses this agent, and when it said so last.
    rejection: Option<(String, Instant)>,
}

/// A message of the peer.
pub(super) enum PeerMessage {
    /// A pub link has its first subscriber.
    FirstSubscriber,
    /// A receiver's request or acknowledgement.
    Control(Control),
    /// Not a valid control message.
    Malformed(Malformed),
    /// A message that needs no further handling.
    Other,
}

impl PeerState {
    /// The state before a peer connects.
    pub(super) fn new(outlet: &Outlet) -> PeerState {
        PeerState {
            pattern: outlet.pattern,
            format: outlet.format,
            has_control: outlet.is_acknowledged(),
            topics: Subscriptions::default(),
            is_connected: false,
            connected_since: None,
            blocked_since: None,
            reply_due_since: None,
            replier_has_left: false,
            departures: 0,
            flow: FlowControl::default(),
            rejection: None,
        }
    }

    /// Forgets the peer because the socket closes.
    pub(super) fn reset(&mut self) {
        self.topics.clear();
        (self.is_connected, self.connected_since) = (false, None);
        (self.reply_due_since, self.replier_has_left) = (None, false);
        (self.departures, self.rejection) = (0, None);
        self.flow.reset();
    }

    /// Compares the socket's count of departed peers with the last one; returns true if a peer has left since.
    pub(super) fn has_left(&mut self, departures: u64) -> bool {
        let has_left = std::mem::replace(&mut self.departures, departures) != departures;
        if has_left {
            self.flow.reset();
            (self.connected_since, self.rejection) = (None, None);
            self.replier_has_left = self.reply_due_since.is_some();
        }
        has_left
    }

    /// Interprets a message of the peer: a subscription on a pub link, elsewhere a receiver's control message or a
    /// reply.
    pub(super) fn receive(&mut self, parts: &[Bytes]) -> PeerMessage {
        match self.pattern {
            OutPattern::Pub => self.receive_subscription(parts),
            _ if self.has_control => self.receive_control(parts),
            _ => {
                self.reply_due_since = None;
                PeerMessage::Other
            }
        }
    }

    /// Handles a message of `ZMQ_XPUB`: 1 and a new topic, or 0 and a topic without subscribers.
    fn receive_subscription(&mut self, parts: &[Bytes]) -> PeerMessage {
        let was_empty = self.topics.is_empty();
        match parts.first().and_then(|part| part.split_first()) {
            Some((1, _)) => self.topics.add(parts[0].slice(1..)),
            Some((0, topic)) => self.topics.remove(topic),
            _ => {}
        }
        if was_empty && !self.topics.is_empty() { PeerMessage::FirstSubscriber } else { PeerMessage::Other }
    }

    fn receive_control(&mut self, parts: &[Bytes]) -> PeerMessage {
        match Control::decode(parts) {
            Ok(control) => {
                if let Control::Hello { window, .. } = control {
                    self.flow.hello(window);
                }
                PeerMessage::Control(control)
            }
            Err(malformed) => PeerMessage::Malformed(malformed),
        }
    }

    /// Records that the peer acknowledged a frame.
    pub(super) fn saw_frame(&mut self) {
        self.flow.keep_alive();
    }

    /// Records that the receiver refuses this agent.
    pub(super) fn was_rejected(&mut self, cause: &str) {
        self.rejection = Some((format!("the receiver refuses this agent: {}", explain(cause)), Instant::now()));
    }

    /// Returns true if the receiver refused this agent before its hello.
    pub(super) fn end_rejection(&mut self) -> bool {
        self.rejection.take().is_some()
    }

    /// Records that a message was sent.
    pub(super) fn message_was_sent(&mut self) {
        if self.pattern == OutPattern::Req {
            self.reply_due_since = Some(Instant::now());
        }
    }

    /// Whether to prepare messages at all. A pub socket accepts messages even without subscribers.
    pub(super) fn is_present(&self) -> bool {
        self.pattern != OutPattern::Pub || !self.topics.is_empty()
    }

    /// Whether the peer wants frames with this topic.
    pub(super) fn wants_frames(&self, topic: &str) -> bool {
        match (self.pattern, self.format) {
            (OutPattern::Pair | OutPattern::Dealer | OutPattern::Req, _) => self.is_connected,
            (OutPattern::Pub, Format::Watchpost) => self.topics.may_want(topic),
            // The topics of other formats do not name cameras.
            (OutPattern::Pub, _) => !self.topics.is_empty(),
        }
    }

    /// Whether the peer accepts another frame of the camera now.
    pub(super) fn accepts_frame(&self, in_flight: &InFlight) -> bool {
        self.flow.is_open(in_flight)
    }

    /// True when a req link's reply will not arrive. Its socket accepts no further message without one.
    pub(super) fn reply_is_overdue(&self) -> bool {
        self.reply_due_since.is_some_and(|since| self.replier_has_left || since.elapsed() > RESPONSE_TIMEOUT)
    }

    /// A watchpost receiver sends a hello as soon as it is connected.
    fn lacks_hello(&self) -> bool {
        let is_late = || self.connected_since.is_some_and(|since| since.elapsed() > RESPONSE_TIMEOUT);
        self.has_control && !self.flow.has_hello() && is_late()
    }

    /// Reports the link's health. `trouble`: why the receiver does not store all readings. `leaves_out`: frames and
    /// statuses have no room for all readings.
    pub(super) fn report(
        &mut self,
        writable: bool,
        trouble: Option<String>,
        leaves_out: bool,
        link: &Link,
        health: &Part,
    ) {
        let up = |cause: Cow<'static, str>| {
            let left_out = "; frames and statuses leave out readings: too many, or too long labels";
            health.up(&if leaves_out { Cow::from(format!("{cause}{left_out}")) } else { cause });
        };
        if self.pattern == OutPattern::Pub {
            match link.refusal_reason() {
                Some(reason) => health.down(reason),
                None => up(if self.topics.is_empty() { "open, no subscribers".into() } else { "publishing".into() }),
            }
        } else if let Some((reason, _)) = self.rejection.as_ref().filter(|(_, at)| at.elapsed() < RESPONSE_TIMEOUT) {
            self.is_connected = false;
            health.down(reason);
        } else if self.flow.is_silent() {
            self.is_connected = false;
            health.down("connected, but the receiver is silent");
        } else if writable {
            (self.is_connected, self.blocked_since) = (true, None);
            self.connected_since.get_or_insert_with(Instant::now);
            up(self.connected_cause(trouble, link));
        } else if self.blocked_since.get_or_insert_with(Instant::now).elapsed() > RESPONSE_TIMEOUT {
            self.is_connected = false;
            health.down(link.refusal_reason().unwrap_or("no peer is accepting messages"));
        }
    }

    fn connected_cause(&self, trouble: Option<String>, link: &Link) -> Cow<'static, str> {
        if link.has_waiting_peer() {
            "connected; another peer is waiting (a pair link serves one)".into()
        } else if self.lacks_hello() {
            "connected, no hello received: a script, or a receiver busy with another agent".into()
        } else {
            trouble.map_or("connected".into(), Cow::Owned)
        }
    }
}

/// Explains why a receiver refuses an agent, and what to do.
fn explain(cause: &str) -> &str {
    match cause {
        "name_in_use" => {
            "another agent with its name is connected, or this one over another link; the receiver's log names both"
        }
        "name_not_permitted" => "its key does not permit its name; the log of the receiver says which names it permits",
        other => other,
    }
}
