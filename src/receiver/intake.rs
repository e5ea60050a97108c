//! One link of the receiver: passes its messages on to the wall, the history and the recorder.

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

use super::budget::{Budget, Share};
use super::commands::Inbox;
use super::history::{Answer, Feed, NotStored};
use super::link_stats::LinkStats;
use super::log_throttle::{LogThrottle, PeerThrottles};
use super::owners::{Claim, LinkOwners, Report, SECOND_NAME};
use super::quotas::{Quota, Quotas};
use super::recorder;
use super::refused_agents::RefusedAgents;
use super::replies::{Replies, Sender};
use super::wall::Wall;
use crate::config::{InPattern, Inlet};
use crate::link::{Incoming, Link, LinkOptions, OnRefusal, Origin, Refusal, Shed, connection_usage};
use crate::lock::lock;
use crate::name::Name;
use crate::wire::{Message, Totals, decode};

/// After the shutdown, a link still receives until nothing arrived for `QUIET_TIMEOUT`, but at most for
/// `DRAIN_TIMEOUT`.
const QUIET_TIMEOUT: Duration = Duration::from_millis(200);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often agents get a hello.
const HELLO_INTERVAL: Duration = Duration::from_secs(1);

/// The delay between attempts to reopen a link.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Messages in a row before other tasks get their turn.
const MESSAGES_PER_TURN: u32 = 32;

/// Receives from one link.
pub struct Intake {
    /// The link's table in the configuration.
    pub inlet: Inlet,
    /// Where the newest state goes.
    pub wall: watch::Sender<Wall>,
    /// Takes each message's header as a JSON line.
    pub lines: Option<mpsc::Sender<(String, Share)>>,
    /// Where readings are stored.
    pub history: Option<Feed>,
    /// Where frames are recorded.
    pub recorder: Option<recorder::Feed>,
    /// Viewers' commands for this link's agents.
    pub inbox: Inbox,
    /// Which of this link's connections own which agent names.
    pub owners: LinkOwners,
    /// Where refused agents are reported.
    pub refused: RefusedAgents,
    /// Counts messages.
    pub stats: LinkStats,
    /// The bound of what agents put into memory.
    pub budget: Budget,
    /// Limit on the agents that get replies.
    pub max_agents: usize,
    /// Where limits are reported.
    pub quotas: Quotas,
}

impl Intake {
    /// Receives until shutdown, then receives messages that are still in transit; returns the totals received.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(mut self, mut link: Link, shutdown: CancellationToken) -> Result<Totals> {
        let mut session = Session {
            totals: Totals::default(),
            replies: Replies::new(&self.inlet, self.history.is_some(), self.max_agents),
            malformed: LogThrottle::default(),
            dropped: LogThrottle::default(),
            others: LogThrottle::default(),
            not_stored: LogThrottle::default(),
            refused: on_refusal(link.address().to_owned()),
            removed: LogThrottle::default(),
        };
        let mut in_a_row = 0_u32;
        let mut hellos = interval(HELLO_INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = hellos.tick() => {
                    session.replies.greet(&mut link)?;
                    self.budget.report();
                    self.report_connections(&mut link);
                    if link.has_waiting_peer() {
                        session.others.log(&Named(&link), &waiting_agent(link.next_peer()));
                    }
                }
                answer = next_answer(&mut self.history) => Replies::send_answer(&mut link, &answer)?,
                Some(order) = self.inbox.next() => Replies::pass_on(&mut link, order)?,
                incoming = link.receive() => match incoming? {
                    Incoming::Message(parts, origin) => self.handle(&mut link, &parts, &origin, &mut session)?,
                    Incoming::Ended(connection) => self.connection_ended(connection, &mut session),
                    Incoming::Broken => {
                        let options = link.options();
                        link.close().await;
                        self.stats.closed(true);
                        self.owners.all_ended();
                        session.replies.all_ended();
                        let Some(reopened) = shutdown.run_until_cancelled(reopen(options)).await else {
                            return Ok(session.totals);
                        };
                        link = reopened;
                        self.stats.closed(false);
                    }
                },
            }
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(MESSAGES_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
        self.finish(&mut link, &mut session).await?;
        link.close().await;
        Ok(session.totals)
    }

    /// Receives what is still on its way, and acknowledges what is stored of it.
    async fn finish(&mut self, link: &mut Link, session: &mut Session) -> Result<()> {
        let end = Instant::now() + DRAIN_TIMEOUT;
        while Instant::now() < end {
            tokio::select! {
                incoming = timeout(QUIET_TIMEOUT, link.receive()) => match incoming {
                    Ok(incoming) => match incoming? {
                        Incoming::Message(parts, origin) => self.handle(link, &parts, &origin, session)?,
                        Incoming::Ended(connection) => self.connection_ended(connection, session),
                        Incoming::Broken => break,
                    },
                    Err(_) => break,
                },
                answer = next_answer(&mut self.history) => Replies::send_answer(link, &answer)?,
            }
        }
        let Some(mut answers) = self.history.take().map(Feed::finish) else { return Ok(()) };
        while let Ok(Some(answer)) = timeout_at(end, answers.recv()).await {
            Replies::send_answer(link, &answer)?;
        }
        Ok(())
    }

    /// Reports how many connections there are, and how many were closed because there were too many.
    fn report_connections(&self, link: &mut Link) {
        let (used, limit) = connection_usage();
        self.quotas.set(Quota::Connections, used as u64, limit as u64);
        let Shed { count, address } = link.take_shed();
        if count > 0 {
            self.quotas.refuse(Quota::Connections, count, &address);
        }
    }

    /// Hands a message's readings to the history.
    fn keep(&mut self, link: &Link, peer: &Bytes, message: &Message, session: &mut Session) {
        let (Some(history), Message::Readings(readings)) = (&self.history, message) else { return };
        match history.offer(readings, session.replies.is_two_way().then_some(peer)) {
            Ok(()) => {}
            Err(NotStored::NoRoom) => {
                self.quotas.refuse(Quota::HistoryQueueBytes, 1, &readings.agent);
                session
                    .not_stored
                    .log(&Named(link), &"readings not stored: they arrive faster than the disk can store them");
            }
            // This should not happen. Stop promising to store readings.
            Err(NotStored::Ended) => {
                self.history = None;
                session.replies.stop_acks();
            }
        }
    }

    /// Frees the name of an agent whose connection has ended.
    fn connection_ended(&self, connection: u64, session: &mut Session) {
        self.owners.ended(connection);
        self.inbox.connection_ended(connection);
        session.replies.connection_ended(connection);
    }

    /// Accounts a frame's picture to its agent; returns false if it does not fit. To make room, the agents with the largest
    /// shares lose their oldest frames on the wall.
    fn account(&self, message: &mut Message, session: &mut Session) -> bool {
        let Message::Frame(header, jpeg) = message else { return true };
        loop {
            if let Some(share) = self.budget.pictures.take(&header.agent, jpeg.len()) {
                *jpeg = share.attached_to(std::mem::take(jpeg));
                return true;
            }
            let loser = self.make_room(&header.agent, jpeg.len());
            let agent = loser.as_ref().unwrap_or(&header.agent);
            self.budget.refuse(agent);
            let what = "no memory for all of its frames, the oldest are removed; set a higher [limits] memory";
            session.removed.log(&format_args!("agent {agent}"), &what);
            if loser.is_none() {
                return false;
            }
        }
    }

    /// Removes the oldest frame of the agent with the largest share that has one; returns the agent. Removes none for an
    /// agent whose own share would be the largest.
    fn make_room(&self, newcomer: &Name, length: usize) -> Option<Name> {
        let mut loser = None;
        self.wall.send_if_modified(|wall| {
            for agent in self.budget.pictures.largest_first(newcomer, length) {
                if wall.remove_oldest_frame(&agent) {
                    loser = Some(agent);
                } else if agent != *newcomer {
                    continue;
                }
                break;
            }
            loser.is_some()
        });
        loser
    }

    fn handle(&mut self, link: &mut Link, parts: &[Bytes], origin: &Arc<Origin>, session: &mut Session) -> Result<()> {
        let (peer, parts) = match parts {
            [peer, parts @ ..] if self.inlet.pattern == InPattern::Router => (peer.clone(), parts),
            _ => (Bytes::new(), parts),
        };
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                self.stats.message(&message);
                let claim = Claim::of(&message, self.inlet.format);
                let verdict = self.owners.admit(&self.inlet, origin, claim, Instant::now().into_std());
                self.report(verdict.reports, session);
                match verdict.refused {
                    None => self.apply(link, &peer, origin, message, session)?,
                    Some(SECOND_NAME) => {}
                    Some(cause) => session.replies.refuse(link, &Sender { route: &peer, origin }, cause)?,
                }
            }
            Err(error) => {
                self.stats.malformed(&error);
                session.malformed.log(
                    &Named(link),
                    &format_args!(
                        "malformed message ({error}); check that the agent's link has format {}, too",
                        self.inlet.format
                    ),
                );
            }
        }
        Ok(())
    }

    /// Applies a message of the agent that owns its name.
    fn apply(
        &mut self,
        link: &mut Link,
        peer: &Bytes,
        origin: &Origin,
        mut message: Message,
        session: &mut Session,
    ) -> Result<()> {
        session.totals.add(&message);
        if session.replies.is_two_way() && !origin.has_ended {
            self.inbox.set_route(message.agent(), peer, origin.connection);
        }
        if let Some(lines) = &self.lines {
            // A slow reader of standard output loses lines, but never delays the wall.
            let text = message.to_json();
            let memory = self.budget.outgoing.take_fairly(message.agent(), text.len());
            let is_full = |memory| matches!(lines.try_send((text, memory)), Err(TrySendError::Full(_)));
            if memory.is_none_or(is_full) {
                session.dropped.log(&Named(link), &"line dropped: standard output is not read fast enough");
            }
        }
        self.keep(link, peer, &message, session);
        session.replies.answer(link, &Sender { route: peer, origin }, &message)?;
        if !self.account(&mut message, session) {
            return Ok(());
        }
        let mut taken = None;
        self.wall.send_modify(|wall| taken = wall.apply(message));
        if let (Some(recorder), Some(frame)) = (&self.recorder, taken) {
            recorder.offer(&frame);
        }
        Ok(())
    }

    /// Reports refused agents, and logs each peer now and then.
    fn report(&self, reports: Vec<Report>, session: &Session) {
        for (refused, times) in reports {
            (session.refused)(&Refusal { who: refused.peer.clone(), text: refused.text.clone() });
            self.refused.add(refused, times);
        }
    }
}

/// The log line about a second agent on a pair link.
fn waiting_agent(next: Option<IpAddr>) -> String {
    let at = next.map(|address| format!(" at {address}")).unwrap_or_default();
    format!("another agent{at} is waiting: a pair link serves one agent; use `router` here and `dealer` on the agents")
}

/// Returns a callback that logs refused peers.
#[must_use]
pub fn on_refusal(address: String) -> OnRefusal {
    let throttles = Mutex::new(PeerThrottles::default());
    Arc::new(move |refusal: &Refusal| {
        lock(&throttles).of(&refusal.who).log(&format_args!("link {address}"), &refusal.text);
    })
}

/// Opens a link, and retries until it succeeds: a key may be about to change, or descriptors may have run out.
pub(super) async fn reopen(options: LinkOptions) -> Link {
    let mut failures = LogThrottle::default();
    let who = format!("link {}", options.end.address());
    loop {
        match options.clone().open() {
            Ok(link) => return link,
            Err(error) => failures.log(&who, &format_args!("{error:#}")),
        }
        sleep(RETRY_DELAY).await;
    }
}

/// The state of one link's task.
struct Session {
    /// Messages and bytes received.
    totals: Totals,
    replies: Replies,
    malformed: LogThrottle,
    dropped: LogThrottle,
    others: LogThrottle,
    not_stored: LogThrottle,
    /// Logs refused agents.
    refused: OnRefusal,
    /// Frames that were removed or refused because memory ran short.
    removed: LogThrottle,
}

/// The link, as log lines name it.
struct Named<'a>(&'a Link);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0.address())
    }
}

/// Waits for the next answer from the history.
async fn next_answer(history: &mut Option<Feed>) -> Answer {
    match history {
        // The feed holds a sender, too, so the channel never closes.
        Some(history) => match history.answers.recv().await {
            Some(answer) => answer,
            None => pending().await,
        },
        None => pending().await,
    }
}
