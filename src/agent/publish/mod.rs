//! One link of the agent: what is to be said next, said as soon as the other side takes it.
//!
//! While it takes nothing, nothing is prepared and nothing waits but the newest frame in its slot and the readings in
//! their bounded feed: sensors, cameras and other links never notice.
//!
//! Pictures are in `frames.rs`, each camera's way in `lane.rs`, what the spool has in `spooled.rs`.

mod audience;
mod backlog;
mod card;
mod drain;
mod flow;
mod frames;
mod gather;
mod heard;
mod lane;
mod no_signal;
mod spooled;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use backlog::Backlog;
pub use gather::Gathered;
pub use lane::{View, Views};

use super::health::Part;
use crate::config::{Endpoint, Format, OutPattern, Outlet};
use crate::link::{Events, Link, LinkOptions, MAX_PART_BYTES, Refusal};
use crate::name::Name;
use crate::reading::State;
use crate::wire::{Message, Status, Totals, encode};
use audience::Audience;
use lane::Lane;
use spooled::more;

/// The wait between tries to open the socket.
const WAIT: Duration = Duration::from_secs(1);

/// After so many messages of the other side something is sent, too.
const FAIR: u32 = 32;

/// A link's worker.
pub struct Publisher {
    /// No other link's, as long as the agent runs.
    pub number: usize,
    /// The agent's name.
    pub agent: Name,
    /// This start of the agent.
    pub boot: Name,
    /// Its table in the configuration.
    pub outlet: Outlet,
    /// The cameras whose frames go over it.
    pub views: watch::Receiver<Views>,
    /// Current readings.
    pub state: Arc<State>,
    /// Every reading.
    pub readings: Gathered,
    /// Those that the receiver lacks, if the spool keeps for this link.
    pub backlog: Option<Backlog>,
    /// Rings when a camera has a newer frame.
    pub frames: watch::Receiver<()>,
    /// How the agent is.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where it reports.
    pub health: Part,
}

/// At the end, readings wait this long for a peer that is slow.
const LAST: Duration = Duration::from_millis(300);

/// What the other side still has to be told.
struct Pending {
    /// A new status has not been sent yet.
    status: bool,
    /// Of each camera.
    lanes: Vec<Lane>,
    /// The camera whose turn it is.
    turn: usize,
    totals: Totals,
    audience: Audience,
    /// After a page of the backlog a frame has its turn.
    page_was_last: bool,
}

impl Publisher {
    /// Sends until the shutdown, then what is left as far as it is taken; gives the count of what was sent.
    pub async fn run(mut self, shutdown: CancellationToken) -> Totals {
        let mut pending = Pending {
            status: true,
            lanes: Vec::new(),
            turn: 0,
            audience: Audience::of(&self.outlet),
            page_was_last: false,
            totals: Totals::default(),
        };
        self.follow_cameras(&mut pending);
        while let Err(error) = self.run_once(&shutdown, &mut pending).await {
            self.health.down(&format!("{error:#}"));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(WAIT) => {}
            }
        }
        pending.totals
    }

    async fn run_once(&mut self, shutdown: &CancellationToken, pending: &mut Pending) -> Result<()> {
        let health = self.health.clone();
        let refused = Arc::new(move |refusal: &Refusal| {
            health.count("connections_refused", 1);
            health.remark(&refusal.who, || refusal.text.clone());
        });
        let Outlet { pattern, end, curve, .. } = self.outlet.clone();
        let mut link = LinkOptions { pattern: pattern.into(), end, curve, refused }.open()?;
        if matches!(self.outlet.end, Endpoint::Bind(_)) {
            info!("bound at {}", link.address());
        }
        loop {
            let result = self.serve(&mut link, shutdown, pending).await;
            pending.audience.leave();
            pending.nothing_was_seen();
            self.begin_anew();
            self.demand(pending);
            let options = link.options();
            link.close().await;
            if result.is_err() || shutdown.is_cancelled() {
                return result;
            }
            link = options.open()?;
        }
    }

    /// Sends until the shutdown, or until the socket is deaf.
    async fn serve(&mut self, link: &mut Link, shutdown: &CancellationToken, pending: &mut Pending) -> Result<()> {
        let mut end = None;
        loop {
            // Whoever is there now knows nothing of this agent yet.
            if pending.audience.ended(link.lost_peers()) {
                pending.status = true;
                pending.nothing_was_seen();
                self.begin_anew();
            }
            if link.needs_reopen()? {
                return Ok(());
            }
            if pending.audience.never_answers() {
                bail!("took a message, and did not answer");
            }
            let events = link.events()?;
            if events.readable {
                for _ in 0..FAIR {
                    let Some(parts) = link.try_receive()? else { break };
                    self.hear(&parts, pending);
                }
                // Others have their turn, too, whoever talks without end.
                yield_now().await;
            }
            let events = link.events()?;
            if may_send(events, pending) && self.send_next(link, shutdown.is_cancelled(), pending)? {
                continue;
            }
            // Asked anew: trying to send takes in what the descriptor tells of.
            let events = link.events()?;
            if events.readable {
                continue;
            }
            let writable = may_send(events, pending);
            let unkept = self.backlog.as_ref().is_some_and(Backlog::is_unkept);
            pending.audience.judge(writable, unkept, link, &self.health);
            self.demand(pending);
            if shutdown.is_cancelled() {
                let end = *end.get_or_insert_with(|| Instant::now() + LAST);
                let left = self.readings_left();
                if left == 0 || Instant::now() >= end {
                    if left > 0 {
                        let later = if self.backlog.is_some() { "; they are left to the spool" } else { "" };
                        let address = self.outlet.end.address();
                        warn!("link {address}: the last {left} batches of readings were not taken{later}");
                    }
                    return Ok(());
                }
                // Out of time is seen above.
                let _ = timeout_at(end, link.changed()).await;
                continue;
            }
            // What cannot be sent need not wake this task.
            tokio::select! {
                () = shutdown.cancelled() => {}
                changed = link.changed() => changed?,
                () = self.readings.ready(), if writable => {}
                () = more(self.backlog.as_mut()), if writable => {}
                _ = self.frames.changed(), if writable => {}
                _ = self.views.changed() => self.follow_cameras(pending),
                _ = self.status.changed() => pending.status = true,
            }
        }
    }

    /// Batches that the end should wait for, if this link carries readings to a peer at all.
    fn readings_left(&self) -> usize {
        match (self.outlet.pattern, self.outlet.format) {
            (OutPattern::Pub, _) | (_, Format::Base64 | Format::Imagezmq) => 0,
            _ => self.readings.left(),
        }
    }

    /// Sends one message if there is one to be sent; `now`: readings, too, if there are any.
    fn send_next(&mut self, link: &mut Link, now: bool, pending: &mut Pending) -> Result<bool> {
        self.catch_up();
        if let Some(batches) = self.readings.message(now) {
            let (first, last) = (batches[0].seq, batches[batches.len() - 1].last_seq());
            let message = Message::readings(&self.agent, &self.boot, &self.state.clock, batches);
            let sent = self.send(link, &message, pending)?;
            if sent {
                self.readings.sent();
                if let Some(backlog) = &mut self.backlog {
                    backlog.live_was_sent(&self.boot, first, last);
                }
            }
            return Ok(sent);
        }
        if pending.status {
            let status = Arc::clone(&self.status.borrow_and_update());
            let message = Message::status(&status, &self.state.current());
            pending.status = !self.send(link, &message, pending)?;
            return Ok(!pending.status);
        }
        if let Some(down) = self.next_down(pending) {
            return self.send_no_signal(link, down, pending);
        }
        // In turns, so that neither holds up the other.
        let page_first = !std::mem::take(&mut pending.page_was_last);
        if page_first && self.send_page(link, pending)? || self.send_frame(link, pending)? {
            return Ok(true);
        }
        Ok(!page_first && self.send_page(link, pending)?)
    }

    /// True when the message is off, or when the link's format cannot carry it and it need not be tried again.
    fn send(&self, link: &mut Link, message: &Message, pending: &mut Pending) -> Result<bool> {
        let Some(parts) = encode(self.outlet.format, message) else { return Ok(true) };
        if parts.iter().any(|part| part.len() > MAX_PART_BYTES) {
            self.health.count("messages_too_large", 1);
            return Ok(true);
        }
        let sent = link.try_send(&parts)?;
        if sent {
            pending.totals.add(message);
            pending.audience.was_sent();
            match message {
                Message::Frame(header, _) if header.no_signal.is_some() => {
                    self.health.count("placeholders_sent", 1);
                }
                Message::Frame(..) => self.health.count("frames_sent", 1),
                Message::Readings(all) if all.backlog => self.health.count("backlog_readings_sent", all.count()),
                Message::Readings(all) => self.health.count("readings_sent", all.count()),
                Message::Status(_) => {}
            }
        }
        Ok(sent)
    }
}

impl Pending {
    /// Whoever is there now has seen none of the frames that were on their way.
    fn nothing_was_seen(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.unseen.begin_anew());
    }
}

fn may_send(events: Events, pending: &Pending) -> bool {
    events.writable && pending.audience.is_there()
}
