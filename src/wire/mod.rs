//! Messages to bytes and back, in every format. No sockets and no state.
//!
//! A message is one of [`Message`]'s three. The format watchpost sends it as parts: a topic (`frame/AGENT/CAMERA`,
//! `readings/AGENT`, `status/AGENT`), a JSON header that says everything, and for a frame the JPEG. The other formats
//! are for programs that exist already and carry what those programs can read.

mod control;
mod decode;
mod encode;
mod totals;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use control::Control;
pub use decode::{Malformed, decode};
pub use encode::{encode, frame_topic};
pub use totals::Totals;

use crate::clock::{Stamp, WallClock};
use crate::config::{Fps, Quality};
use crate::host::HostStatus;
use crate::name::Name;
use crate::{frame, reading};

/// The version of the header, `v`; a receiver refuses others.
pub const VERSION: u32 = 1;

/// What goes over a link.
#[derive(Clone, Debug)]
pub enum Message {
    /// A picture, and what was measured when it was sent.
    Frame(FrameHeader, Bytes),
    /// Readings, each once.
    Readings(Readings),
    /// How the agent's parts are.
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
    /// New each time the agent starts; sequence numbers count within it. None in formats that do not carry it.
    pub boot: Option<Name>,
    /// Counts the camera's frames; a gap is a dropped frame.
    pub seq: u64,
    /// When the picture was taken, microseconds since 1970 by the agent's clock.
    pub captured_at_us: i64,
    /// Microseconds from capture to sending, by the agent's monotonic clock.
    pub age_us: u64,
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The picture is not the camera's, which gives none, but says why, and this is it. For formats that have no status.
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
    /// As in [`FrameHeader`], of the start in which they were captured.
    pub boot: Name,
    /// They had to wait, for hours or months perhaps, and are no current values.
    #[serde(default, skip_serializing_if = "is_false")]
    pub backlog: bool,
    /// In the order of their `seq`.
    pub batches: Vec<Batch>,
}

/// What a port said at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// As in [`Reading`], of the first value; the others' count on.
    pub seq: u64,
    /// As in [`Reading`], and so are all that follow.
    pub port: Name,
    /// When the lines were complete.
    pub captured_at_us: i64,
    /// The agent's clock was set by another one when they were, or the time was put right since.
    #[serde(default = "is_usual", skip_serializing_if = "is_true")]
    pub synchronised: bool,
    /// From then to sending. Nobody knows it of readings from before the machine was switched off, while a clock that is
    /// not synchronised is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// When they are no longer current.
    pub stale_after_ms: u64,
    /// They were not when they were sent.
    pub stale: bool,
    /// At least one.
    pub values: Vec<Value>,
}

/// One quantity's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// What was measured.
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
    /// Counts the agent's readings from 1 within a boot, without gaps.
    pub seq: u64,
    /// The serial port it came from.
    pub port: Name,
    /// What was measured.
    #[serde(deserialize_with = "decode::short")]
    pub quantity: Arc<str>,
    /// In `unit`.
    pub value: f64,
    /// Empty for raw counts.
    #[serde(deserialize_with = "decode::short")]
    pub unit: Arc<str>,
    /// When its line was complete, microseconds since 1970 by the agent's clock.
    pub captured_at_us: i64,
    /// Milliseconds from then to sending, by the agent's monotonic clock.
    pub age_ms: u64,
    /// The age from which it is no longer a current value.
    pub stale_after_ms: u64,
    /// That age was reached when it was sent.
    pub stale: bool,
}

fn is_usual() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_true(truth: &bool) -> bool {
    *truth
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
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
    /// How many.
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

    /// Each value with all that holds for it.
    pub fn readings(self) -> impl Iterator<Item = Reading> {
        let Batch { seq, port, captured_at_us, age_ms, stale_after_ms, stale, values, .. } = self;
        // What has no age that is known is older than anything.
        let age_ms = age_ms.unwrap_or(u64::MAX);
        values.into_iter().enumerate().map(move |(place, Value { quantity, value, unit })| Reading {
            // From a network: any number at all.
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

/// How an agent's parts are.
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
    /// Its serial ports, likewise.
    pub ports: Vec<PartStatus>,
    /// Its links, likewise.
    pub links: Vec<PartStatus>,
    /// Where it keeps readings, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<PartStatus>,
    /// The machine that it runs on. Agents before this was thought of say nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Box<HostStatus>>,
    /// The newest reading of every quantity, as in [`FrameHeader`]: who comes late, or sees no frame, has them too.
    pub readings: Vec<Reading>,
}

/// How one camera, port or link is, or the spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartStatus {
    /// Its name; a link's is its address.
    pub name: Name,
    /// The device, stream or address behind it.
    pub source: String,
    /// Whether it does its work.
    pub up: bool,
    /// Up: how (a camera's size and format). Down: why.
    pub cause: String,
    /// For how long it has been so, in milliseconds, by the agent's monotonic clock.
    pub for_ms: u64,
    /// What it did since the start: frames, readings, drops and refusals, by cause.
    pub counts: BTreeMap<Cow<'static, str>, u64>,
    /// Of a camera, what can be set from afar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// How a camera is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether it captures at all.
    pub on: bool,
    /// The most frames a second that are passed on.
    pub fps: Fps,
    /// JPEG quality, where a frame has to be encoded.
    pub quality: Quality,
}

impl Message {
    /// A frame as it is sent now.
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

    /// The frame, which is a picture that says why the camera gives none.
    #[must_use]
    pub fn of_no_signal(mut self, cause: &str) -> Message {
        if let Message::Frame(header, _) = &mut self {
            header.no_signal = Some(cause.to_owned());
        }
        self
    }

    /// Readings as they are sent now.
    #[must_use]
    pub fn readings(agent: &Name, boot: &Name, clock: &WallClock, batches: &[Arc<reading::Batch>]) -> Message {
        let now = Stamp::now();
        let batches = batches.iter().map(|batch| Batch::at(now, clock, batch)).collect();
        let (agent, boot) = (agent.clone(), boot.clone());
        Message::Readings(Readings { v: VERSION, agent, boot, backlog: false, batches })
    }

    /// Readings that had to wait.
    #[must_use]
    pub fn backlog(agent: &Name, boot: &Name, batches: Vec<Batch>) -> Message {
        let (agent, boot) = (agent.clone(), boot.clone());
        Message::Readings(Readings { v: VERSION, agent, boot, backlog: true, batches })
    }

    /// A status as it is sent now.
    #[must_use]
    pub fn status(status: &Status, current: &[reading::Reading]) -> Message {
        Message::Status(Status { readings: Reading::all(current), ..status.clone() })
    }

    /// The start of the agent that it is from, where the format says.
    #[must_use]
    pub fn boot(&self) -> Option<&Name> {
        match self {
            Message::Frame(header, _) => header.boot.as_ref(),
            Message::Readings(readings) => Some(&readings.boot),
            Message::Status(status) => Some(&status.boot),
        }
    }

    /// The agent it is from.
    #[must_use]
    pub fn agent(&self) -> &Name {
        match self {
            Message::Frame(header, _) => &header.agent,
            Message::Readings(readings) => &readings.agent,
            Message::Status(status) => &status.agent,
        }
    }

    /// The header alone, as one line of JSON with its `type`.
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
