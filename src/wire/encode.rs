//! Messages to parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{HeaderRef, Message};
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
        Message::Readings(readings) => (HeaderRef::Readings(readings), readings.readings.len()),
        Message::Status(status) => (HeaderRef::Status(status), status.readings.len()),
    };
    // A reading is about so long; growing step by step would copy each several times.
    let mut json = Vec::with_capacity(256 + 224 * readings);
    serde_json::to_writer(&mut json, &header).expect("a header has string keys and no failing parts");
    json
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
