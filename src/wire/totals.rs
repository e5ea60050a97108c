//! Totals of frames and readings that were sent or received.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Message;
use crate::name::Name;

/// Counts frames by camera and readings by quantity, on either end of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames of each camera.
    pub frames: BTreeMap<Name, u64>,
    /// Readings of each quantity.
    pub readings: BTreeMap<Arc<str>, u64>,
}

impl Totals {
    /// Counts the contents of a message.
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

    /// Adds other totals.
    pub fn merge(&mut self, other: Totals) {
        for (camera, frames) in other.frames {
            *self.frames.entry(camera).or_default() += frames;
        }
        for (quantity, readings) in other.readings {
            *self.readings.entry(quantity).or_default() += readings;
        }
    }
}

/// Limit of counted names, because names from a network must not fill memory.
const MAX_NAMES: usize = 1024;

fn count<K: Clone + Ord>(counts: &mut BTreeMap<K, u64>, name: &K) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < MAX_NAMES {
        counts.insert(name.clone(), 1);
    }
}
