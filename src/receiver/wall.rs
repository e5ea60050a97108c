//! The newest frame of every camera and the newest reading of every quantity, of all agents.

mod memory;
mod presence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::info;

use super::budget::{Pool, Share};
use super::frame_rate::FrameRate;
use super::live_frame::LiveFrame;
use super::log_throttle::LogThrottle;
use super::port::Port;
use super::quotas::{Quota, Quotas};
use crate::config::{MAX_CAMERAS, MAX_PORTS};
use crate::name::Name;
use crate::wire::{Batch, FrameHeader, MAX_QUANTITIES, Message, Reading, Status};
use presence::Presence;
pub use presence::Remembered;

/// An agent silent for this long makes room for another one. Agents send a status every second.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The current state of all agents.
#[derive(Debug)]
pub struct Wall {
    /// By name.
    pub agents: BTreeMap<Name, Agent>,
    /// Grows with each change, except when only frames changed.
    pub edition: u64,
    max_agents: usize,
    /// While no agent may be forgotten: when the first of them can have been silent for long enough to make room.
    full_until: Option<Instant>,
    quotas: Quotas,
    /// The memory of readings and statuses.
    texts: Pool,
    refusals: LogThrottle,
    /// Agents that made room for others.
    forgotten: LogThrottle,
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// Identifies the agent's latest start; `None` while only formats without it arrived.
    pub boot: Option<Name>,
    /// The wall's edition since its last change.
    pub edition: u64,
    /// When its last message arrived.
    pub last_heard: Instant,
    presence: Presence,
    /// Cameras that sent frames.
    pub cameras: BTreeMap<Name, Camera>,
    /// By port and quantity.
    pub readings: BTreeMap<(Name, Arc<str>), Current>,
    /// Its last status, and when it arrived.
    pub status: Option<(Status, Instant)>,
    /// The recent past of each serial port, from its statuses.
    pub ports: BTreeMap<Name, Port>,
    /// A limit that its last message exceeded, and its parts that the limit is for.
    refused: Option<(usize, &'static str)>,
    /// The memory of its readings and its status.
    memory: Option<Share>,
}

/// One camera's newest frame.
#[derive(Debug)]
pub struct Camera {
    /// Number of frames received.
    pub number: u64,
    /// Their total size.
    pub bytes: u64,
    /// The newest frame; `None` if it was removed because memory ran short.
    pub newest: Option<Arc<LiveFrame>>,
    /// When the newest frame arrived or was removed.
    pub changed: Instant,
    /// Boot and number of the newest frame.
    last: (Option<Name>, u64),
    rate: FrameRate,
}

/// The newest reading of one quantity of one port.
#[derive(Debug)]
pub struct Current {
    /// The reading as received.
    pub reading: Reading,
    /// When it arrived.
    pub received: Instant,
}

impl Current {
    /// Time since its measurement; see [`LiveFrame::age`].
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.reading.age_ms) + self.received.elapsed()
    }

    /// Whether it is too old to be shown as current.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age() > Duration::from_millis(self.reading.stale_after_ms)
    }
}

impl Camera {
    fn new() -> Camera {
        let (number, bytes, newest, changed) = (0, 0, None, Instant::now());
        Camera { number, bytes, newest, changed, last: (None, 0), rate: FrameRate::default() }
    }

    /// Puts a frame in place of the newest one; returns whether it is newer.
    fn show(&mut self, frame: &Arc<LiveFrame>) -> bool {
        let header = &frame.header;
        // The frame already arrived over another link, or after a newer one.
        let is_numbered = header.boot.is_some() && header.no_signal.is_none();
        if is_numbered && self.last.0 == header.boot && header.seq <= self.last.1 {
            return false;
        }
        self.number += 1;
        self.bytes += frame.jpeg.len() as u64;
        self.rate.count();
        self.last = (header.boot.clone(), header.seq);
        (self.newest, self.changed) = (Some(Arc::clone(frame)), frame.received);
        true
    }

    /// Frames received in the last full second.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.rate.per_second()
    }
}

impl Wall {
    /// A wall for this many agents, with memory for their readings and statuses.
    #[must_use]
    pub fn new(max_agents: usize, texts: Pool, quotas: Quotas) -> Wall {
        let (agents, edition, full_until) = (BTreeMap::new(), 0, None);
        let (refusals, forgotten) = (LogThrottle::default(), LogThrottle::default());
        let wall = Wall { agents, edition, max_agents, full_until, quotas, texts, refusals, forgotten };
        wall.report_agents();
        wall
    }

    fn report_agents(&self) {
        self.quotas.set(Quota::Agents, self.agents.len() as u64, self.max_agents as u64);
    }

    /// Makes room for another agent when all places are taken: forgets the first agent [in this order](Agent::rank), but
    /// only if it is silent. While agents that are not established take places, established ones keep theirs: otherwise a
    /// peer that keeps changing its name could use up all places faster than its own names become silent.
    fn make_room(&mut self) -> bool {
        if self.agents.len() < self.max_agents {
            return true;
        }
        let now = Instant::now();
        if self.full_until.is_some_and(|until| now < until) {
            return false;
        }
        let first = self.agents.iter().min_by_key(|(_, agent)| agent.rank());
        let Some((name, since)) = first.map(|(name, agent)| (name.clone(), agent.last_heard)) else { return false };
        self.full_until = Some(since + SILENT_AFTER).filter(|until| now < *until);
        if self.full_until.is_none() {
            self.forget_for_another(&name);
        }
        self.full_until.is_none()
    }

    fn forget_for_another(&mut self, name: &Name) {
        let forgotten = self.agents.remove(name);
        if forgotten.is_some_and(|agent| agent.is_known()) {
            self.quotas.refuse(Quota::Agents, 1, name);
        }
        self.forgotten
            .log(&format_args!("agent {name}"), &"forgotten: it is silent, and another agent needs its place");
    }

    /// Applies a message; returns its frame if it is new.
    pub fn apply(&mut self, message: Message) -> Option<Arc<LiveFrame>> {
        let name = message.agent().clone();
        let known = self.agents.contains_key(&name);
        // Backlog is not current and may be from an earlier boot.
        let is_backlog = matches!(&message, Message::Readings(readings) if readings.backlog);
        if is_backlog {
            return None;
        }
        if !known && !self.make_room() {
            self.quotas.refuse(Quota::Agents, 1, &name);
            let message = format_args!("ignored: the limit of {} agents is reached", self.max_agents);
            self.refusals.log(&format_args!("agent {name}"), &message);
            return None;
        }
        let agent = self.agents.entry(name.clone()).or_insert_with(Agent::new);
        agent.note_start(&name, message.boot());
        agent.hear(&name);
        let (is_status, readings) = (matches!(message, Message::Status(_)), agent.readings.len());
        let mut taken = None;
        let changed = match message {
            Message::Frame(mut header, jpeg) => {
                let readings = std::mem::take(&mut header.readings);
                // A status says more than a placeholder, and the last frame stays on the wall.
                let is_redundant = header.no_signal.is_some() && agent.status.is_some();
                let cameras = agent.cameras.len();
                if !is_redundant {
                    taken = agent.show(header, jpeg);
                }
                (agent.cameras.len() > cameras) | agent.update_readings(readings)
            }
            Message::Readings(readings) => {
                agent.update_readings(readings.batches.into_iter().flat_map(Batch::readings))
            }
            Message::Status(mut status) => {
                let readings = std::mem::take(&mut status.readings);
                agent.forget_unlisted(&readings, status.readings_left_out > 0);
                agent.update_readings(readings);
                // Cameras may be gone, too. Cameras of formats without names are named by this receiver, so they are kept.
                agent.cameras.retain(|name, camera| {
                    camera.last.0.is_none() || status.cameras.iter().any(|part| part.name == *name)
                });
                agent.update_status(status);
                true
            }
        };
        if changed || !known {
            self.edition += 1;
            agent.edition = self.edition;
        }
        if let Some((limit, parts)) = agent.refused.take() {
            self.quotas.set(Quota::AgentParts, limit as u64, limit as u64);
            self.quotas.refuse(Quota::AgentParts, 1, &format!("{name}: {parts}"));
            let message = format_args!("more than {limit} {parts}; the others are not shown");
            self.refusals.log(&format_args!("agent {name}"), &message);
        }
        if is_status || agent.readings.len() != readings {
            self.account_texts(&name);
        }
        if !known {
            self.report_agents();
        }
        taken
    }
}

impl Agent {
    fn new() -> Agent {
        Agent {
            boot: None,
            edition: 0,
            last_heard: Instant::now(),
            presence: Presence::new(),
            cameras: BTreeMap::new(),
            readings: BTreeMap::new(),
            status: None,
            ports: BTreeMap::new(),
            refused: None,
            memory: None,
        }
    }

    /// Records the boot of a message. A new boot resets the agent: its numbers start over, and parts that it no longer has
    /// must not stay.
    fn note_start(&mut self, name: &Name, boot: Option<&Name>) {
        if boot.is_none() || self.boot.as_ref() == boot {
            return;
        }
        if self.boot.is_none() {
            info!("agent {name} connected");
        } else {
            info!("agent {name} restarted");
            let presence = std::mem::replace(&mut self.presence, Presence::new());
            *self = Agent { presence, ..Agent::new() };
        }
        self.boot = boot.cloned();
    }

    /// Stores the frame; returns it if it is new.
    fn show(&mut self, header: FrameHeader, jpeg: Bytes) -> Option<Arc<LiveFrame>> {
        let is_known = self.cameras.contains_key(&header.camera);
        if !is_known && self.cameras.len() == MAX_CAMERAS {
            self.refused = Some((MAX_CAMERAS, "cameras"));
            return None;
        }
        let camera = self.cameras.entry(header.camera.clone()).or_insert_with(Camera::new);
        let frame = Arc::new(LiveFrame::now(header, jpeg));
        camera.show(&frame).then_some(frame)
    }

    fn update_status(&mut self, status: Status) {
        let now = Instant::now();
        self.ports.retain(|name, _| status.ports.iter().any(|part| part.name == *name));
        for part in &status.ports {
            if self.ports.len() < MAX_PORTS || self.ports.contains_key(&part.name) {
                self.ports.entry(part.name.clone()).or_default().update(part, now);
            } else {
                self.refused = Some((MAX_PORTS, "ports"));
            }
        }
        self.status = Some((status, now));
    }

    /// Removes the readings that a status does not list: they came from a garbled label or a removed port. If the
    /// status did not have room for all, removes only stale ones, and only if the wall has no room either.
    fn forget_unlisted(&mut self, listed: &[Reading], is_partial: bool) {
        let listed: BTreeSet<_> = listed.iter().map(|reading| (&*reading.port, &*reading.quantity)).collect();
        let is_full = self.readings.len() == MAX_QUANTITIES;
        self.readings.retain(|(port, quantity), current| {
            listed.contains(&(&**port, &**quantity)) || is_partial && !(is_full && current.is_stale())
        });
    }

    /// Stores newer readings; returns whether there were any.
    fn update_readings(&mut self, readings: impl IntoIterator<Item = Reading>) -> bool {
        let mut changed = false;
        for reading in readings {
            let key = (reading.port.clone(), reading.quantity.clone());
            let newer = match self.readings.get(&key) {
                Some(current) => reading.seq > current.reading.seq,
                None if self.readings.len() == MAX_QUANTITIES => {
                    self.refused = Some((MAX_QUANTITIES, "quantities"));
                    false
                }
                None => true,
            };
            if newer {
                self.readings.insert(key, Current { reading, received: Instant::now() });
                changed = true;
            }
        }
        changed
    }
}
