//! Writes the header of a message as JSON.

use serde::Serialize;

use super::{HeaderRef, Message, Readings};

/// Returns the header with its `type`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
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
