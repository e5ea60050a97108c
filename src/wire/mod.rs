//! Encodes and decodes messages in every format. No sockets and no state.
//!
//! [`Message`] lists the three messages. The format watchpost sends parts: a topic (`frame/AGENT/CAMERA`,
//! `readings/AGENT`, `status/AGENT`), a JSON header, and the JPEG of a frame. The other formats carry what existing
//! programs can read.

mod control;
mod decode;
mod encode;
mod fit;
mod header;
mod status;
mod totals;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use control::{Control, Limit};
pub use decode::{Malformed, decode};
pub use encode::{Encoded, encode, frame_topic};
pub use status::{PartStatus, Settings, Status};
pub use totals::Totals;

use crate::clock::{Stamp, WallClock};
use crate::name::Name;
use crate::{config, frame, reading};

/// The version of the header, `v`. A receiver refuses others.
pub const VERSION: u32 = 1;

/// The limit of a header. The sender keeps it: `fit.rs` leaves out readings. The receiver refuses longer ones.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// The most quantities that an agent can have at once, and that a receiver shows of it.
pub const MAX_QUANTITIES: usize = config::MAX_PORTS * reading::MAX_QUANTITIES;

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
    /// How many readings the agent left out, because the header would be too long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readings_left_out: u64,
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
fn is_zero(number: &u64) -> bool {
    *number == 0
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
            readings_left_out: 0,
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
        String::from_utf8(header::header(self)).expect("JSON is UTF-8")
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
