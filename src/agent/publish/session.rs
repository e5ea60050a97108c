//! The life of a link: opens its socket, sends and receives until the shutdown, and reopens the socket after a failure.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::backlog::{Backlog, backlog_ready};
use super::batcher::LiveReadings;
use super::camera_stream::{CameraStream, SharedCameras};
use super::peer_state::PeerState;
use crate::agent::health::Part;
use crate::config::{Endpoint, Format, OutPattern, Outlet};
use crate::link::{Events, Link, LinkOptions, Refusal};
use crate::name::Name;
use crate::reading::State;
use crate::wire::{Status, Totals};

/// The delay between attempts to open the socket.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// After receiving this many messages, the link sends one.
const MESSAGES_PER_TURN: u32 = 32;

/// How long a shutdown waits for a slow peer to take the last readings.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// The data that a session sends, and its sources.
pub struct Inputs {
    /// The agent's name.
    pub agent: Name,
    /// The id of this start of the agent.
    pub boot: Name,
    /// The cameras whose frames go over the link.
    pub cameras: watch::Receiver<SharedCameras>,
    /// Current readings.
    pub state: Arc<State>,
    /// Every reading.
    pub readings: LiveReadings,
    /// Readings that the receiver lacks, if the spool keeps them for this link.
    pub backlog: Option<Backlog>,
    /// Notifies when a camera has a newer frame.
    pub frames: watch::Receiver<()>,
    /// The agent's status.
    pub status: watch::Receiver<Arc<Status>>,
}

/// One link: its socket, its peer and the cameras it streams.
pub struct Session {
    /// Unique among the links of this run of the agent.
    pub(super) number: usize,
    /// The link's table in the configuration.
    pub(super) outlet: Outlet,
    pub(super) health: Part,
    pub(super) inputs: Inputs,
    pub(super) link: Link,
    pub(super) peer: PeerState,
    pub(super) streams: Vec<CameraStream>,
    /// The index of the stream to check first for the next frame.
    pub(super) next_stream: usize,
    /// The newest status is unsent.
    pub(super) has_new_status: bool,
    /// The last message was a page of the backlog, so a frame is next.
    pub(super) page_was_last: bool,
    /// The last frame or status had no room for all readings.
    pub(super) leaves_out_readings: bool,
    pub(super) totals: Totals,
}

impl Session {
    /// Sends until shutdown, then sends the remaining readings if the peer accepts them; returns the totals sent.
    pub async fn run(
        number: usize,
        outlet: Outlet,
        health: Part,
        inputs: Inputs,
        shutdown: CancellationToken,
    ) -> Totals {
        let opened = open(&outlet, &health);
        let Some(link) = retry_until_open(opened, &outlet, &health, &shutdown).await else { return Totals::default() };
        let mut session = Session {
            peer: PeerState::new(&outlet),
            number,
            outlet,
            health,
            inputs,
            link,
            streams: Vec::new(),
            next_stream: 0,
            has_new_status: true,
            page_was_last: false,
            leaves_out_readings: false,
            totals: Totals::default(),
        };
        session.follow_cameras();
        session.serve_and_reopen(&shutdown).await
    }

    async fn serve_and_reopen(mut self, shutdown: &CancellationToken) -> Totals {
        loop {
            let result = self.serve(shutdown).await;
            self.peer.reset();
            self.discard_in_flight();
            self.update_demand();
            let options = self.link.options();
            self.link.close().await;
            let reopened = match result {
                Ok(()) if shutdown.is_cancelled() => return self.totals,
                Ok(()) => options.open(),
                Err(error) => Err(error),
            };
            self.link = match retry_until_open(reopened, &self.outlet, &self.health, shutdown).await {
                Some(link) => link,
                None => return self.totals,
            };
        }
    }

    /// Sends and receives until the shutdown, or until the socket must be reopened.
    async fn serve(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let mut deadline = None;
        loop {
            if self.peer.has_left(self.link.lost_peers()) {
                // The next peer knows nothing of this agent yet.
                self.has_new_status = true;
                self.discard_in_flight();
            }
            if self.link.needs_reopen()? {
                return Ok(());
            }
            if self.peer.reply_is_overdue() {
                bail!("the peer accepted a message but did not reply");
            }
            self.receive_turn().await?;
            let events = self.link.events()?;
            if self.may_send(events) && self.send_next(shutdown.is_cancelled())? {
                continue;
            }
            // Check again: an attempt to send also processes what the socket's descriptor signalled.
            let events = self.link.events()?;
            if events.readable {
                continue;
            }
            let may_send = self.may_send(events);
            self.report(may_send);
            self.update_demand();
            if !shutdown.is_cancelled() {
                self.wait(may_send, shutdown).await?;
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + DRAIN_TIMEOUT);
            if self.is_drained(deadline) {
                return Ok(());
            }
            // The loop checks the deadline.
            let _ = timeout_at(deadline, self.link.changed()).await;
        }
    }

    /// Handles waiting messages of the peer, up to the limit of one turn.
    async fn receive_turn(&mut self) -> Result<()> {
        if !self.link.events()?.readable {
            return Ok(());
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Some(parts) = self.link.try_receive()? else { break };
            self.handle_message(&parts);
        }
        // A peer that never pauses must not starve other tasks.
        yield_now().await;
        Ok(())
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, may_send: bool, shutdown: &CancellationToken) -> Result<()> {
        let Inputs { cameras, readings, backlog, frames, status, .. } = &mut self.inputs;
        // A message that cannot be sent now need not wake this task.
        tokio::select! {
            () = shutdown.cancelled() => {}
            changed = self.link.changed() => changed?,
            () = readings.ready(), if may_send => {}
            () = backlog_ready(backlog.as_mut()), if may_send => {}
            _ = frames.changed(), if may_send => {}
            _ = cameras.changed() => self.follow_cameras(),
            _ = status.changed() => self.has_new_status = true,
        }
        Ok(())
    }

    /// True when no reading is left to send, or the deadline has passed.
    fn is_drained(&self, deadline: Instant) -> bool {
        let unsent = self.unsent_readings();
        let is_late = Instant::now() >= deadline;
        if unsent > 0 && is_late {
            let address = self.outlet.end.address();
            let fate = if self.inputs.backlog.is_some() { "; the spool keeps them" } else { "" };
            warn!("link {address}: shutting down with {unsent} batches of readings unsent{fate}");
        }
        unsent == 0 || is_late
    }

    /// Batches that a shutdown waits for; 0 if the link has no peer that receives readings.
    fn unsent_readings(&self) -> usize {
        match (self.outlet.pattern, self.outlet.format) {
            (OutPattern::Pub, _) | (_, Format::Base64 | Format::Imagezmq) => 0,
            _ => self.inputs.readings.unsent(),
        }
    }

    fn report(&mut self, may_send: bool) {
        let backlog = self.inputs.backlog.as_ref();
        let trouble = if backlog.is_some_and(Backlog::receiver_discards) {
            Some("connected, but the receiver keeps no readings".into())
        } else {
            backlog.and_then(Backlog::refusal_text)
        };
        self.peer.report(may_send, trouble, self.leaves_out_readings, &self.link, &self.health);
    }

    fn may_send(&self, events: Events) -> bool {
        events.writable && self.peer.is_present()
    }

    /// Forgets messages that were sent and not acknowledged: the next peer has not seen them.
    pub(super) fn discard_in_flight(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.in_flight.clear());
        self.reset_backlog();
    }
}

/// Opens the socket of a link.
fn open(outlet: &Outlet, health: &Part) -> Result<Link> {
    let health = health.clone();
    let refused = Arc::new(move |refusal: &Refusal| {
        health.count("connections_refused", 1);
        health.warn(&refusal.who, || refusal.text.clone());
    });
    let Outlet { pattern, end, curve, .. } = outlet.clone();
    let is_bound = matches!(end, Endpoint::Bind(_));
    let link = LinkOptions { pattern: pattern.into(), end, curve, identify: false, refused }.open()?;
    if is_bound {
        info!("bound to {}", link.address());
    }
    Ok(link)
}

/// Returns the link if it is open; otherwise reports the error and retries until it opens. `None` after a shutdown.
async fn retry_until_open(
    mut opened: Result<Link>,
    outlet: &Outlet,
    health: &Part,
    shutdown: &CancellationToken,
) -> Option<Link> {
    loop {
        match opened {
            Ok(link) => return Some(link),
            Err(error) => health.down(&format!("{error:#}")),
        }
        shutdown.run_until_cancelled(sleep(RETRY_DELAY)).await?;
        opened = open(outlet, health);
    }
}
