//! The state of an agent's parts, as a message carries it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Reading, is_false, is_zero};
use crate::config::{Fps, Quality};
use crate::host::HostStatus;
use crate::name::Name;

/// The state of an agent's parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`](super::VERSION).
    pub v: u32,
    /// The agent.
    pub agent: Name,
    /// As in [`FrameHeader`](super::FrameHeader).
    pub boot: Name,
    /// Its cameras, in the order of its configuration.
    pub cameras: Vec<PartStatus>,
    /// Its serial ports, in the same order.
    pub ports: Vec<PartStatus>,
    /// Its links, in the same order.
    pub links: Vec<PartStatus>,
    /// Its spool, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<PartStatus>,
    /// The machine that it runs on. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Box<HostStatus>>,
    /// The newest reading of every quantity, as in [`FrameHeader`](super::FrameHeader), for receivers that join late or
    /// get no frames.
    pub readings: Vec<Reading>,
    /// As in [`FrameHeader`](super::FrameHeader).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readings_left_out: u64,
    /// The counts of all parts were left out, because the header would be too long.
    #[serde(default, skip_serializing_if = "is_false")]
    pub counts_left_out: bool,
}

/// The state of a camera, port, link or spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartStatus {
    /// Its name; for a link, its address.
    pub name: Name,
    /// The device, stream or address behind it.
    pub source: String,
    /// Whether it works.
    pub up: bool,
    /// If it is up, details such as a camera's size and format. If it is down, the reason.
    pub cause: String,
    /// Milliseconds since it went up or down, by the agent's monotonic clock.
    pub for_ms: u64,
    /// Counters since the agent's start: frames, readings, drops and refusals, by cause.
    pub counts: BTreeMap<Cow<'static, str>, u64>,
    /// A camera's settings, which a receiver can change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// Settings of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether it captures.
    pub on: bool,
    /// Maximum frames a second to send.
    pub fps: Fps,
    /// JPEG quality of frames that the agent encodes.
    pub quality: Quality,
}

impl Status {
    /// The first name that two parts of one kind share, with the kind. Names identify parts, so nothing could tell these
    /// apart.
    pub(super) fn repeated_part(&self) -> Option<(&'static str, &Name)> {
        let kinds = [("camera", &self.cameras), ("port", &self.ports), ("link", &self.links)];
        kinds.into_iter().find_map(|(kind, parts)| {
            let mut names = BTreeSet::new();
            parts.iter().map(|part| &part.name).find(|name| !names.insert(*name)).map(|name| (kind, name))
        })
    }

    /// All parts.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut PartStatus> {
        let parts = self.cameras.iter_mut().chain(&mut self.ports).chain(&mut self.links);
        parts.chain(self.spool.as_mut())
    }
}
