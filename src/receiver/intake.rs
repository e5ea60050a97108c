//! One link of the receiver: messages in, onto the wall, into the history and to the recorder.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::commands::Desk;
use super::complaint::Complaint;
use super::counts::LinkCounts;
use super::history::{Ack, Feed};
use super::recorder;
use super::replies::Replies;
use super::wall::Wall;
use crate::config::{InPattern, Inlet};
use crate::link::{Link, OnRefusal, Opening, Refusal};
use crate::wire::{Message, Tally, decode};

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
    pub desk: Desk,
    /// What came.
    pub counts: LinkCounts,
}

impl Intake {
    /// Receives from its socket until the shutdown, then what is still on its way; gives the count of what came.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(mut self, mut link: Link, shutdown: CancellationToken) -> Result<Tally> {
        let mut came = Came {
            tally: Tally::default(),
            replies: Replies::of(&self.inlet, self.history.is_some()),
            malformed: Complaint::default(),
            dropped: Complaint::default(),
            others: Complaint::default(),
            unkept: Complaint::default(),
        };
        let mut in_a_row = 0_u32;
        let mut hellos = interval(HELLO);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = hellos.tick() => {
                    came.replies.greet(&mut link)?;
                    self.wall.send_if_modified(Wall::forget);
                    if link.leaves_others_alone() {
                        came.others.log(&Named(&link), &others(link.next_peer()));
                    }
                }
                ack = next_ack(&mut self.history) => self.acknowledge(&mut link, ack, &mut came)?,
                Some(order) = self.desk.next() => Replies::pass_on(&mut link, order)?,
                parts = link.receive() => if let Some(parts) = parts? {
                    self.take(&mut link, &parts, &mut came)?;
                } else {
                    let opening = link.opening();
                    link.close().await;
                    self.counts.closed(true);
                    let Some(reopened) = shutdown.run_until_cancelled(opened(opening)).await else {
                        return Ok(came.tally);
                    };
                    link = reopened;
                    self.counts.closed(false);
                },
            }
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(FAIR) {
                tokio::task::yield_now().await;
            }
        }
        self.finish(&mut link, &mut came).await?;
        link.close().await;
        Ok(came.tally)
    }

    /// Takes what is on its way, and says what of it is kept.
    async fn finish(&mut self, link: &mut Link, came: &mut Came) -> Result<()> {
        let end = Instant::now() + LAST;
        while Instant::now() < end {
            tokio::select! {
                parts = timeout(QUIET, link.receive()) => match parts {
                    Ok(parts) => {
                        let Some(parts) = parts? else { break };
                        self.take(link, &parts, came)?;
                    }
                    Err(_) => break,
                },
                ack = next_ack(&mut self.history) => self.acknowledge(link, ack, came)?,
            }
        }
        let Some(mut acks) = self.history.take().map(Feed::finish) else { return Ok(()) };
        while let Ok(Some(ack)) = timeout_at(end, acks.recv()).await {
            Replies::acknowledge(link, ack)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, link: &mut Link, ack: Option<Ack>, came: &mut Came) -> Result<()> {
        if let Some(ack) = ack {
            return Replies::acknowledge(link, ack);
        }
        // The history has ended, though it should not have: there is nothing to be heard of it any more, and agents are not
        // told that anybody keeps what they send.
        self.history = None;
        came.replies.keep_no_more();
        Ok(())
    }

    fn take(&mut self, link: &mut Link, parts: &[Bytes], came: &mut Came) -> Result<()> {
        let (peer, parts) = match parts {
            [peer, parts @ ..] if self.inlet.pattern == InPattern::Router => (peer.clone(), parts),
            _ => (Bytes::new(), parts),
        };
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                came.tally.add(&message);
                self.counts.message(&message);
                if came.replies.speaks() {
                    self.desk.heard(message.agent(), &peer);
                }
                if let Some(lines) = &self.lines {
                    // A slow reader loses lines; it does not make the wall old.
                    if let Err(TrySendError::Full(_)) = lines.try_send(message.to_json()) {
                        came.dropped.log(&Named(link), &"a line was dropped, standard output is not read");
                    }
                }
                if let (Some(history), Message::Readings(readings)) = (&self.history, &message)
                    && !history.offer(readings, came.replies.speaks().then_some(&peer))
                {
                    came.unkept.log(&Named(link), &"readings are not kept: they come faster than they are written");
                }
                came.replies.answer(link, &peer, &message)?;
                let mut taken = None;
                self.wall.send_modify(|wall| taken = wall.apply(message));
                if let (Some(recorder), Some(shown)) = (&self.recorder, taken) {
                    recorder.offer(&shown);
                }
            }
            Err(error) => {
                self.counts.malformed(&error);
                came.malformed.log(
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
    let refused = Mutex::new(BTreeMap::<String, Complaint>::new());
    Arc::new(move |refusal: &Refusal| {
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() == MOST_REFUSED && !refused.contains_key(&refusal.who) {
            refused.clear();
        }
        refused.entry(refusal.who.clone()).or_default().log(&format_args!("link {address}"), &refusal.text);
    })
}

/// A link once more, which may not be had at once: a key that is being changed, no descriptors.
pub(super) async fn opened(opening: Opening) -> Link {
    let mut trouble = Complaint::default();
    let who = format!("link {}", opening.end.address());
    loop {
        match opening.clone().open() {
            Ok(link) => return link,
            Err(error) => trouble.log(&who, &format_args!("{error:#}")),
        }
        sleep(AGAIN).await;
    }
}

/// What came over a link.
struct Came {
    tally: Tally,
    replies: Replies,
    malformed: Complaint,
    dropped: Complaint,
    others: Complaint,
    unkept: Complaint,
}

/// What is said of a link begins with this.
struct Named<'a>(&'a Link);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0.address())
    }
}

/// What is kept, when there is news of it.
async fn next_ack(history: &mut Option<Feed>) -> Option<Ack> {
    match history {
        Some(history) => history.acks.recv().await,
        None => pending().await,
    }
}
