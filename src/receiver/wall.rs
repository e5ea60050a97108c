//! The newest frame of every camera and the newest reading of every quantity, of all agents.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{info, warn};

use super::port::Port;
use crate::clock::Stamp;
use crate::name::Name;
use crate::wire::{Batch, FrameHeader, Message, Reading, Status};

/// Limits on what the network can put into memory; agents, and an agent's cameras, ports and quantities, beyond these are
/// ignored.
const MAX_AGENTS: usize = 64;
const MAX_CAMERAS: usize = 64;
const MAX_PORTS: usize = 64;
const MAX_QUANTITIES: usize = 1024;

/// An agent silent for this long has ended; another one may use its name.
const CONTEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An agent silent for this long was renamed or removed, and is forgotten.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Rate limit of the log lines about duplicate names and too many agents.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The current state of all agents.
#[derive(Debug, Default)]
pub struct Wall {
    /// By name.
    pub agents: BTreeMap<Name, Agent>,
    /// Grows with each change, except when only frames changed.
    pub edition: u64,
    /// When the limit of agents was last logged.
    limit_logged: Option<Instant>,
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// Identifies the agent's latest start; `None` while only formats without it arrived.
    pub boot: Option<Name>,
    /// The wall's edition since its last change.
    pub edition: u64,
    boot_before: Option<Name>,
    contested: Option<Instant>,
    /// When its last message arrived.
    pub last_heard: Instant,
    /// Cameras that sent frames.
    pub cameras: BTreeMap<Name, Camera>,
    /// By port and quantity.
    pub readings: BTreeMap<(Name, Arc<str>), Current>,
    /// Its last status, and when it arrived.
    pub status: Option<(Status, Instant)>,
    /// The recent past of each serial port, from its statuses.
    pub ports: BTreeMap<Name, Port>,
}

/// One camera's newest frame.
#[derive(Debug)]
pub struct Camera {
    /// Number of frames received.
    pub number: u64,
    /// Their total size.
    pub bytes: u64,
    /// The newest frame.
    pub newest: Arc<LiveFrame>,
    rate: Rate,
}

/// A received frame.
#[derive(Debug)]
pub struct LiveFrame {
    /// Its header.
    pub header: FrameHeader,
    /// A JPEG file.
    pub jpeg: Bytes,
    /// When it arrived.
    pub received: Instant,
    /// When it was captured, microseconds since 1970 by this machine's clock, with the accuracy of [`LiveFrame::age`].
    pub captured_at_us: i64,
}

impl LiveFrame {
    fn now(header: FrameHeader, jpeg: Bytes) -> LiveFrame {
        let captured_at_us = Stamp::now().unix_us().saturating_sub_unsigned(header.age_us);
        LiveFrame { header, jpeg, received: Instant::now(), captured_at_us }
    }

    /// Time since its capture: its age when sent, by the agent's clock, and the time since it arrived here. The time on the
    /// network is not included, because the two clocks need not agree.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_micros(self.header.age_us) + self.received.elapsed()
    }
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
    /// Frames received in the last full second.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.rate.per_second()
    }
}

impl Wall {
    /// Removes agents that have been silent for long; returns whether there were any.
    pub fn forget_silent(&mut self) -> bool {
        let before = self.agents.len();
        self.agents.retain(|_, agent| agent.last_heard.elapsed() < FORGET_AFTER);
        let is_fewer = self.agents.len() < before;
        self.edition += u64::from(is_fewer);
        is_fewer
    }

    /// Applies a message; returns its frame if it is new.
    pub fn apply(&mut self, message: Message) -> Option<Arc<LiveFrame>> {
        let known = self.agents.contains_key(message.agent());
        // Backlog is not current and may be from an earlier boot.
        let is_backlog = matches!(&message, Message::Readings(readings) if readings.backlog);
        if is_backlog {
            return None;
        }
        if !known && self.agents.len() == MAX_AGENTS {
            if self.limit_logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                self.limit_logged = Some(Instant::now());
                warn!("agent {} ignored: limit of {MAX_AGENTS} agents reached", message.agent());
            }
            return None;
        }
        let agent = self.agents.entry(message.agent().clone()).or_insert_with(Agent::new);
        if !agent.accepts(message.agent(), message.boot()) {
            return None;
        }
        agent.last_heard = Instant::now();
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
                // Readings the agent no longer lists came from a garbled label or a removed port.
                let listed: HashSet<_> = readings.iter().map(|reading| (&reading.port, &reading.quantity)).collect();
                agent.readings.retain(|(port, quantity), _| listed.contains(&(port, quantity)));
                agent.update_readings(readings);
                // Cameras may be gone, too. Cameras of formats without names are named by this receiver, so they are kept.
                agent.cameras.retain(|name, camera| {
                    camera.newest.header.boot.is_none() || status.cameras.iter().any(|part| part.name == *name)
                });
                agent.update_status(status);
                true
            }
        };
        if changed || !known {
            self.edition += 1;
            agent.edition = self.edition;
        }
        taken
    }
}

impl Agent {
    fn new() -> Agent {
        Agent {
            boot: None,
            edition: 0,
            boot_before: None,
            contested: None,
            last_heard: Instant::now(),
            cameras: BTreeMap::new(),
            readings: BTreeMap::new(),
            status: None,
            ports: BTreeMap::new(),
        }
    }

    /// Whether to accept a message of this boot. A new boot resets the agent: its numbers start over, and parts that it no
    /// longer has must not stay. If the previous boot returns while the new one still sends, two agents share the name.
    fn accepts(&mut self, name: &Name, boot: Option<&Name>) -> bool {
        if boot.is_none() || self.boot.as_ref() == boot {
            return true;
        }
        if self.boot.is_none() {
            self.boot = boot.cloned();
            info!("agent {name} connected");
            return true;
        }
        if self.boot_before.as_ref() == boot && self.last_heard.elapsed() < CONTEST_TIMEOUT {
            if self.contested.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                self.contested = Some(Instant::now());
                warn!("two agents are named {name}; ignoring the one that started first");
            }
            return false;
        }
        info!("agent {name} restarted");
        let boot_before = std::mem::replace(self, Agent::new()).boot;
        (self.boot, self.boot_before) = (boot.cloned(), boot_before);
        true
    }

    /// Stores the frame; returns it if it is new.
    fn show(&mut self, header: FrameHeader, jpeg: Bytes) -> Option<Arc<LiveFrame>> {
        let name = header.camera.clone();
        let frame = Arc::new(LiveFrame::now(header, jpeg));
        let bytes = frame.jpeg.len() as u64;
        if let Some(camera) = self.cameras.get_mut(&name) {
            let known = &camera.newest.header;
            // The frame already arrived over another link, or after a newer one.
            let numbered = frame.header.boot.is_some() && frame.header.no_signal.is_none();
            if numbered && frame.header.boot == known.boot && frame.header.seq <= known.seq {
                return None;
            }
            camera.number += 1;
            camera.bytes += bytes;
            camera.rate.count();
            camera.newest = Arc::clone(&frame);
            return Some(frame);
        }
        if self.cameras.len() == MAX_CAMERAS {
            return None;
        }
        self.cameras.insert(name, Camera { number: 1, bytes, newest: Arc::clone(&frame), rate: Rate::default() });
        Some(frame)
    }

    fn update_status(&mut self, status: Status) {
        let now = Instant::now();
        self.ports.retain(|name, _| status.ports.iter().any(|part| part.name == *name));
        for part in &status.ports {
            if self.ports.len() < MAX_PORTS || self.ports.contains_key(&part.name) {
                self.ports.entry(part.name.clone()).or_default().update(part, now);
            }
        }
        self.status = Some((status, now));
    }

    /// Stores newer readings; returns whether there were any.
    fn update_readings(&mut self, readings: impl IntoIterator<Item = Reading>) -> bool {
        let mut changed = false;
        for reading in readings {
            let key = (reading.port.clone(), reading.quantity.clone());
            let newer = match self.readings.get(&key) {
                Some(current) => reading.seq > current.reading.seq,
                None => self.readings.len() < MAX_QUANTITIES,
            };
            if newer {
                self.readings.insert(key, Current { reading, received: Instant::now() });
                changed = true;
            }
        }
        changed
    }
}

/// Frames per second, counted over full seconds.
#[derive(Debug)]
struct Rate {
    since: Instant,
    count: u32,
    last: f64,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { since: Instant::now(), count: 0, last: 0.0 }
    }
}

impl Rate {
    fn count(&mut self) {
        self.count += 1;
        let elapsed = self.since.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            *self = Rate { since: Instant::now(), count: 0, last: f64::from(self.count) / elapsed };
        }
    }

    fn per_second(&self) -> f64 {
        if self.since.elapsed() < Duration::from_secs(3) { self.last } else { 0.0 }
    }
}
