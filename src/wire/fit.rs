//! Shortens a header that would be longer than a receiver accepts. It leaves out readings first, then a status's
//! counts, then the ends of its long texts. It never leaves out a part, because a receiver would treat that part as
//! removed.

use std::collections::BTreeMap;

use super::header::header;
use super::{MAX_HEADER_BYTES, Message, Reading, Status};
use crate::name::Name;

/// Room for what some formats add to a header: a key, and the names of agent and camera.
const MARGIN: usize = 1024;
const LIMIT: usize = MAX_HEADER_BYTES - MARGIN;

/// The keys that say what was left out, with their values.
const LEFT_OUT_BYTES: usize = 80;

/// The longest text of a part in a status that is too long even without counts.
const MAX_SHORT_TEXT_BYTES: usize = 128;

/// Returns a message's header within the limit, and the number of readings that were left out of it.
pub(super) fn fitting_header(message: &Message) -> (Vec<u8>, u64) {
    let json = header(message);
    if json.len() <= LIMIT {
        return (json, 0);
    }
    let mut message = message.clone();
    let left_out = match &mut message {
        Message::Frame(frame, _) => {
            frame.readings_left_out = leave_out(&mut frame.readings, json.len());
            frame.readings_left_out
        }
        Message::Status(status) => {
            shorten(status, json.len());
            status.readings_left_out
        }
        // The links keep their batches below the limit.
        Message::Readings(_) => 0,
    };
    (header(&message), left_out)
}

fn shorten(status: &mut Status, length: usize) {
    status.readings_left_out = leave_out(&mut status.readings, length);
    let length_of = |status: &Status| header(&Message::Status(status.clone())).len();
    if length_of(status) > LIMIT {
        status.counts_left_out = true;
        status.parts_mut().for_each(|part| part.counts.clear());
    }
    if length_of(status) > LIMIT {
        for part in status.parts_mut() {
            for text in [&mut part.source, &mut part.cause] {
                text.truncate(text.floor_char_boundary(MAX_SHORT_TEXT_BYTES));
            }
        }
    }
}

/// Removes readings from a header of this length until it fits; returns how many. Stale ones go first. The others go evenly
/// from all ports.
fn leave_out(readings: &mut Vec<Reading>, length: usize) -> u64 {
    let size = |reading: &Reading| serde_json::to_vec(reading).map_or(0, |json| json.len() + 1);
    let sizes: Vec<usize> = readings.iter().map(size).collect();
    let others = (length + LEFT_OUT_BYTES).saturating_sub(sizes.iter().sum());
    let mut room = LIMIT.saturating_sub(others);
    let mut is_kept = vec![false; readings.len()];
    for index in in_order_of_importance(readings) {
        if sizes[index] <= room {
            room -= sizes[index];
            is_kept[index] = true;
        }
    }
    let before = readings.len();
    let mut is_kept = is_kept.into_iter();
    readings.retain(|_| is_kept.next().unwrap_or(false));
    (before - readings.len()) as u64
}

/// The indexes of the readings: current ones before stale ones, and one of each port in turn.
fn in_order_of_importance(readings: &[Reading]) -> Vec<usize> {
    let mut turns = BTreeMap::<(bool, &Name), usize>::new();
    let numbered = readings.iter().enumerate().map(|(index, reading)| {
        let turn = turns.entry((reading.stale, &reading.port)).or_default();
        *turn += 1;
        (reading.stale, *turn, index)
    });
    let mut order: Vec<_> = numbered.collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::PartStatus;

    fn reading(port: usize, number: usize, stale: bool) -> Reading {
        Reading {
            seq: number as u64,
            port: Name::nearest(&format!("p{port}")),
            quantity: format!("{}{number}", "\"".repeat(200)).into(),
            value: 0.1,
            unit: "°C".into(),
            captured_at_us: i64::MAX,
            age_ms: 1,
            stale_after_ms: 1,
            stale,
        }
    }

    fn part(number: usize, text: &str) -> PartStatus {
        PartStatus {
            name: Name::nearest(&format!("{number}-{}", "x".repeat(64))),
            source: text.to_owned(),
            up: true,
            cause: text.to_owned(),
            for_ms: 1,
            counts: (0..40).map(|count| (format!("a_counter_with_a_name_{count}").into(), u64::MAX)).collect(),
            settings: None,
        }
    }

    fn status(parts: usize, text: &str) -> Status {
        let name = Name::nearest("a");
        let all: Vec<_> = (0..parts).map(|number| part(number, text)).collect();
        Status {
            v: 1,
            agent: name.clone(),
            boot: name,
            cameras: all.clone(),
            ports: all.clone(),
            links: all,
            spool: None,
            machine: None,
            readings: (0..1280).map(|number| reading(number / 64, number, number % 64 < 8)).collect(),
            readings_left_out: 0,
            counts_left_out: false,
        }
    }

    fn fitted(status: Status) -> Status {
        let (json, left_out) = fitting_header(&Message::Status(status));
        assert!(json.len() <= LIMIT, "{} bytes", json.len());
        let status: Status = serde_json::from_slice(&json).expect("a status");
        assert_eq!((left_out, status.readings.len() as u64), (status.readings_left_out, 1280 - left_out));
        status
    }

    #[test]
    fn readings_go_first_and_evenly_from_all_ports() {
        let few = fitted(status(1, "x"));
        assert!(few.readings_left_out > 0 && few.readings_left_out < 1280 && !few.counts_left_out);
        assert!(few.readings.iter().all(|reading| !reading.stale), "stale ones go first");
        let of = |port: &Name| few.readings.iter().filter(|reading| reading.port == *port).count();
        let ports: BTreeSet<_> = few.readings.iter().map(|reading| reading.port.clone()).collect();
        let counts: BTreeSet<_> = ports.iter().map(of).collect();
        assert!(ports.len() == 20 && counts.iter().max().expect("ports") - counts.iter().min().expect("ports") <= 1);
    }

    #[test]
    fn parts_remain_whatever_their_size() {
        let many = fitted(status(64, "short"));
        assert!(many.counts_left_out && many.cameras.len() + many.ports.len() + many.links.len() == 192);
        assert!(many.cameras.iter().all(|camera| camera.cause == "short" && camera.counts.is_empty()));
        let long = fitted(status(64, &"é".repeat(2_000)));
        assert_eq!((long.links.len(), long.links[0].cause.len()), (64, MAX_SHORT_TEXT_BYTES));
    }
}
