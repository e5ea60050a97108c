//! What a receiver says to an agent, on a pair or dealer link in the watchpost format: one part of JSON each.
//!
//! Each can be said again and does no harm.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Malformed, VERSION, is_false};
use crate::config::{Fps, Quality};
use crate::name::Name;

/// No control is longer.
const LONGEST_CONTROL: usize = 4 * 1024;

/// What is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Control {
    /// On connecting and each second: who listens, and how many frames of a camera it takes beyond those it has seen.
    Hello {
        /// [`VERSION`].
        v: u32,
        /// At least 1.
        window: u32,
        /// It keeps readings, and acknowledges those that it has.
        #[serde(default, skip_serializing_if = "is_false")]
        acks: bool,
    },
    /// Readings are kept for good where a power cut leaves them, and need not be sent again.
    Ack {
        /// Theirs.
        boot: Name,
        /// The number of the first; who keeps all from the start on need not say it.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        first: u64,
        /// The number of the last.
        seq: u64,
    },
    /// A frame was taken, and another may come.
    Seen {
        /// The frame's.
        camera: Name,
        /// The frame's.
        boot: Name,
        /// The frame's; those before it are past, too.
        seq: u64,
    },
    /// How a camera is to be from now on; the status says how it is.
    Set {
        /// The camera.
        camera: Name,
        /// Whether it captures at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<bool>,
        /// The most frames a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fps: Option<Fps>,
        /// JPEG quality, where a frame has to be encoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quality: Option<Quality>,
    },
    /// One frame now, whether the camera is on or not and whatever the window.
    Snapshot {
        /// The camera.
        camera: Name,
    },
}

fn first() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_first(first: &u64) -> bool {
    *first == self::first()
}

impl Control {
    /// What a receiver says that takes one frame of a camera at a time; `acks`: it keeps readings.
    #[must_use]
    pub fn hello(acks: bool) -> Control {
        Control::Hello { v: VERSION, window: 1, acks }
    }

    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("it has string keys and no failing parts").into()
    }

    /// What is said in `parts`.
    ///
    /// # Errors
    /// When they are no control.
    pub fn decode(parts: &[Bytes]) -> Result<Control, Malformed> {
        let [json] = parts else { return Err(Malformed::Parts(parts.len())) };
        if json.len() > LONGEST_CONTROL {
            return Err(Malformed::Header(format!("{} bytes long", json.len())));
        }
        match serde_json::from_slice(json)? {
            Control::Hello { v, .. } if v != VERSION => Err(Malformed::Version(v)),
            Control::Hello { window: 0, .. } => Err(Malformed::Header("a window of 0".into())),
            Control::Ack { first, seq, .. } if seq < first => Err(Malformed::Header("an ack of nothing".into())),
            // Files keep numbers with a sign, so no reading has one like that.
            Control::Ack { seq, .. } if i64::try_from(seq).is_err() => {
                Err(Malformed::Header("an ack of numbers that no reading has".into()))
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
    fn control_messages_are_read_as_written() {
        let (camera, boot) = (Name::nearest("door"), Name::nearest("b"));
        let fps = Fps::try_from(2.5).expect("a rate");
        for control in [
            Control::hello(false),
            Control::hello(true),
            Control::Ack { boot: boot.clone(), first: 7, seq: i64::MAX as u64 },
            Control::Seen { camera: camera.clone(), boot, seq: u64::MAX },
            Control::Snapshot { camera: camera.clone() },
            Control::Set { camera, on: Some(false), fps: Some(fps), quality: None },
        ] {
            assert_eq!(Control::decode(&[control.encode()]).expect("ours"), control);
        }
    }

    #[test]
    fn omitted_fields_have_defaults() {
        let boot = Name::nearest("b");
        assert_eq!(decoded(r#"{"type":"hello","v":1,"window":1}"#), Ok(Control::hello(false)));
        assert_eq!(decoded(r#"{"type":"ack","boot":"b","seq":8}"#), Ok(Control::Ack { boot, first: 1, seq: 8 }));
    }

    #[test]
    fn invalid_control_messages_are_refused() {
        assert_eq!(decoded(r#"{"type":"hello","v":2,"window":1}"#).unwrap_err(), "header of version 2, not 1");
        assert!(decoded(r#"{"type":"hello","v":1,"window":0}"#).unwrap_err().contains("window of 0"));
        assert!(decoded(r#"{"type":"ack","boot":"b","first":9,"seq":8}"#).unwrap_err().contains("ack of nothing"));
        assert!(
            decoded(r#"{"type":"ack","boot":"b","seq":9223372036854775808}"#).unwrap_err().contains("no reading has")
        );
        assert!(decoded(r#"{"type":"set","camera":"a","fps":0}"#).unwrap_err().contains("not a frame rate"));
        assert!(decoded(r#"{"type":"dance"}"#).is_err());
        assert!(decoded(&"[".repeat(4_000)).is_err());
        assert!(decoded(&format!(r#"{{"type":"hello","v":1,"window":1,"x":"{}"}}"#, "y".repeat(5_000))).is_err());
        assert!(Control::decode(&[]).is_err());
    }
}
