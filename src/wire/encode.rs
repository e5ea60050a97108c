//! Encodes messages to parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use serde::Serialize;

use super::fit::fitting_header;
use super::{HeaderRef, Message, Readings};
use crate::config::Format;
use crate::name::Name;

/// A message as it is sent.
#[derive(Debug)]
pub struct Encoded {
    /// The parts of the message.
    pub parts: Vec<Bytes>,
    /// How many readings are missing from its header, which would be too long with them.
    pub readings_left_out: u64,
}

/// Returns `message` in `format`, or `None` if the format cannot carry it: base64 and imagezmq carry only frames.
#[must_use]
pub fn encode(format: Format, message: &Message) -> Option<Encoded> {
    let (parts, readings_left_out) = match (format, message) {
        (Format::Base64, Message::Frame(_, jpeg)) => (vec![STANDARD.encode(jpeg).into()], 0),
        (Format::Base64 | Format::Imagezmq, Message::Readings(_) | Message::Status(_)) => return None,
        _ => {
            let (header, left_out) = fitting_header(message);
            (with_header(format, message, header), left_out)
        }
    };
    Some(Encoded { parts, readings_left_out })
}

fn with_header(format: Format, message: &Message, header: Vec<u8>) -> Vec<Bytes> {
    let jpeg = if let Message::Frame(_, jpeg) = message { Some(jpeg) } else { None };
    match (format, jpeg) {
        (Format::Json, Some(jpeg)) => vec![with_jpeg(header, jpeg)],
        (Format::Json, None) => vec![header.into()],
        (Format::Imagezmq, Some(jpeg)) => vec![with_msg(message, header), jpeg.clone()],
        _ => [topic(message), header.into()].into_iter().chain(jpeg.cloned()).collect(),
    }
}

/// Returns the topic of a camera's frames.
#[must_use]
pub fn frame_topic(agent: &Name, camera: &Name) -> String {
    format!("frame/{agent}/{camera}")
}

fn topic(message: &Message) -> Bytes {
    match message {
        Message::Frame(header, _) => frame_topic(&header.agent, &header.camera),
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
    let mut json = Vec::with_capacity(HEADER_BYTES + READING_BYTES * readings);
    write(&mut json, &header);
    json
}

/// Approximate sizes of a header without readings, a reading, a batch without values, and a value. They avoid copies of a
/// growing buffer.
const HEADER_BYTES: usize = 256;
const READING_BYTES: usize = 224;
const BATCH_BYTES: usize = 192;
const VALUE_BYTES: usize = 64;

/// Writes the most frequent message by hand: serde's derived code searches each byte of each key for characters to escape,
/// and our keys have none.
fn header_of_readings(message: &Readings) -> Vec<u8> {
    let values: usize = message.batches.iter().map(|batch| batch.values.len()).sum();
    let mut json = Vec::with_capacity(HEADER_BYTES + BATCH_BYTES * message.batches.len() + VALUE_BYTES * values);
    let (agent, boot) = (message.agent.clone(), message.boot.clone());
    let none = Readings { v: message.v, agent, boot, backlog: message.backlog, batches: Vec::new() };
    write(&mut json, &HeaderRef::Readings(&none));
    json.truncate(json.len() - "]}".len());
    list(&mut json, &message.batches, |json, batch| {
        field(json, r#"{"seq":"#, &batch.seq);
        field(json, r#","port":"#, &batch.port);
        field(json, r#","captured_at_us":"#, &batch.captured_at_us);
        if !batch.synchronised {
            field(json, r#","synchronised":"#, &false);
        }
        if let Some(age) = &batch.age_ms {
            field(json, r#","age_ms":"#, age);
        }
        field(json, r#","stale_after_ms":"#, &batch.stale_after_ms);
        field(json, r#","stale":"#, &batch.stale);
        json.extend_from_slice(br#","values":["#);
        list(json, &batch.values, |json, value| {
            field(json, r#"{"quantity":"#, &value.quantity);
            field(json, r#","value":"#, &value.value);
            field(json, r#","unit":"#, &value.unit);
            json.push(b'}');
        });
        json.extend_from_slice(b"]}");
    });
    json.extend_from_slice(b"]}");
    json
}

fn list<T>(json: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        write(json, item);
    }
}

fn field(json: &mut Vec<u8>, key: &str, value: &impl Serialize) {
    json.extend_from_slice(key.as_bytes());
    write(json, value);
}

fn write(json: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(json, value).expect("it has string keys and infallible values");
}

/// Returns the header with the JPEG as its last key. The JPEG is spliced in, because a JSON writer would search it for
/// characters to escape, and base64 has none.
fn with_jpeg(header: Vec<u8>, jpeg: &Bytes) -> Bytes {
    let mut text = String::from_utf8(header).expect("JSON is UTF-8");
    text.pop();
    text.reserve(jpeg.len() / 3 * 4 + 16);
    text.push_str(r#","jpeg":""#);
    STANDARD.encode_string(jpeg, &mut text);
    text.push_str("\"}");
    text.into()
}

/// Returns imagezmq's header, whose text is `msg`. Its readers ignore other keys, so ours are included.
fn with_msg(message: &Message, mut json: Vec<u8>) -> Bytes {
    json.pop();
    if let Message::Frame(header, _) = message {
        json.extend_from_slice(format!(r#","msg":"{} {}"}}"#, header.agent, header.camera).as_bytes());
    }
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Batch, VERSION, Value};

    #[test]
    fn handwritten_readings_equal_serdes() {
        let value = |quantity: &str, unit: &str, value| Value { quantity: quantity.into(), value, unit: unit.into() };
        let values = [value("温度", "°C", -5.5), value("a\"b\\", "", 1e300), value("x", "\u{7f}", 3.0)];
        let batch = |seq, count: usize| Batch {
            seq,
            port: Name::nearest("gas"),
            captured_at_us: -1,
            synchronised: seq != 2,
            age_ms: (seq != 5).then_some(2),
            stale_after_ms: 10_000,
            stale: seq == 2,
            values: values[..count].to_vec(),
        };
        let batches = [batch(1, 1), batch(2, 3), batch(5, 2)];
        for count in 0..=batches.len() {
            let (agent, boot) = (Name::nearest("a"), Name::nearest("b"));
            let readings =
                Readings { v: VERSION, agent, boot, backlog: count == 2, batches: batches[..count].to_vec() };
            let derived = serde_json::to_string(&HeaderRef::Readings(&readings)).expect("JSON");
            assert_eq!(Message::Readings(readings).to_json(), derived);
        }
    }
}
