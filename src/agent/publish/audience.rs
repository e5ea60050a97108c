//! The other side of a link: whether it is there, and which frames it takes now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flow::{Flow, Unseen};
use crate::agent::health::Part;
use crate::config::{Format, OutPattern, Outlet};
use crate::link::Link;
use crate::wire::{Control, Malformed};

/// Topics that are remembered; with more, every camera's frames are prepared.
const MOST_TOPICS: usize = 256;

/// A link that has something to say and cannot for this long is down.
const DEAF: Duration = Duration::from_secs(3);

pub(super) struct Audience {
    pattern: OutPattern,
    format: Format,
    /// A receiver of watchpost's says something over it.
    answers: bool,
    /// What a pub link's subscribers want topics to begin with. While there is none, nothing is prepared for it.
    topics: BTreeSet<Bytes>,
    /// Another link's peer was there, and not long ago.
    connected: bool,
    /// Since when this peer is.
    since: Option<Instant>,
    /// Since when there was something to say that was not taken.
    waiting: Option<Instant>,
    /// Since when a req link's peer owes an answer, and whether it is gone since.
    asked: Option<Instant>,
    is_gone: bool,
    /// Peers that had gone when this was last looked at.
    ended: u64,
    flow: Flow,
}

/// What it said.
pub(super) enum Heard {
    /// A pub link has its first subscriber.
    FirstSubscriber,
    /// A receiver wants something that this module does not see to.
    Asks(Control),
    /// It was no control.
    Malformed(Malformed),
    /// All else.
    Nothing,
}

impl Audience {
    /// Nobody yet.
    pub(super) fn of(outlet: &Outlet) -> Audience {
        Audience {
            pattern: outlet.pattern,
            format: outlet.format,
            answers: outlet.is_acknowledged(),
            topics: BTreeSet::new(),
            connected: false,
            since: None,
            waiting: None,
            asked: None,
            is_gone: false,
            ended: 0,
            flow: Flow::default(),
        }
    }

    /// The socket is a new one.
    pub(super) fn leave(&mut self) {
        self.topics.clear();
        (self.connected, self.since, self.asked, self.is_gone, self.ended) = (false, None, None, false, 0);
        self.flow.begin_anew();
    }

    /// So many peers have gone so far: whoever is there after one of them has seen nothing. True when it is another one.
    pub(super) fn ended(&mut self, peers: u64) -> bool {
        let is_new = std::mem::replace(&mut self.ended, peers) != peers;
        if is_new {
            self.flow.begin_anew();
            self.since = None;
            self.is_gone = self.asked.is_some();
        }
        is_new
    }

    /// Takes in what it says: on a pub link, which topics are subscribed to; elsewhere what a receiver of watchpost's
    /// says, or a hub's answer. Whatever it is, taking it keeps the socket's inbound side alive.
    pub(super) fn hear(&mut self, parts: &[Bytes]) -> Heard {
        match self.pattern {
            OutPattern::Pub => self.hear_subscriber(parts),
            _ if self.answers => self.hear_receiver(parts),
            _ => {
                self.asked = None;
                Heard::Nothing
            }
        }
    }

    /// `ZMQ_XPUB`: 1 and a topic that is new, or 0 and one that nobody wants any more.
    fn hear_subscriber(&mut self, parts: &[Bytes]) -> Heard {
        let first = self.topics.is_empty();
        match parts.first().and_then(|part| part.split_first()) {
            Some((1, _)) if self.topics.len() < MOST_TOPICS => {
                self.topics.insert(parts[0].slice(1..));
            }
            Some((0, topic)) => {
                self.topics.remove(topic);
            }
            _ => {}
        }
        if first && !self.topics.is_empty() { Heard::FirstSubscriber } else { Heard::Nothing }
    }

    fn hear_receiver(&mut self, parts: &[Bytes]) -> Heard {
        match Control::decode(parts) {
            Ok(control) => {
                if let Control::Hello { window, .. } = control {
                    self.flow.hello(window);
                }
                Heard::Asks(control)
            }
            Err(malformed) => Heard::Malformed(malformed),
        }
    }

    /// It has seen some of a camera's frames.
    pub(super) fn has_seen(&mut self) {
        self.flow.heard();
    }

    /// A message is off to it.
    pub(super) fn was_sent(&mut self) {
        if self.pattern == OutPattern::Req {
            self.asked = Some(Instant::now());
        }
    }

    /// There is sense in preparing something: a pub link takes everything, even while nobody subscribes.
    pub(super) fn is_there(&self) -> bool {
        self.pattern != OutPattern::Pub || !self.topics.is_empty()
    }

    /// It takes the frames of a camera that are published under this topic.
    pub(super) fn takes(&self, topic: &str) -> bool {
        match (self.pattern, self.format) {
            (OutPattern::Pair | OutPattern::Dealer | OutPattern::Req, _) => self.connected,
            (OutPattern::Pub, Format::Watchpost) => {
                let begins = |begin: &Bytes| topic.as_bytes().starts_with(begin);
                self.topics.len() == MOST_TOPICS || self.topics.iter().any(begins)
            }
            // Nobody can ask for a camera where no topic names it.
            (OutPattern::Pub, _) => !self.topics.is_empty(),
        }
    }

    /// It takes another frame of the camera now.
    pub(super) fn is_open_for(&self, camera: &Unseen) -> bool {
        self.flow.is_open(camera)
    }

    /// A req link's socket takes no other message before there is an answer to the last, and there will be none.
    pub(super) fn never_answers(&self) -> bool {
        self.asked.is_some_and(|asked| self.is_gone || asked.elapsed() > DEAF)
    }

    /// A receiver of watchpost's says hello at once.
    fn is_unanswered(&self) -> bool {
        self.answers && !self.flow.is_greeted() && self.since.is_some_and(|since| since.elapsed() > DEAF)
    }

    /// Reports how it is, where it takes something now or does not. `unkept`: it does not keep what the spool keeps for it.
    pub(super) fn judge(&mut self, writable: bool, unkept: bool, link: &Link, health: &Part) {
        if self.pattern == OutPattern::Pub {
            match link.refusal_reason() {
                Some(trouble) => health.down(trouble),
                None => health.up(if self.topics.is_empty() { "open, nobody subscribes" } else { "publishing" }),
            }
        } else if self.flow.is_silent() {
            self.connected = false;
            health.down("connected, but the receiver is silent");
        } else if writable {
            (self.connected, self.waiting) = (true, None);
            self.since.get_or_insert_with(Instant::now);
            health.up(if link.has_waiting_peer() {
                "connected; somebody else waits, a pair has one peer"
            } else if self.is_unanswered() {
                "connected, not answered: a script, or a receiver that has another agent"
            } else if unkept {
                "connected, but the receiver keeps no readings"
            } else {
                "connected"
            });
        } else if self.waiting.get_or_insert_with(Instant::now).elapsed() > DEAF {
            self.connected = false;
            health.down(link.refusal_reason().unwrap_or("nobody there who takes anything"));
        }
    }
}
