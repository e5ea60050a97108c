//! Readings, and the state struct that all of an agent's parts share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::{Stamp, WallClock};
use crate::lock::lock;
use crate::name::Name;
use crate::quantity::Quantity;
use crate::ranges::SeqRange;

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

/// What a port said at one moment: all readings of the lines that were read together.
#[derive(Debug)]
pub struct Batch {
    /// As in [`Reading`].
    pub port: Name,
    /// As in [`Reading`].
    pub captured: Stamp,
    /// The wall clock was synchronised then.
    pub synchronised: bool,
    /// As in [`Reading`].
    pub stale_after: Duration,
    /// The number of the first; the others' count on.
    pub seq: u64,
    /// What was measured, in the quantities' units: at least one, at most [`MOST_VALUES`].
    pub values: Box<[(Arc<Quantity>, f64)]>,
}

impl Batch {
    /// The number of the last.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq + self.values.len() as u64 - 1
    }

    /// The numbers of its readings.
    #[must_use]
    pub fn seqs(&self) -> SeqRange {
        SeqRange::new(self.seq, self.last_seq())
    }
}

/// Readings of one batch at most.
pub const MOST_VALUES: usize = 128;

/// Batches that a slow follower may be behind before it loses the oldest.
const FEED: usize = 4096;

/// Quantities of one port that are current at once: garbled labels must not fill memory.
const MOST_QUANTITIES: usize = 64;

/// The newest reading of every quantity of every port, and the feed of all readings.
#[derive(Debug)]
pub struct State {
    /// What readings are dated by.
    pub clock: WallClock,
    current: Mutex<Current>,
    feed: broadcast::Sender<Arc<Batch>>,
}

#[derive(Debug, Default)]
struct Current {
    last_seq: u64,
    ports: BTreeMap<Name, Port>,
}

/// The newest of each quantity, by its name.
type Port = BTreeMap<Arc<str>, Newest>;

#[derive(Debug)]
struct Newest {
    seq: u64,
    quantity: Arc<Quantity>,
    value: f64,
    captured: Stamp,
    stale_after: Duration,
    /// It came in more than one line.
    confirmed: bool,
}

impl Newest {
    fn is_known(&self) -> bool {
        self.confirmed || self.quantity.listed
    }

    /// What came once and never again under a label that nobody knows was a garbled label.
    fn is_believed(&self) -> bool {
        self.is_known() || self.captured.age() <= self.stale_after
    }

    fn reading(&self, port: &Name) -> Reading {
        Reading {
            seq: self.seq,
            port: port.clone(),
            quantity: Arc::clone(&self.quantity),
            value: self.value,
            captured: self.captured,
            stale_after: self.stale_after,
        }
    }
}

impl Default for State {
    fn default() -> State {
        State { clock: WallClock::default(), current: Mutex::default(), feed: broadcast::Sender::new(FEED) }
    }
}

impl State {
    /// Takes all of what lines that came together said, and passes it to all followers, in batches.
    pub fn record(&self, port: &Name, stale_after: Duration, captured: Stamp, values: &mut Vec<(Arc<Quantity>, f64)>) {
        let synchronised = self.clock.is_synchronised();
        let mut values = values.drain(..).peekable();
        while values.peek().is_some() {
            let values: Box<[_]> = values.by_ref().take(MOST_VALUES).collect();
            let mut current = lock(&self.current);
            let seq = current.last_seq + 1;
            current.last_seq += values.len() as u64;
            let batch = Batch { port: port.clone(), captured, synchronised, stale_after, seq, values };
            current.renew(&batch);
            // Sent under the lock, so that followers see the readings in the order of their numbers. Nobody following
            // is no error.
            let _ = self.feed.send(Arc::new(batch));
        }
    }

    /// The newest reading of every quantity, by port and name; stale ones too, which say that they are.
    #[must_use]
    pub fn current(&self) -> Vec<Reading> {
        let current = lock(&self.current);
        let newest = current.ports.iter().flat_map(|(port, newest)| newest.values().map(move |newest| (port, newest)));
        newest.filter(|(_, newest)| newest.is_believed()).map(|(port, newest)| newest.reading(port)).collect()
    }

    /// Forgets what a port said: there is no such port any more, or it says other things.
    pub fn forget(&self, port: &Name) {
        lock(&self.current).ports.remove(port);
    }

    /// Every reading from now on, and the number of the last before.
    #[must_use]
    pub fn follow(&self) -> (broadcast::Receiver<Arc<Batch>>, u64) {
        let current = lock(&self.current);
        (self.feed.subscribe(), current.last_seq)
    }
}

impl Current {
    fn renew(&mut self, batch: &Batch) {
        let Batch { captured, stale_after, .. } = *batch;
        if !self.ports.contains_key(&batch.port) {
            self.ports.insert(batch.port.clone(), Port::new());
        }
        let Some(port) = self.ports.get_mut(&batch.port) else { return };
        for (seq, (quantity, value)) in (batch.seq..).zip(&batch.values) {
            let confirmed = port.contains_key(&quantity.name);
            let quantity = Arc::clone(quantity);
            let newest = Newest { seq, quantity, value: *value, captured, stale_after, confirmed };
            port.insert(Arc::clone(&newest.quantity.name), newest);
            if !confirmed {
                make_room(port);
            }
        }
    }
}

/// Drops the quantity that was not told of for the longest time, when the port has too many; first of those that may be
/// garbled.
fn make_room(port: &mut Port) {
    if port.len() > MOST_QUANTITIES
        && let Some((oldest, _)) = port.iter().min_by_key(|(_, newest)| (newest.is_known(), newest.seq))
    {
        let oldest = Arc::clone(oldest);
        port.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbled_labels_do_not_evict_known_quantities() {
        let (state, port) = (State::default(), Name::nearest("gas"));
        let say = |name: &str, listed: bool| {
            let quantity = Quantity { name: name.into(), unit: "".into(), listed };
            state.record(&port, Duration::from_secs(10), Stamp::now(), &mut vec![(Arc::new(quantity), 1.0)]);
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
