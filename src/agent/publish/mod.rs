//! One link of the agent: what is to be said next, said as soon as the other side takes it.
//!
//! While it takes nothing, nothing is prepared and nothing waits but the newest frame in its slot and the readings in
//! their bounded feed: sensors, cameras and other links never notice.

mod card;
mod gather;
mod no_signal;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use gather::Gathered;

use super::demand::Control;
use super::health::Part;
use crate::config::{self, End, Format, OutPattern, Outlet};
use crate::frame::{Jpeg, Newest};
use crate::link::{Events, LARGEST_PART, Link, Pattern, Refusal};
use crate::name::Name;
use crate::reading::State;
use crate::wire::{Message, Status, Tally, encode, frame_topic};
use no_signal::NoSignal;

/// The wait between tries to open the socket.
const WAIT: Duration = Duration::from_secs(1);

/// Topics that are remembered; with more, every camera's frames are prepared.
const MOST_TOPICS: usize = 256;

/// A link that has something to say and cannot for this long is down.
const DEAF: Duration = Duration::from_secs(3);

/// A link's worker.
pub struct Publisher {
    /// Its place in the configuration.
    pub number: usize,
    /// The agent's name.
    pub agent: Name,
    /// This start of the agent.
    pub boot: Name,
    /// Its table in the configuration.
    pub outlet: Outlet,
    /// All cameras, as the slots have them.
    pub cameras: Vec<config::Camera>,
    /// What is asked of each of them.
    pub controls: Vec<Control>,
    /// Current readings.
    pub state: Arc<State>,
    /// Every reading.
    pub readings: Gathered,
    /// Every camera's newest frame.
    pub newest: watch::Receiver<Newest>,
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
    /// Of each camera, the last frame that was sent.
    sent: Vec<u64>,
    /// Of each camera, what is sent while it is down.
    no_signal: Vec<NoSignal>,
    /// The camera whose turn it is.
    turn: usize,
    tally: Tally,
    /// What a pub link's subscribers want topics to begin with. While there is none, nothing is prepared for it.
    topics: BTreeSet<Bytes>,
    /// A pair link's peer was there, and not long ago.
    connected: bool,
    /// The cameras whose frames the other side takes.
    takes: Vec<bool>,
    /// Since when there was something to say that was not taken.
    waiting: Option<Instant>,
}

impl Publisher {
    /// Sends until the shutdown, then what is left as far as it is taken; gives the count of what was sent.
    pub async fn run(mut self, shutdown: CancellationToken) -> Tally {
        let mut pending = Pending {
            status: true,
            sent: vec![0; self.cameras.len()],
            no_signal: self.cameras.iter().map(|camera| NoSignal::new(camera.expected_size())).collect(),
            turn: 0,
            topics: BTreeSet::new(),
            connected: false,
            takes: vec![false; self.cameras.len()],
            tally: Tally::default(),
            waiting: None,
        };
        while let Err(error) = self.run_once(&shutdown, &mut pending).await {
            self.health.down(&format!("{error:#}"));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(WAIT) => {}
            }
        }
        pending.tally
    }

    async fn run_once(&mut self, shutdown: &CancellationToken, pending: &mut Pending) -> Result<()> {
        let health = self.health.clone();
        let refused = Box::new(move |refusal: &Refusal| {
            health.count("connections refused", 1);
            health.remark(&refusal.who, || refusal.text.clone());
        });
        let Outlet { pattern: kind, end, curve, .. } = &self.outlet;
        let mut link = Link::open(pattern(*kind), end, curve.as_ref(), refused)?;
        if matches!(self.outlet.end, End::Bind(_)) {
            info!("bound at {}", link.address());
        }
        let result = self.serve(&mut link, shutdown, pending).await;
        pending.topics.clear();
        pending.connected = false;
        self.demand(pending);
        link.close().await;
        result
    }

    async fn serve(&mut self, link: &mut Link, shutdown: &CancellationToken, pending: &mut Pending) -> Result<()> {
        let mut end = None;
        loop {
            let events = link.events()?;
            if events.readable {
                while let Some(parts) = link.try_receive()? {
                    self.hear(&parts, pending);
                }
                continue;
            }
            if self.may_send(events, pending) && self.send_next(link, shutdown.is_cancelled(), pending)? {
                continue;
            }
            // Asked anew: trying to send takes in what the descriptor tells of.
            let events = link.events()?;
            if events.readable {
                continue;
            }
            let writable = self.may_send(events, pending);
            self.judge(writable, link.trouble(), pending);
            self.demand(pending);
            if shutdown.is_cancelled() {
                let end = *end.get_or_insert_with(|| Instant::now() + LAST);
                let left = self.readings_left();
                if left == 0 || Instant::now() >= end {
                    if left > 0 {
                        warn!("link {}: the last {left} batches of readings were not taken", self.outlet.end.address());
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
                _ = self.newest.changed(), if writable => {}
                _ = self.status.changed() => pending.status = true,
            }
        }
    }

    /// A pub link takes everything, but while nobody subscribes there is no sense in preparing it.
    fn may_send(&self, events: Events, pending: &Pending) -> bool {
        events.writable && (self.outlet.pattern == OutPattern::Pair || !pending.topics.is_empty())
    }

    /// Batches that the end should wait for, if this link carries readings to a peer at all.
    fn readings_left(&self) -> usize {
        match (self.outlet.pattern, self.outlet.format) {
            (OutPattern::Pair, Format::Watchpost | Format::Json) => self.readings.left(),
            _ => 0,
        }
    }

    /// Takes what the other side says: on a pub link, which topics are subscribed to; on a pair link nothing is
    /// expected, but taking it keeps the socket's inbound side alive.
    fn hear(&mut self, parts: &[Bytes], pending: &mut Pending) {
        // ZMQ_XPUB: 1 and a topic that is new, or 0 and one that nobody wants any more.
        match parts.first().and_then(|part| part.first()) {
            Some(1) if self.outlet.pattern == OutPattern::Pub => {
                if pending.topics.is_empty() {
                    // What was said to nobody is gone.
                    self.readings.forget();
                }
                if pending.topics.len() < MOST_TOPICS {
                    pending.topics.insert(parts[0].slice(1..));
                }
            }
            Some(0) if self.outlet.pattern == OutPattern::Pub => {
                pending.topics.remove(&parts[0][1..]);
            }
            _ => {}
        }
    }

    /// Sends one message if there is one to be sent; `now`: readings, too, if there are any.
    fn send_next(&mut self, link: &mut Link, now: bool, pending: &mut Pending) -> Result<bool> {
        if let Some(batches) = self.readings.message(now) {
            let message = Message::readings(&self.agent, &self.boot, batches);
            let sent = self.send(link, &message, &mut pending.tally)?;
            if sent {
                self.readings.sent();
            }
            return Ok(sent);
        }
        if pending.status {
            let status = Arc::clone(&self.status.borrow_and_update());
            let message = Message::status(&status, &self.state.current());
            pending.status = !self.send(link, &message, &mut pending.tally)?;
            return Ok(!pending.status);
        }
        if let Some(camera) = self.next_down(pending) {
            return self.send_no_signal(link, camera, pending);
        }
        let Some((camera, jpeg)) = self.next_frame(pending) else { return Ok(false) };
        let skipped = jpeg.seq - pending.sent[camera] - 1;
        let name = &self.cameras[camera].name;
        let message = Message::frame(&self.agent, name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message, &mut pending.tally)?;
        if sent {
            // Those before the first are not missed by anyone.
            if pending.sent[camera] > 0 && skipped > 0 {
                self.health.count("frames skipped", skipped);
            }
            pending.no_signal[camera].frame_was_sent(&jpeg);
            pending.sent[camera] = jpeg.seq;
            pending.turn = camera + 1;
        }
        Ok(sent)
    }

    /// The newest frame of the next camera in turn that has one to be sent.
    fn next_frame(&mut self, pending: &Pending) -> Option<(usize, Arc<Jpeg>)> {
        let newest = self.newest.borrow_and_update();
        let cameras = newest.len();
        (0..cameras).map(|step| (pending.turn + step) % cameras).find_map(|camera| {
            let jpeg = newest[camera].as_ref()?;
            let fresh = jpeg.seq > pending.sent[camera] && pending.takes[camera];
            fresh.then(|| (camera, Arc::clone(jpeg)))
        })
    }

    /// A camera that is down, of which this link's receiver is to be told by a picture now.
    fn next_down(&self, pending: &Pending) -> Option<usize> {
        if self.outlet.format == Format::Watchpost {
            return None;
        }
        let (status, newest) = (self.status.borrow(), self.newest.borrow());
        // While there is a frame, the camera is back, and the status does not know yet.
        let is_down = |camera: usize| pending.takes[camera] && newest[camera].is_none();
        (0..self.cameras.len())
            .find(|camera| is_down(*camera) && pending.no_signal[*camera].is_due(&status.cameras[*camera]))
    }

    fn send_no_signal(&self, link: &mut Link, camera: usize, pending: &mut Pending) -> Result<bool> {
        let status = Arc::clone(&self.status.borrow());
        let (status, no_signal) = (&status.cameras[camera], &mut pending.no_signal[camera]);
        let Ok(jpeg) = no_signal.jpeg(status) else {
            self.health.count("pictures that could not be drawn", 1);
            no_signal.was_sent();
            return Ok(true);
        };
        let message = Message::frame(&self.agent, &status.name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message.of_no_signal(&status.cause), &mut pending.tally)?;
        if sent {
            pending.no_signal[camera].was_sent();
        }
        Ok(sent)
    }

    /// True when the message is off, or when the link's format cannot carry it and it need not be tried again.
    fn send(&self, link: &mut Link, message: &Message, tally: &mut Tally) -> Result<bool> {
        let Some(parts) = encode(self.outlet.format, message) else { return Ok(true) };
        if parts.iter().any(|part| part.len() > LARGEST_PART) {
            self.health.count("too large to send", 1);
            return Ok(true);
        }
        let sent = link.try_send(&parts)?;
        if sent {
            tally.add(message);
            match message {
                Message::Frame(header, _) if header.no_signal.is_some() => {
                    self.health.count("no-signal pictures sent", 1);
                }
                Message::Frame(..) => self.health.count("frames sent", 1),
                Message::Readings(all) => self.health.count("readings sent", all.count()),
                Message::Status(_) => {}
            }
        }
        Ok(sent)
    }

    /// Tells the cameras whose frames the other side takes now.
    fn demand(&self, pending: &mut Pending) {
        for (camera, control) in self.controls.iter().enumerate() {
            let takes = self.takes(&self.cameras[camera].name, pending);
            if std::mem::replace(&mut pending.takes[camera], takes) != takes {
                control.take(self.number, takes);
                pending.no_signal[camera].begin();
            }
        }
    }

    fn takes(&self, camera: &Name, pending: &Pending) -> bool {
        if !self.outlet.cameras.contains(camera) {
            return false;
        }
        match (self.outlet.pattern, self.outlet.format) {
            (OutPattern::Pair, _) => pending.connected,
            (OutPattern::Pub, Format::Watchpost) => {
                let topic = frame_topic(&self.agent, camera);
                pending.topics.len() == MOST_TOPICS
                    || pending.topics.iter().any(|begin| topic.as_bytes().starts_with(begin))
            }
            // Nobody can ask for a camera where no topic names it.
            (OutPattern::Pub, _) => !pending.topics.is_empty(),
        }
    }

    /// Reports whether the other side is there.
    fn judge(&self, writable: bool, trouble: Option<&str>, pending: &mut Pending) {
        if self.outlet.pattern == OutPattern::Pub {
            match trouble {
                Some(trouble) => self.health.down(trouble),
                None => self.health.up(if writable { "publishing" } else { "open, nobody subscribes" }),
            }
        } else if writable {
            pending.waiting = None;
            pending.connected = true;
            self.health.up("connected");
        } else if pending.waiting.get_or_insert_with(Instant::now).elapsed() > DEAF {
            pending.connected = false;
            self.health.down(trouble.unwrap_or("nobody there who takes anything"));
        }
    }
}

fn pattern(pattern: OutPattern) -> Pattern {
    match pattern {
        OutPattern::Pair => Pattern::Pair,
        OutPattern::Pub => Pattern::Pub,
    }
}
