//! Readings, and the state struct that all of an agent's parts share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Stamp;
use crate::name::Name;
use crate::quantity::Quantity;

/// One quantity, its value, and when and where it was measured.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Counts an agent's readings from 1 since its start, without gaps.
    pub seq: u64,
    /// The port it came from.
    pub port: Name,
    /// What was measured.
    pub quantity: Arc<Quantity>,
    /// In the quantity's unit.
    pub value: f64,
    /// When its line was complete.
    pub captured: Stamp,
    /// The age from which it is no longer a current value.
    pub stale_after: Duration,
}

impl Reading {
    /// Whether it is too old to be shown as a current value.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.captured.age() > self.stale_after
    }
}

/// Readings of one batch at most.
pub const BATCH: usize = 128;

/// Batches of readings that a slow follower may be behind before it loses the oldest.
const FEED: usize = 4096;

/// Quantities of one port that are current at once: garbled labels must not fill memory.
const MOST_QUANTITIES: usize = 64;

/// The newest reading of every quantity of every port, and the feed of all readings.
#[derive(Debug)]
pub struct State {
    current: Mutex<Current>,
    feed: broadcast::Sender<Arc<[Reading]>>,
}

#[derive(Debug, Default)]
struct Current {
    last_seq: u64,
    /// By port and name.
    newest: BTreeMap<(Name, Arc<str>), Newest>,
}

#[derive(Debug)]
struct Newest {
    reading: Reading,
    /// It came in more than one line.
    confirmed: bool,
}

impl Newest {
    fn is_known(&self) -> bool {
        self.confirmed || self.reading.quantity.listed
    }

    /// What came once and never again under a label that nobody knows was a garbled label.
    fn is_believed(&self) -> bool {
        self.is_known() || !self.reading.is_stale()
    }
}

impl Default for State {
    fn default() -> State {
        State { current: Mutex::default(), feed: broadcast::Sender::new(FEED) }
    }
}

impl State {
    /// Takes what lines that came together said, and passes it to all followers, in batches.
    pub fn record(&self, port: &Name, stale_after: Duration, captured: Stamp, values: &[(Arc<Quantity>, f64)]) {
        values.chunks(BATCH).for_each(|values| self.record_batch(port, stale_after, captured, values));
    }

    fn record_batch(&self, port: &Name, stale_after: Duration, captured: Stamp, values: &[(Arc<Quantity>, f64)]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let first = current.last_seq + 1;
        current.last_seq += values.len() as u64;
        let batch: Arc<[Reading]> = (first..)
            .zip(values)
            .map(|(seq, (quantity, value))| Reading {
                seq,
                port: port.clone(),
                quantity: Arc::clone(quantity),
                value: *value,
                captured,
                stale_after,
            })
            .collect();
        batch.iter().for_each(|reading| current.renew(reading));
        // Sent under the lock, so that followers see the readings in the order of their numbers. Nobody following
        // is no error.
        let _ = self.feed.send(batch);
    }

    /// The newest reading of every quantity, by port and name; stale ones too, which say that they are.
    #[must_use]
    pub fn current(&self) -> Vec<Reading> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.newest.values().filter(|newest| newest.is_believed()).map(|newest| newest.reading.clone()).collect()
    }

    /// Every reading from now on; those that came together are together, up to [`BATCH`].
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<[Reading]>> {
        self.feed.subscribe()
    }
}

impl Current {
    fn renew(&mut self, reading: &Reading) {
        match self.newest.entry((reading.port.clone(), Arc::clone(&reading.quantity.name))) {
            Entry::Occupied(mut known) => {
                let newest = known.get_mut();
                newest.confirmed = true;
                newest.reading.clone_from(reading);
            }
            Entry::Vacant(new) => {
                new.insert(Newest { reading: reading.clone(), confirmed: false });
                self.make_room(&reading.port);
            }
        }
    }

    /// Drops the quantity that was not told of for the longest time, when the port has too many; first of those that may
    /// be garbled.
    fn make_room(&mut self, port: &Name) {
        let of_port = || self.newest.iter().filter(|((of, _), _)| of == port);
        if of_port().count() > MOST_QUANTITIES
            && let Some((oldest, _)) = of_port().min_by_key(|(_, newest)| (newest.is_known(), newest.reading.seq))
        {
            let oldest = oldest.clone();
            self.newest.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbled_labels_push_no_known_quantity_out() {
        let (state, port) = (State::default(), Name::nearest("gas"));
        let say = |name: &str, listed: bool| {
            let quantity = Quantity { name: name.into(), unit: "".into(), listed };
            state.record(&port, Duration::from_secs(10), Stamp::now(), &[(Arc::new(quantity), 1.0)]);
        };
        say("mq9", true);
        say("soil", false);
        say("soil", false);
        (0..200).for_each(|number| say(&format!("x{number}"), false));
        let names: Vec<_> = state.current().iter().map(|reading| reading.quantity.name.to_string()).collect();
        assert_eq!(names.len(), MOST_QUANTITIES);
        assert!(["mq9", "soil", "x199"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    }
}
