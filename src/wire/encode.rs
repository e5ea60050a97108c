//! Messages to parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use serde::Serialize;

use super::{HeaderRef, Message, Readings};
use crate::config::Format;

/// The parts of `message` in `format`; `None` when the format cannot carry it: base64 and imagezmq know frames only.
#[must_use]
pub fn encode(format: Format, message: &Message) -> Option<Vec<Bytes>> {
    match (format, message) {
        (Format::Watchpost, Message::Frame(_, jpeg)) => {
            Some(vec![topic(message), header(message).into(), jpeg.clone()])
        }
        (Format::Watchpost, _) => Some(vec![topic(message), header(message).into()]),
        (Format::Json, Message::Frame(_, jpeg)) => Some(vec![with_jpeg(header(message), jpeg)]),
        (Format::Json, _) => Some(vec![header(message).into()]),
        (Format::Base64, Message::Frame(_, jpeg)) => Some(vec![STANDARD.encode(jpeg).into()]),
        (Format::Imagezmq, Message::Frame(_, jpeg)) => Some(vec![with_msg(message), jpeg.clone()]),
        (Format::Base64 | Format::Imagezmq, _) => None,
    }
}

fn topic(message: &Message) -> Bytes {
    match message {
        Message::Frame(header, _) => format!("frame/{}/{}", header.agent, header.camera),
        Message::Readings(readings) => format!("readings/{}", readings.agent),
        Message::Status(status) => format!("status/{}", status.agent),
    }
    .into()
}

pub(super) fn header(message: &Message) -> Vec<u8> {
    let (header, readings) = match message {
        Message::Frame(header, _) => (HeaderRef::Frame(header), header.readings.len()),
        Message::Readings(readings) => return header_of_readings(readings),
        Message::Status(status) => (HeaderRef::Status(status), status.readings.len()),
    };
    let mut json = Vec::with_capacity(HEADER + READING * readings);
    write(&mut json, &header);
    json
}

/// About as long as a header without readings, and a reading: growing step by step would copy each several times.
const HEADER: usize = 256;
const READING: usize = 224;

/// Readings are what there is most of, and a derived writer looks at each byte of each key for one to escape; the keys
/// are ours, and none has any.
fn header_of_readings(message: &Readings) -> Vec<u8> {
    let mut json = Vec::with_capacity(HEADER + READING * message.readings.len());
    let none =
        Readings { readings: Vec::new(), agent: message.agent.clone(), boot: message.boot.clone(), v: message.v };
    write(&mut json, &HeaderRef::Readings(&none));
    json.truncate(json.len() - "]}".len());
    for (place, reading) in message.readings.iter().enumerate() {
        field(&mut json, if place == 0 { r#"{"seq":"# } else { r#",{"seq":"# }, &reading.seq);
        field(&mut json, r#","port":"#, &reading.port);
        field(&mut json, r#","quantity":"#, &reading.quantity);
        field(&mut json, r#","value":"#, &reading.value);
        field(&mut json, r#","unit":"#, &reading.unit);
        field(&mut json, r#","captured_at_us":"#, &reading.captured_at_us);
        field(&mut json, r#","age_ms":"#, &reading.age_ms);
        field(&mut json, r#","stale_after_ms":"#, &reading.stale_after_ms);
        field(&mut json, r#","stale":"#, &reading.stale);
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
    json
}

fn field(json: &mut Vec<u8>, key: &str, value: &impl Serialize) {
    json.extend_from_slice(key.as_bytes());
    write(json, value);
}

fn write(json: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(json, value).expect("it has string keys and no failing parts");
}

/// The header with the JPEG as its last key; spliced in, because a JSON writer would look at each of its characters
/// for one to escape, and base64 has none.
fn with_jpeg(header: Vec<u8>, jpeg: &Bytes) -> Bytes {
    let mut text = String::from_utf8(header).expect("JSON is UTF-8");
    text.pop();
    text.reserve(jpeg.len() / 3 * 4 + 16);
    text.push_str(r#","jpeg":""#);
    STANDARD.encode_string(jpeg, &mut text);
    text.push_str("\"}");
    text.into()
}

/// imagezmq's header: `msg` is its text; its readers ignore all other keys, so ours ride along.
fn with_msg(message: &Message) -> Bytes {
    let mut json = header(message);
    json.pop();
    if let Message::Frame(header, _) = message {
        json.extend_from_slice(format!(r#","msg":"{} {}"}}"#, header.agent, header.camera).as_bytes());
    }
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::wire::{Reading, VERSION};

    #[test]
    fn readings_are_written_as_a_derived_writer_would() {
        let reading = |seq, quantity: &str, unit: &str, value| Reading {
            seq,
            port: Name::nearest("gas"),
            quantity: quantity.into(),
            value,
            unit: unit.into(),
            captured_at_us: -1,
            age_ms: 2,
            stale_after_ms: 10_000,
            stale: seq == 2,
        };
        for count in 0..=3 {
            let all = [reading(1, "温度", "°C", -5.5), reading(2, "a\"b\\", "", 1e300), reading(3, "x", "\u{7f}", 3.0)];
            let (agent, boot) = (Name::nearest("a"), Name::nearest("b"));
            let readings = Readings { v: VERSION, agent, boot, readings: all[..count].to_vec() };
            let derived = serde_json::to_string(&HeaderRef::Readings(&readings)).expect("JSON");
            assert_eq!(Message::Readings(readings).to_json(), derived);
        }
    }
}
