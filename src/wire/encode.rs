//! Encodes messages to parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Message;
use super::fit::fitting_header;
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
