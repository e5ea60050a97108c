//! One link of the receiver: messages in, onto the wall, into the history and to the recorder.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::commands::Inbox;
use super::history::{Ack, Feed, Unkept};
use super::link_stats::LinkStats;
use super::log_throttle::LogThrottle;
use super::recorder;
use super::replies::Replies;
use super::wall::Wall;
use crate::config::{InPattern, Inlet};
use crate::link::{Link, LinkOptions, OnRefusal, Refusal};
use crate::lock::lock;
use crate::wire::{Message, Totals, decode};

/// At the end, what is on its way is awaited until it is quiet for so long, but not for longer in all.
const QUIET: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(1);

/// How often agents are told that somebody listens.
const HELLO: Duration = Duration::from_secs(1);

/// The wait between tries to open the link once more.
const AGAIN: Duration = Duration::from_secs(1);

/// After so many messages in a row others get their turn.
const FAIR: u32 = 32;

/// A link's worker.
pub struct Intake {
    /// Its table in the configuration.
    pub inlet: Inlet,
    /// What is known.
    pub wall: watch::Sender<Wall>,
    /// Who wants each message's header as a line.
    pub lines: Option<mpsc::Sender<String>>,
    /// Where readings are kept.
    pub history: Option<Feed>,
    /// Where frames are recorded.
    pub recorder: Option<recorder::Feed>,
    /// What viewers want of its agents.
    pub inbox: Inbox,
    /// What session.
    pub stats: LinkStats,
}

impl Intake {
    /// Receives from its socket until the shutdown, then what is still on its way; gives the count of what session.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(mut self, mut link: Link, shutdown: CancellationToken) -> Result<Totals> {
        let mut session = Session {
            totals: Totals::default(),
            replies: Replies::of(&self.inlet, self.history.is_some()),
            malformed: LogThrottle::default(),
            dropped: LogThrottle::default(),
            others: LogThrottle::default(),
            unkept: LogThrottle::default(),
        };
        let mut in_a_row = 0_u32;
        let mut hellos = interval(HELLO);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = hellos.tick() => {
                    session.replies.greet(&mut link)?;
                    self.wall.send_if_modified(Wall::forget);
                    if link.has_waiting_peer() {
                        session.others.log(&Named(&link), &others(link.next_peer()));
                    }
                }
                ack = next_ack(&mut self.history) => Replies::acknowledge(&mut link, ack)?,
                Some(order) = self.inbox.next() => Replies::pass_on(&mut link, order)?,
                parts = link.receive() => if let Some(parts) = parts? {
                    self.take(&mut link, &parts, &mut session)?;
                } else {
                    let options = link.options();
                    link.close().await;
                    self.stats.closed(true);
                    let Some(reopened) = shutdown.run_until_cancelled(reopen(options)).await else {
                        return Ok(session.totals);
                    };
                    link = reopened;
                    self.stats.closed(false);
                },
            }
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(FAIR) {
                tokio::task::yield_now().await;
            }
        }
        self.finish(&mut link, &mut session).await?;
        link.close().await;
        Ok(session.totals)
    }

    /// Takes what is on its way, and says what of it is kept.
    async fn finish(&mut self, link: &mut Link, session: &mut Session) -> Result<()> {
        let end = Instant::now() + LAST;
        while Instant::now() < end {
            tokio::select! {
                parts = timeout(QUIET, link.receive()) => match parts {
                    Ok(parts) => {
                        let Some(parts) = parts? else { break };
                        self.take(link, &parts, session)?;
                    }
                    Err(_) => break,
                },
                ack = next_ack(&mut self.history) => Replies::acknowledge(link, ack)?,
            }
        }
        let Some(mut acks) = self.history.take().map(Feed::finish) else { return Ok(()) };
        while let Ok(Some(ack)) = timeout_at(end, acks.recv()).await {
            Replies::acknowledge(link, ack)?;
        }
        Ok(())
    }

    /// Hands readings to the history.
    fn keep(&mut self, link: &Link, peer: &Bytes, message: &Message, session: &mut Session) {
        let (Some(history), Message::Readings(readings)) = (&self.history, message) else { return };
        match history.offer(readings, session.replies.speaks().then_some(peer)) {
            Ok(()) => {}
            Err(Unkept::NoRoom) => {
                session.unkept.log(&Named(link), &"readings are not kept: they come faster than they are written");
            }
            // It should not have: agents are no longer told that anybody keeps what they send.
            Err(Unkept::Ended) => {
                self.history = None;
                session.replies.keep_no_more();
            }
        }
    }

    fn take(&mut self, link: &mut Link, parts: &[Bytes], session: &mut Session) -> Result<()> {
        let (peer, parts) = match parts {
            [peer, parts @ ..] if self.inlet.pattern == InPattern::Router => (peer.clone(), parts),
            _ => (Bytes::new(), parts),
        };
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                session.totals.add(&message);
                self.stats.message(&message);
                if session.replies.speaks() {
                    self.inbox.heard(message.agent(), &peer);
                }
                if let Some(lines) = &self.lines {
                    // A slow reader loses lines; it does not make the wall old.
                    if let Err(TrySendError::Full(_)) = lines.try_send(message.to_json()) {
                        session.dropped.log(&Named(link), &"a line was dropped, standard output is not read");
                    }
                }
                self.keep(link, &peer, &message, session);
                session.replies.answer(link, &peer, &message)?;
                let mut taken = None;
                self.wall.send_modify(|wall| taken = wall.apply(message));
                if let (Some(recorder), Some(shown)) = (&self.recorder, taken) {
                    recorder.offer(&shown);
                }
            }
            Err(error) => {
                self.stats.malformed(&error);
                session.malformed.log(
                    &Named(link),
                    &format_args!(
                        "malformed message ({error}); this link's format is {}, is the agent's the same?",
                        self.inlet.format
                    ),
                );
            }
        }
        Ok(())
    }
}

/// What somebody should know who has connected two agents to a pair.
fn others(next: Option<IpAddr>) -> String {
    let at = next.map(|address| format!(", at {address},")).unwrap_or_default();
    format!("another agent{at} waits, a pair has one; the pattern router, with dealer at the agents, has any number")
}

/// Peers that are remembered, so that the same one is logged now and then only.
const MOST_REFUSED: usize = 64;

/// Logs who does not come in over a link.
#[must_use]
pub fn on_refusal(address: String) -> OnRefusal {
    let refused = Mutex::new(BTreeMap::<String, LogThrottle>::new());
    Arc::new(move |refusal: &Refusal| {
        let mut refused = lock(&refused);
        if refused.len() == MOST_REFUSED && !refused.contains_key(&refusal.who) {
            refused.clear();
        }
        refused.entry(refusal.who.clone()).or_default().log(&format_args!("link {address}"), &refusal.text);
    })
}

/// A link once more, which may not be had at once: a key that is being changed, no descriptors.
pub(super) async fn reopen(options: LinkOptions) -> Link {
    let mut trouble = LogThrottle::default();
    let who = format!("link {}", options.end.address());
    loop {
        match options.clone().open() {
            Ok(link) => return link,
            Err(error) => trouble.log(&who, &format_args!("{error:#}")),
        }
        sleep(AGAIN).await;
    }
}

/// What session over a link.
struct Session {
    totals: Totals,
    replies: Replies,
    malformed: LogThrottle,
    dropped: LogThrottle,
    others: LogThrottle,
    unkept: LogThrottle,
}

/// What is said of a link begins with this.
struct Named<'a>(&'a Link);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0.address())
    }
}

/// What is kept, when there is news of it.
async fn next_ack(history: &mut Option<Feed>) -> Ack {
    match history {
        // It has its own end of it, too, so that there always is a next one.
        Some(history) => match history.acks.recv().await {
            Some(ack) => ack,
            None => pending().await,
        },
        None => pending().await,
    }
}
