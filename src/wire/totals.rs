//! How much went over a link, or came.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Message;
use crate::name::Name;

/// Counts frames by camera and readings by quantity, on either side of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames of each camera.
    pub frames: BTreeMap<Name, u64>,
    /// Readings of each quantity.
    pub readings: BTreeMap<Arc<str>, u64>,
}

impl Totals {
    /// Counts what is in a message.
    pub fn add(&mut self, message: &Message) {
        match message {
            Message::Frame(header, _) if header.no_signal.is_some() => {}
            Message::Frame(header, _) => count(&mut self.frames, &header.camera),
            Message::Readings(readings) => {
                let values = readings.batches.iter().flat_map(|batch| &batch.values);
                values.for_each(|value| count(&mut self.readings, &value.quantity));
            }
            Message::Status(_) => {}
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: Totals) {
        for (camera, frames) in other.frames {
            *self.frames.entry(camera).or_default() += frames;
        }
        for (quantity, readings) in other.readings {
            *self.readings.entry(quantity).or_default() += readings;
        }
    }
}

/// Names that are counted: what comes from a network must not fill memory.
const MOST_COUNTED: usize = 1024;

fn count<K: Clone + Ord>(counts: &mut BTreeMap<K, u64>, name: &K) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < MOST_COUNTED {
        counts.insert(name.clone(), 1);
    }
}
