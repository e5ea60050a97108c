//! The newest frame of every camera and the newest reading of every quantity, of all agents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{info, warn};

use super::port::Port;
use crate::clock::Stamp;
use crate::name::Name;
use crate::wire::{Batch, FrameHeader, Message, Reading, Status};

/// What comes from a network must not fill memory: more agents, more cameras, ports or quantities of one than these
/// are left out.
const MOST_AGENTS: usize = 64;
const MOST_CAMERAS: usize = 64;
const MOST_PORTS: usize = 64;
const MOST_QUANTITIES: usize = 1024;

/// An agent that was not heard for so long has ended, and another may have its name.
const CONTESTED: Duration = Duration::from_secs(5);

/// One that was not heard for so long has another name by now, or is no more.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// Two agents of one name, and too many of them, are logged this often at most.
const LOG: Duration = Duration::from_mins(1);

/// What the receiver knows now.
#[derive(Debug, Default)]
pub struct Wall {
    /// By name.
    pub agents: BTreeMap<Name, Agent>,
    /// Grows with each change but those of frames alone.
    pub edition: u64,
    /// When it was said that there are too many agents.
    crowded: Option<Instant>,
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// Its latest start; none while only formats were heard that do not say.
    pub boot: Option<Name>,
    boot_before: Option<Name>,
    contested: Option<Instant>,
    /// When its last message came.
    pub heard: Instant,
    /// Cameras that frames came from.
    pub cameras: BTreeMap<Name, Camera>,
    /// By port and quantity.
    pub readings: BTreeMap<(Name, Arc<str>), Current>,
    /// Its last status, and when it came.
    pub status: Option<(Status, Instant)>,
    /// What its statuses told of each serial port over time.
    pub ports: BTreeMap<Name, Port>,
}

/// One camera's newest frame.
#[derive(Debug)]
pub struct Camera {
    /// Counts the frames that came.
    pub number: u64,
    /// How long they were together.
    pub bytes: u64,
    /// The newest.
    pub shown: Arc<Shown>,
    rate: Rate,
}

/// A frame as it came.
#[derive(Debug)]
pub struct Shown {
    /// What was said of it.
    pub header: FrameHeader,
    /// A JPEG file.
    pub jpeg: Bytes,
    /// When it came.
    pub received: Instant,
    /// When it was captured, microseconds since 1970 by this machine's clock, as far as [`Shown::age`] is known.
    pub captured_at_us: i64,
}

impl Shown {
    fn now(header: FrameHeader, jpeg: Bytes) -> Shown {
        let captured_at_us = Stamp::now().unix_us().saturating_sub_unsigned(header.age_us);
        Shown { header, jpeg, received: Instant::now(), captured_at_us }
    }

    /// How long ago it was captured: what it took to be sent, by the agent's clock, and what passed here since. The
    /// way between is not in it, because the two clocks need not agree.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_micros(self.header.age_us) + self.received.elapsed()
    }
}

/// The newest reading of one quantity of one port.
#[derive(Debug)]
pub struct Current {
    /// As it came.
    pub reading: Reading,
    /// When it came.
    pub received: Instant,
}

impl Current {
    /// As [`Shown::age`].
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.reading.age_ms) + self.received.elapsed()
    }

    /// It is no longer a current value.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age() > Duration::from_millis(self.reading.stale_after_ms)
    }
}

impl Camera {
    /// Frames that came in the last full second.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.rate.per_second()
    }
}

impl Wall {
    /// Forgets agents that have long been silent; true when there was one.
    pub fn forget(&mut self) -> bool {
        let before = self.agents.len();
        self.agents.retain(|_, agent| agent.heard.elapsed() < FORGOTTEN);
        let is_fewer = self.agents.len() < before;
        self.edition += u64::from(is_fewer);
        is_fewer
    }

    /// Takes in a message; gives its frame, if it is a new one.
    pub fn apply(&mut self, message: Message) -> Option<Arc<Shown>> {
        let known = self.agents.contains_key(message.agent());
        // What had to wait is nothing of now, and of a boot that may be long past.
        let is_past = matches!(&message, Message::Readings(readings) if readings.backlog);
        if is_past {
            return None;
        }
        if !known && self.agents.len() == MOST_AGENTS {
            if self.crowded.is_none_or(|at| at.elapsed() > LOG) {
                self.crowded = Some(Instant::now());
                warn!("agent {} is left out: {MOST_AGENTS} are known, and there is room for no more", message.agent());
            }
            return None;
        }
        let agent = self.agents.entry(message.agent().clone()).or_insert_with(Agent::new);
        if !agent.is_of(message.agent(), message.boot()) {
            return None;
        }
        agent.heard = Instant::now();
        let mut taken = None;
        let changed = match message {
            Message::Frame(mut header, jpeg) => {
                let readings = std::mem::take(&mut header.readings);
                // Where there is a status it tells more, and the last frame stays what is shown of the camera.
                let is_known = header.no_signal.is_some() && agent.status.is_some();
                let cameras = agent.cameras.len();
                if !is_known {
                    taken = agent.show(header, jpeg);
                }
                (agent.cameras.len() > cameras) | agent.read(readings)
            }
            Message::Readings(readings) => agent.read(readings.batches.into_iter().flat_map(Batch::readings)),
            Message::Status(mut status) => {
                let readings = std::mem::take(&mut status.readings);
                // What the agent no longer knows was a garbled label, or is of a port that it no longer has.
                agent.readings.retain(|(port, quantity), _| {
                    readings.iter().any(|reading| reading.port == *port && reading.quantity == *quantity)
                });
                agent.read(readings);
                // A camera may be gone, too; what came in a format without names has its name from here.
                agent.cameras.retain(|name, camera| {
                    camera.shown.header.boot.is_none() || status.cameras.iter().any(|part| part.name == *name)
                });
                agent.note(status);
                true
            }
        };
        self.edition += u64::from(changed || !known);
        taken
    }
}

impl Agent {
    fn new() -> Agent {
        Agent {
            boot: None,
            boot_before: None,
            contested: None,
            heard: Instant::now(),
            cameras: BTreeMap::new(),
            readings: BTreeMap::new(),
            status: None,
            ports: BTreeMap::new(),
        }
    }

    /// Whether a message of this boot is to be taken. A new boot starts the agent anew: its numbers begin again, and
    /// what it no longer has must not stay. A boot that comes back while the other one still speaks is a second agent
    /// of the same name.
    fn is_of(&mut self, name: &Name, boot: Option<&Name>) -> bool {
        if boot.is_none() || self.boot.as_ref() == boot {
            return true;
        }
        if self.boot.is_none() {
            self.boot = boot.cloned();
            info!("agent {name} is heard");
            return true;
        }
        if self.boot_before.as_ref() == boot && self.heard.elapsed() < CONTESTED {
            if self.contested.is_none_or(|at| at.elapsed() > LOG) {
                self.contested = Some(Instant::now());
                warn!("two agents are named {name}; the one that started first is not shown");
            }
            return false;
        }
        info!("agent {name} was started anew");
        let boot_before = std::mem::replace(self, Agent::new()).boot;
        (self.boot, self.boot_before) = (boot.cloned(), boot_before);
        true
    }

    /// Gives the frame, if it is new.
    fn show(&mut self, header: FrameHeader, jpeg: Bytes) -> Option<Arc<Shown>> {
        let name = header.camera.clone();
        let shown = Arc::new(Shown::now(header, jpeg));
        let bytes = shown.jpeg.len() as u64;
        if let Some(camera) = self.cameras.get_mut(&name) {
            let known = &camera.shown.header;
            // Over another link already, or later than a newer one.
            let numbered = shown.header.boot.is_some() && shown.header.no_signal.is_none();
            if numbered && shown.header.boot == known.boot && shown.header.seq <= known.seq {
                return None;
            }
            camera.number += 1;
            camera.bytes += bytes;
            camera.rate.count();
            camera.shown = Arc::clone(&shown);
            return Some(shown);
        }
        if self.cameras.len() == MOST_CAMERAS {
            return None;
        }
        self.cameras.insert(name, Camera { number: 1, bytes, shown: Arc::clone(&shown), rate: Rate::default() });
        Some(shown)
    }

    fn note(&mut self, status: Status) {
        let now = Instant::now();
        self.ports.retain(|name, _| status.ports.iter().any(|part| part.name == *name));
        for part in &status.ports {
            if self.ports.len() < MOST_PORTS || self.ports.contains_key(&part.name) {
                self.ports.entry(part.name.clone()).or_default().note(part, now);
            }
        }
        self.status = Some((status, now));
    }

    /// True when one is newer than what was known.
    fn read(&mut self, readings: impl IntoIterator<Item = Reading>) -> bool {
        let mut changed = false;
        for reading in readings {
            let key = (reading.port.clone(), reading.quantity.clone());
            let newer = match self.readings.get(&key) {
                Some(current) => reading.seq > current.reading.seq,
                None => self.readings.len() < MOST_QUANTITIES,
            };
            if newer {
                self.readings.insert(key, Current { reading, received: Instant::now() });
                changed = true;
            }
        }
        changed
    }
}

/// Counts by full seconds.
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
