//! Control messages from a receiver to an agent, on a pair or dealer link in the watchpost format. Each is one part of
//! JSON, and harmless if it is repeated.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Malformed, VERSION, is_false};
use crate::config::{Fps, Quality};
use crate::name::Name;

/// Limit of a control message.
const MAX_CONTROL_BYTES: usize = 4 * 1024;

/// A control message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Control {
    /// Sent on connecting and every second: how many frames of a camera may be in flight beyond those it has seen.
    Hello {
        /// [`VERSION`].
        v: u32,
        /// At least 1.
        window: u32,
        /// Whether the receiver stores and acknowledges readings.
        #[serde(default, skip_serializing_if = "is_false")]
        acks: bool,
    },
    /// The agent's messages are refused because of its name. Sent every second instead of a hello.
    Rejected {
        /// Identifies the cause.
        cause: Name,
    },
    /// Readings are stored safely on disk, and need not be sent again.
    Ack {
        /// The agent start that they belong to.
        boot: Name,
        /// The number of the first; 1 if it is missing.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        first: u64,
        /// The number of the last.
        seq: u64,
    },
    /// Readings are not stored, because they exceed a limit. The agent keeps them and sends them again later.
    Refused {
        /// The agent start that they belong to.
        boot: Name,
        /// The number of the first.
        first: u64,
        /// The number of the last.
        seq: u64,
        /// The limit.
        cause: Limit,
    },
    /// A frame was received, and another may follow.
    Seen {
        /// The frame's camera.
        camera: Name,
        /// The frame's agent start.
        boot: Name,
        /// The frame's number. Earlier frames are done, too.
        seq: u64,
    },
    /// Changes settings of a camera. The next status shows the result.
    Set {
        /// The camera.
        camera: Name,
        /// Whether it captures.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<bool>,
        /// Maximum frames a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fps: Option<Fps>,
        /// JPEG quality of frames that the agent encodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quality: Option<Quality>,
    },
    /// Requests one frame now, even if the camera is off or the window is full.
    Snapshot {
        /// The camera.
        camera: Name,
    },
}

/// A limit of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The series of one agent.
    SeriesLimit,
    /// The series of all agents.
    TotalSeriesLimit,
    /// The gaps in the numbers of one agent start.
    GapLimit,
    /// A limit that this version does not know.
    #[serde(other)]
    Other,
}

fn first() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_first(first: &u64) -> bool {
    *first == self::first()
}

impl Control {
    /// Returns the hello of a receiver with a window of one frame; `acks` if it stores readings.
    #[must_use]
    pub fn hello(acks: bool) -> Control {
        Control::Hello { v: VERSION, window: 1, acks }
    }

    /// Returns the message to an agent that is refused for this cause, an identifier.
    #[must_use]
    pub fn rejected(cause: &str) -> Control {
        Control::Rejected { cause: Name::nearest(cause) }
    }

    /// Returns the message as JSON.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("it has string keys and infallible values").into()
    }

    /// Decodes `parts`.
    ///
    /// # Errors
    /// If they are not a control message.
    pub fn decode(parts: &[Bytes]) -> Result<Control, Malformed> {
        let [json] = parts else { return Err(Malformed::Parts(parts.len())) };
        if json.len() > MAX_CONTROL_BYTES {
            return Err(Malformed::Header(format!("{} bytes long", json.len())));
        }
        match serde_json::from_slice(json)? {
            Control::Hello { v, .. } if v != VERSION => Err(Malformed::Version(v)),
            Control::Hello { window: 0, .. } => Err(Malformed::Header("a window of 0".into())),
            Control::Ack { first, seq, .. } if seq < first => Err(Malformed::Header("an ack of nothing".into())),
            Control::Refused { first, seq, .. } if seq < first => Err(Malformed::Header("a refusal of nothing".into())),
            // SQLite stores signed numbers, so no reading has a larger one.
            Control::Ack { seq, .. } | Control::Refused { seq, .. } if i64::try_from(seq).is_err() => {
                Err(Malformed::Header("an answer to numbers that no reading has".into()))
            }
            control => Ok(control),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Result<Control, String> {
        Control::decode(&[Bytes::copy_from_slice(json.as_bytes())]).map_err(|error| error.to_string())
    }

    #[test]
    fn encoded_controls_decode_to_the_same() {
        let (camera, boot) = (Name::nearest("door"), Name::nearest("b"));
        let fps = Fps::try_from(2.5).expect("a rate");
        for control in [
            Control::hello(false),
            Control::hello(true),
            Control::rejected("name_in_use"),
            Control::Ack { boot: boot.clone(), first: 7, seq: i64::MAX as u64 },
            Control::Refused { boot: boot.clone(), first: 7, seq: 9, cause: Limit::SeriesLimit },
            Control::Seen { camera: camera.clone(), boot, seq: u64::MAX },
            Control::Snapshot { camera: camera.clone() },
            Control::Set { camera, on: Some(false), fps: Some(fps), quality: None },
        ] {
            assert_eq!(Control::decode(&[control.encode()]).expect("ours"), control);
        }
    }

    #[test]
    fn missing_keys_have_defaults() {
        let boot = Name::nearest("b");
        assert_eq!(decoded(r#"{"type":"hello","v":1,"window":1}"#), Ok(Control::hello(false)));
        assert_eq!(
            decoded(r#"{"type":"ack","boot":"b","seq":8}"#),
            Ok(Control::Ack { boot: boot.clone(), first: 1, seq: 8 })
        );
        let cause = Limit::Other;
        assert_eq!(
            decoded(r#"{"type":"refused","boot":"b","first":2,"seq":8,"cause":"moon_phase"}"#),
            Ok(Control::Refused { boot, first: 2, seq: 8, cause })
        );
    }

    #[test]
    fn malformed_controls_are_refused() {
        assert_eq!(decoded(r#"{"type":"hello","v":2,"window":1}"#).unwrap_err(), "header of version 2, not 1");
        assert!(decoded(r#"{"type":"hello","v":1,"window":0}"#).unwrap_err().contains("window of 0"));
        assert!(decoded(r#"{"type":"ack","boot":"b","first":9,"seq":8}"#).unwrap_err().contains("ack of nothing"));
        assert!(
            decoded(r#"{"type":"ack","boot":"b","seq":9223372036854775808}"#).unwrap_err().contains("no reading has")
        );
        let refused = decoded(r#"{"type":"refused","boot":"b","first":9,"seq":8,"cause":"gap_limit"}"#);
        assert!(refused.unwrap_err().contains("refusal of nothing"));
        assert!(decoded(r#"{"type":"set","camera":"a","fps":0}"#).unwrap_err().contains("not a frame rate"));
        assert!(decoded(r#"{"type":"dance"}"#).is_err());
        assert!(decoded(&"[".repeat(4_000)).is_err());
        assert!(decoded(&format!(r#"{{"type":"hello","v":1,"window":1,"x":"{}"}}"#, "y".repeat(5_000))).is_err());
        assert!(Control::decode(&[]).is_err());
    }
}
