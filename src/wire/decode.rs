//! Decodes parts to messages. Parts from a network can be anything, so each is checked.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Batch, FrameHeader, MAX_HEADER_BYTES, Message, Readings, Status, VERSION};
use crate::config::{Format, ShownAs};
use crate::jpeg;
use crate::name::Name;
use crate::quantity::{MAX_NAME_BYTES, trim_text};

/// The reason why parts are not a message of the link's format.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Too few or too many parts.
    #[error("{0} parts")]
    Parts(usize),
    /// The header is too long, not JSON, or lacks a key.
    #[error("header: {0}")]
    Header(String),
    /// The header has another version.
    #[error("header of version {0}, not {VERSION}")]
    Version(u32),
    /// No history can store a reading: its number or its time is impossible.
    #[error("reading {0}: impossible {1}")]
    Reading(u64, &'static str),
    /// Two parts of a status have one name. The fields are their kind and name.
    #[error("two {0}s are named \"{1}\"")]
    RepeatedPart(&'static str, Name),
    /// The picture is not a JPEG.
    #[error("the picture is not a JPEG")]
    Jpeg,
    /// The picture is not base64.
    #[error("the picture is not base64")]
    Base64,
}

impl Malformed {
    /// Returns an identifier for counters.
    #[must_use]
    pub fn part(&self) -> &'static str {
        match self {
            Malformed::Parts(_) => "parts",
            Malformed::Header(_) => "header",
            Malformed::Version(_) => "version",
            Malformed::Reading(..) => "reading",
            Malformed::RepeatedPart(..) => "repeated_part",
            Malformed::Jpeg => "jpeg",
            Malformed::Base64 => "base64",
        }
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Malformed {
        Malformed::Header(error.to_string())
    }
}

/// Decodes `parts`; `shown_as` names the frames of a format without names.
///
/// # Errors
/// If the parts are not a message in `format`.
pub fn decode(format: Format, shown_as: &ShownAs, parts: &[Bytes]) -> Result<Message, Malformed> {
    match (format, parts) {
        (Format::Watchpost, [_topic, header]) => message(bounded(header)?, None),
        (Format::Watchpost, [_topic, header, jpeg]) => message(bounded(header)?, Some(jpeg.clone())),
        (Format::Json, [json]) => from_json(json),
        (Format::Base64, [text]) => {
            let jpeg = STANDARD.decode(text).map_err(|_| Malformed::Base64)?;
            nameless(shown_as.agent.clone(), shown_as.camera.clone(), jpeg.into())
        }
        (Format::Imagezmq, [header, jpeg]) => from_imagezmq(bounded(header)?, jpeg),
        _ => Err(Malformed::Parts(parts.len())),
    }
}

fn bounded(header: &Bytes) -> Result<&[u8], Malformed> {
    if header.len() <= MAX_HEADER_BYTES { Ok(header) } else { Err(too_long(header.len())) }
}

fn too_long(length: usize) -> Malformed {
    Malformed::Header(format!("{length} bytes long"))
}

/// The keys that decide how to decode a header. Other keys are skipped, so that a hostile message does not take many
/// times its size in memory.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    v: Option<u32>,
    #[serde(borrow)]
    jpeg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
}

fn message(header: &[u8], jpeg: Option<Bytes>) -> Result<Message, Malformed> {
    let kind: Outline<'_> = serde_json::from_slice(header)?;
    match kind.v {
        Some(VERSION) => {}
        Some(other) => return Err(Malformed::Version(other)),
        None => return Err(Malformed::Header("no v".into())),
    }
    match (kind.kind.as_deref(), jpeg) {
        (Some("frame"), Some(jpeg)) if jpeg::size(&jpeg).is_some() => {
            Ok(Message::Frame(serde_json::from_slice(header)?, jpeg))
        }
        (Some("frame"), _) => Err(Malformed::Jpeg),
        (Some("readings"), None) => {
            let readings: Readings = serde_json::from_slice(header)?;
            readings.batches.iter().try_for_each(check_batch)?;
            Ok(Message::Readings(readings))
        }
        (Some("status"), None) => status(serde_json::from_slice(header)?).map(Message::Status),
        (Some("readings" | "status"), Some(_)) => Err(Malformed::Parts(3)),
        _ => Err(Malformed::Header("unknown type".into())),
    }
}

/// Times of readings: the years 1 to 9999, in microseconds since 1970; and the longest age, in milliseconds.
const TIMES: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
const MAX_AGE_MS: u64 = 315_000_000_000_000;

/// Checks that a batch has numbers and times that a history can store. A correct agent has no others.
fn check_batch(batch: &Batch) -> Result<(), Malformed> {
    let impossible = |what| Err(Malformed::Reading(batch.seq, what));
    let after_last = batch.seq.checked_add(batch.values.len() as u64);
    if after_last.is_none_or(|after_last| i64::try_from(after_last).is_err()) {
        return impossible("number");
    }
    if !TIMES.contains(&batch.captured_at_us) {
        return impossible("time");
    }
    if batch.age_ms.is_some_and(|age_ms| age_ms > MAX_AGE_MS) { impossible("age") } else { Ok(()) }
}

fn status(status: Status) -> Result<Status, Malformed> {
    match status.repeated_part() {
        Some((kind, name)) => Err(Malformed::RepeatedPart(kind, name.clone())),
        None => Ok(status),
    }
}

fn from_json(json: &Bytes) -> Result<Message, Malformed> {
    let text = serde_json::from_slice::<Outline<'_>>(json)?.jpeg;
    let header = json.len() - text.as_ref().map_or(0, |text| text.len());
    if header > MAX_HEADER_BYTES {
        return Err(too_long(header));
    }
    let jpeg = text.map(|text| STANDARD.decode(text.as_bytes())).transpose().map_err(|_| Malformed::Base64)?;
    message(json, jpeg.map(Bytes::from))
}

fn from_imagezmq(header: &[u8], jpeg: &Bytes) -> Result<Message, Malformed> {
    let kind: Outline<'_> = serde_json::from_slice(header)?;
    if kind.v.is_some() {
        return message(header, Some(jpeg.clone()));
    }
    // From another program, with only `msg`: usually "HOST CAMERA" or the host.
    let text = kind.msg.ok_or(Malformed::Header("no msg".into()))?;
    let (agent, camera) = text.split_once(' ').unwrap_or((&text, "camera"));
    nameless(Name::nearest(agent), Name::nearest(camera), jpeg.clone())
}

/// Deserialises the name of a quantity or unit, whose length is limited, without invisible characters at its ends: they
/// would make a second series that looks like the first.
pub(super) fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() <= MAX_NAME_BYTES { Ok(trim_text(&text).into()) } else { Err(D::Error::custom("a text is too long")) }
}

/// Returns the frame of a message without a watchpost header. Its size is in the JPEG.
fn nameless(agent: Name, camera: Name, jpeg: Bytes) -> Result<Message, Malformed> {
    let (width, height) = jpeg::size(&jpeg).ok_or(Malformed::Jpeg)?;
    let header = FrameHeader {
        v: VERSION,
        agent,
        camera,
        boot: None,
        seq: 0,
        captured_at_us: 0,
        age_us: 0,
        width,
        height,
        no_signal: None,
        readings: Vec::new(),
        readings_left_out: 0,
    };
    Ok(Message::Frame(header, jpeg))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 1x1: only the headers that are read.
    const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 1, 0xff, 0xd9];
    const FRAME: &str = r#"{"type":"frame","v":1,"agent":"a","camera":"c","boot":"b","seq":1,"captured_at_us":1,
        "age_us":1,"width":1,"height":1,"readings":[]}"#;

    fn decoded(format: Format, parts: &[&[u8]]) -> Result<Message, Malformed> {
        let shown_as = ShownAs { agent: Name::nearest("agent"), camera: Name::nearest("camera") };
        let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        decode(format, &shown_as, &parts)
    }

    fn refusal(format: Format, parts: &[&[u8]]) -> String {
        decoded(format, parts).expect_err("not a message").to_string()
    }

    #[test]
    fn malformed_messages_are_refused_with_their_cause() {
        use Format::{Base64, Imagezmq, Json, Watchpost};
        let header = |from: &str, to: &str| FRAME.replace(from, to).into_bytes();
        assert!(decoded(Watchpost, &[b"", FRAME.as_bytes(), JPEG]).is_ok());
        assert_eq!(refusal(Watchpost, &[]), "0 parts");
        assert_eq!(refusal(Watchpost, &[b"", FRAME.as_bytes(), JPEG, b""]), "4 parts");
        assert_eq!(refusal(Watchpost, &[b"", FRAME.as_bytes()]), "the picture is not a JPEG");
        assert_eq!(refusal(Watchpost, &[b"", FRAME.as_bytes(), b"GIF89a"]), "the picture is not a JPEG");
        assert_eq!(refusal(Watchpost, &[b"", FRAME.as_bytes(), &JPEG[..4]]), "the picture is not a JPEG");
        assert_eq!(refusal(Watchpost, &[b"", &header(r#""v":1"#, r#""v":2"#), JPEG]), "header of version 2, not 1");
        assert!(refusal(Watchpost, &[b"", &header(r#""c""#, r#""../c""#), JPEG]).contains("cannot be a name"));
        assert!(refusal(Watchpost, &[b"", &vec![b' '; MAX_HEADER_BYTES + 1], JPEG]).contains("bytes long"));
        assert!(refusal(Watchpost, &[b"", &[b'['; 10_000], JPEG]).starts_with("header: "));
        assert_eq!(refusal(Base64, &[b"!"]), "the picture is not base64");
        assert_eq!(refusal(Json, &[header(r#""v""#, r#""jpeg":"!","v""#).as_slice()]), "the picture is not base64");
        assert!(refusal(Json, &[header(r#""v""#, r#""jpeg":1,"v""#).as_slice()]).contains("invalid type"));
        let padded = header(r#""v""#, &format!(r#""x":"{}","v""#, "x".repeat(MAX_HEADER_BYTES)));
        assert!(refusal(Json, &[padded.as_slice()]).contains("bytes long"));
        assert_eq!(refusal(Imagezmq, &[b"{}", JPEG]), "header: no msg");
        let part = r#"{"name":"t","source":"","up":true,"cause":"","for_ms":1,"counts":{}}"#;
        let status = format!(
            r#"{{"type":"status","v":1,"agent":"a","boot":"b","cameras":[{part}],"ports":[{part},{part}],"links":[],
            "readings":[]}}"#
        );
        assert_eq!(refusal(Watchpost, &[b"", status.as_bytes()]), "two ports are named \"t\"");
    }

    #[test]
    fn batch_expands_to_readings() {
        let header = format!(
            r#"{{"type":"readings","v":1,"agent":"a","boot":"b","batches":[{{"seq":{},"port":"p","captured_at_us":7,
            "age_ms":1,"stale_after_ms":2,"stale":false,"values":[{{"quantity":"t","value":25,"unit":"°C"}},
            {{"quantity":"h","value":60,"unit":"%RH"}},{{"quantity":"u","value":1,"unit":""}}]}}]}}"#,
            i64::MAX - 3
        );
        let Ok(Message::Readings(readings)) = decoded(Format::Watchpost, &[b"", header.as_bytes()]) else {
            panic!("no readings")
        };
        assert_eq!(readings.count(), 3);
        let readings = readings.batches.into_iter().flat_map(Batch::readings);
        let found: Vec<_> = readings.map(|r| (r.seq, r.quantity.to_string(), r.value, r.captured_at_us)).collect();
        let last = i64::MAX as u64 - 1;
        let expected = [(last - 2, "t", 25.0), (last - 1, "h", 60.0), (last, "u", 1.0)];
        assert_eq!(found, expected.map(|(seq, quantity, value)| (seq, quantity.to_owned(), value, 7)));
    }

    #[test]
    fn readings_that_no_history_can_store_are_malformed() {
        let message = |seq: u64, at_us: i64, age_ms: u64| {
            let header = format!(
                r#"{{"type":"readings","v":1,"agent":"a","boot":"b","batches":[{{"seq":{seq},"port":"p",
                "captured_at_us":{at_us},"age_ms":{age_ms},"stale_after_ms":2,"stale":false,
                "values":[{{"quantity":"t","value":25,"unit":""}}]}}]}}"#
            );
            decoded(Format::Watchpost, &[b"", header.as_bytes()]).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(message(i64::MAX as u64 - 1, *TIMES.end(), MAX_AGE_MS), Ok(()));
        assert_eq!(message(i64::MAX as u64, 0, 0).unwrap_err(), format!("reading {}: impossible number", i64::MAX));
        assert_eq!(message(u64::MAX, 0, 0).unwrap_err(), format!("reading {}: impossible number", u64::MAX));
        assert_eq!(message(1, i64::MIN, 0).unwrap_err(), "reading 1: impossible time");
        assert_eq!(message(1, 0, u64::MAX).unwrap_err(), "reading 1: impossible age");
    }

    #[test]
    fn invisible_characters_around_labels_are_removed() {
        let header = r#"{"type":"readings","v":1,"agent":"a","boot":"b","batches":[{"seq":1,"port":"p","captured_at_us":7,
            "stale_after_ms":2,"stale":false,
            "values":[{"quantity":"\ufeff\u200b so il\u202e\u0000","value":25,"unit":"\u2060°C\n"}]}]}"#;
        let Ok(Message::Readings(readings)) = decoded(Format::Watchpost, &[b"", header.as_bytes()]) else {
            panic!("no readings")
        };
        let value = &readings.batches[0].values[0];
        assert_eq!((&*value.quantity, &*value.unit), ("so il", "°C"));
    }

    #[test]
    fn imagezmq_message_of_another_program_is_a_frame() {
        let Ok(Message::Frame(header, _)) = decoded(Format::Imagezmq, &[br#"{"msg": "pi 4|x"}"#, JPEG]) else {
            panic!("not a frame")
        };
        assert_eq!((&*header.agent, &*header.camera, header.width), ("pi", "4_x", 1));
    }
}
