//! Encodes and decodes messages in every format. No sockets and no state.
//!
//! [`Message`] lists the three messages. The format watchpost sends parts: a topic (`frame/AGENT/CAMERA`,
//! `readings/AGENT`, `status/AGENT`), a JSON header, and the JPEG of a frame. The other formats carry what existing
//! programs can read.

mod control;
mod decode;
mod encode;
mod totals;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use control::{Control, Limit};
pub use decode::{Malformed, decode};
pub use encode::{encode, frame_topic};
pub use totals::Totals;

use crate::clock::{Stamp, WallClock};
use crate::config::{Fps, Quality};
use crate::host::HostStatus;
use crate::name::Name;
use crate::{frame, reading};

/// The version of the header, `v`. A receiver refuses others.
pub const VERSION: u32 = 1;

/// A message from an agent.
#[derive(Clone, Debug)]
pub enum Message {
    /// A picture, with the newest readings at the time of sending.
    Frame(FrameHeader, Bytes),
    /// Readings. Each is sent once.
    Readings(Readings),
    /// The state of the agent's parts.
    Status(Status),
}

/// The header of a frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameHeader {
    /// [`VERSION`].
    pub v: u32,
    /// The agent.
    pub agent: Name,
    /// The camera.
    pub camera: Name,
    /// Identifies the agent's start; sequence numbers count within it. `None` in formats that do not carry it.
    pub boot: Option<Name>,
    /// Number of the camera's frame. A gap is a dropped frame.
    pub seq: u64,
    /// Capture time, in microseconds since 1970 by the agent's clock.
    pub captured_at_us: i64,
    /// Microseconds from capture to sending, by the agent's monotonic clock.
    pub age_us: u64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Why the camera has no picture, if this is a placeholder. For formats without status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_signal: Option<String>,
    /// The newest reading of every quantity.
    pub readings: Vec<Reading>,
}

/// Readings as they were captured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Readings {
    /// [`VERSION`].
    pub v: u32,
    /// The agent.
    pub agent: Name,
    /// As in [`FrameHeader`], of the agent start in which they were captured.
    pub boot: Name,
    /// They waited in the spool, perhaps for months, and are not current values.
    #[serde(default, skip_serializing_if = "is_false")]
    pub backlog: bool,
    /// In the order of their `seq`.
    pub batches: Vec<Batch>,
}

/// The values of a port at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// As in [`Reading`], of the first value. The others have the following numbers.
    pub seq: u64,
    /// The serial port.
    pub port: Name,
    /// As in [`Reading`].
    pub captured_at_us: i64,
    /// Whether the agent's clock was synchronised at that time, or the time was corrected since.
    #[serde(default = "default_synchronised", skip_serializing_if = "is_true")]
    pub synchronised: bool,
    /// Milliseconds from capture to sending. Unknown for readings of an earlier boot of the machine while its clock is not
    /// synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Age from which they are stale.
    pub stale_after_ms: u64,
    /// They were stale when they were sent.
    pub stale: bool,
    /// At least one.
    pub values: Vec<Value>,
}

/// The value of a quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The measured quantity.
    #[serde(deserialize_with = "decode::short")]
    pub quantity: Arc<str>,
    /// In `unit`.
    pub value: f64,
    /// Empty for raw counts.
    #[serde(deserialize_with = "decode::short")]
    pub unit: Arc<str>,
}

/// The newest reading of a quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Number of the agent's reading, from 1 within an agent start, without gaps.
    pub seq: u64,
    /// The serial port it came from.
    pub port: Name,
    /// The measured quantity.
    #[serde(deserialize_with = "decode::short")]
    pub quantity: Arc<str>,
    /// In `unit`.
    pub value: f64,
    /// Empty for raw counts.
    #[serde(deserialize_with = "decode::short")]
    pub unit: Arc<str>,
    /// When its line was complete, in microseconds since 1970 by the agent's clock.
    pub captured_at_us: i64,
    /// Milliseconds from capture to sending, by the agent's monotonic clock.
    pub age_ms: u64,
    /// Age from which it is stale.
    pub stale_after_ms: u64,
    /// It was stale when it was sent.
    pub stale: bool,
}

fn default_synchronised() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_true(truth: &bool) -> bool {
    *truth
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(truth: &bool) -> bool {
    !truth
}

impl Reading {
    fn at(now: Stamp, reading: &reading::Reading) -> Reading {
        let age = reading.captured.until(now);
        Reading {
            seq: reading.seq,
            port: reading.port.clone(),
            quantity: reading.quantity.name.clone(),
            value: reading.value,
            unit: reading.quantity.unit.clone(),
            captured_at_us: reading.captured.unix_us(),
            age_ms: age.as_millis() as u64,
            stale_after_ms: reading.stale_after.as_millis() as u64,
            stale: age > reading.stale_after,
        }
    }

    fn all(current: &[reading::Reading]) -> Vec<Reading> {
        let now = Stamp::now();
        current.iter().map(|reading| Reading::at(now, reading)).collect()
    }
}

impl Readings {
    /// Returns the number of readings.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.batches.iter().map(|batch| batch.values.len() as u64).sum()
    }
}

impl Batch {
    fn at(now: Stamp, clock: &WallClock, batch: &reading::Batch) -> Batch {
        let age = batch.captured.until(now);
        let date = clock.date(batch.captured, batch.synchronised);
        let values = batch.values.iter().map(|(quantity, value)| Value {
            quantity: quantity.name.clone(),
            value: *value,
            unit: quantity.unit.clone(),
        });
        Batch {
            seq: batch.seq,
            port: batch.port.clone(),
            captured_at_us: date.unix_us,
            synchronised: date.synchronised,
            age_ms: Some(age.as_millis() as u64),
            stale_after_ms: batch.stale_after.as_millis() as u64,
            stale: age > batch.stale_after,
            values: values.collect(),
        }
    }

    /// Returns each value as a reading.
    pub fn readings(self) -> impl Iterator<Item = Reading> {
        let Batch { seq, port, captured_at_us, age_ms, stale_after_ms, stale, values, .. } = self;
        // An unknown age counts as very old.
        let age_ms = age_ms.unwrap_or(u64::MAX);
        values.into_iter().enumerate().map(move |(place, Value { quantity, value, unit })| Reading {
            // From a network, so it can be any number.
            seq: seq.saturating_add(place as u64),
            port: port.clone(),
            quantity,
            value,
            unit,
            captured_at_us,
            age_ms,
            stale_after_ms,
            stale,
        })
    }
}

/// The state of an agent's parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`].
    pub v: u32,
    /// The agent.
    pub agent: Name,
    /// As in [`FrameHeader`].
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
    /// The newest reading of every quantity, as in [`FrameHeader`], for receivers that join late or get no frames.
    pub readings: Vec<Reading>,
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

impl Message {
    /// Returns the message for a frame, with its age now.
    #[must_use]
    pub fn frame(
        agent: &Name,
        camera: &Name,
        boot: &Name,
        jpeg: &frame::Jpeg,
        current: &[reading::Reading],
    ) -> Message {
        let header = FrameHeader {
            v: VERSION,
            agent: agent.clone(),
            camera: camera.clone(),
            boot: Some(boot.clone()),
            seq: jpeg.seq,
            captured_at_us: jpeg.captured.unix_us(),
            age_us: jpeg.captured.age().as_micros() as u64,
            width: jpeg.width,
            height: jpeg.height,
            no_signal: None,
            readings: Reading::all(current),
        };
        Message::Frame(header, jpeg.bytes.clone())
    }

    /// Marks a frame as a placeholder that shows why the camera has no picture.
    #[must_use]
    pub fn of_no_signal(mut self, cause: &str) -> Message {
        if let Message::Frame(header, _) = &mut self {
            header.no_signal = Some(cause.to_owned());
        }
        self
    }

    /// Returns the message for readings, with their ages now.
    #[must_use]
    pub fn readings(agent: &Name, boot: &Name, clock: &WallClock, batches: &[Arc<reading::Batch>]) -> Message {
        let now = Stamp::now();
        let batches = batches.iter().map(|batch| Batch::at(now, clock, batch)).collect();
        let (agent, boot) = (agent.clone(), boot.clone());
        Message::Readings(Readings { v: VERSION, agent, boot, backlog: false, batches })
    }

    /// Returns the message for readings of the spool.
    #[must_use]
    pub fn backlog(agent: &Name, boot: &Name, batches: Vec<Batch>) -> Message {
        let (agent, boot) = (agent.clone(), boot.clone());
        Message::Readings(Readings { v: VERSION, agent, boot, backlog: true, batches })
    }

    /// Returns the message for a status, with the newest readings.
    #[must_use]
    pub fn status(status: &Status, current: &[reading::Reading]) -> Message {
        Message::Status(Status { readings: Reading::all(current), ..status.clone() })
    }

    /// Returns the agent's start, if the format carries it.
    #[must_use]
    pub fn boot(&self) -> Option<&Name> {
        match self {
            Message::Frame(header, _) => header.boot.as_ref(),
            Message::Readings(readings) => Some(&readings.boot),
            Message::Status(status) => Some(&status.boot),
        }
    }

    /// Returns the sending agent.
    #[must_use]
    pub fn agent(&self) -> &Name {
        match self {
            Message::Frame(header, _) => &header.agent,
            Message::Readings(readings) => &readings.agent,
            Message::Status(status) => &status.agent,
        }
    }

    /// Returns the header with its `type`, as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        String::from_utf8(encode::header(self)).expect("JSON is UTF-8")
    }
}

/// A header with its `type`, borrowed for writing.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum HeaderRef<'a> {
    Frame(&'a FrameHeader),
    Readings(&'a Readings),
    Status(&'a Status),
}
