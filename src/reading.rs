//! Readings, and the state that all parts of an agent share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::{Stamp, WallClock};
use crate::lock::lock;
use crate::name::Name;
use crate::quantity::Quantity;
use crate::ranges::SeqRange;

/// One value of a quantity, with the time and port of the measurement.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The reading's number, from 1 at the agent's start, without gaps.
    pub seq: u64,
    /// The port that it was read from.
    pub port: Name,
    /// The measured quantity.
    pub quantity: Arc<Quantity>,
    /// The value in the quantity's unit.
    pub value: f64,
    /// When its line was complete.
    pub captured: Stamp,
    /// Age at which the reading is no longer current.
    pub stale_after: Duration,
}

/// All readings that a port delivered at one moment, from one or more lines.
#[derive(Debug)]
pub struct Batch {
    /// As in [`Reading`].
    pub port: Name,
    /// As in [`Reading`].
    pub captured: Stamp,
    /// Whether the wall clock was synchronised at that time.
    pub synchronised: bool,
    /// As in [`Reading`].
    pub stale_after: Duration,
    /// The number of the first reading; the others follow without gaps.
    pub seq: u64,
    /// The quantities and their values: at least one, at most [`MAX_BATCH_VALUES`].
    pub values: Box<[(Arc<Quantity>, f64)]>,
}

impl Batch {
    /// The number of the last reading.
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

/// Maximum number of readings in a batch.
pub const MAX_BATCH_VALUES: usize = 128;

/// Number of batches that a slow follower may lag behind before it loses the oldest.
pub const FEED_CAPACITY: usize = 4096;

/// Maximum number of current quantities per port. Bounds the memory that garbled labels can take.
pub const MAX_QUANTITIES: usize = 64;

/// The newest reading of every quantity of every port, and the feed of all readings.
#[derive(Debug)]
pub struct State {
    /// The clock that dates readings.
    pub clock: WallClock,
    current: Mutex<Current>,
    feed: broadcast::Sender<Arc<Batch>>,
}

#[derive(Debug, Default)]
struct Current {
    last_seq: u64,
    ports: BTreeMap<Name, Port>,
}

/// The newest reading of each quantity, by name.
type Port = BTreeMap<Arc<str>, Newest>;

#[derive(Debug)]
struct Newest {
    seq: u64,
    quantity: Arc<Quantity>,
    value: f64,
    captured: Stamp,
    stale_after: Duration,
    /// Whether more than one line had it.
    confirmed: bool,
}

impl Newest {
    fn is_known(&self) -> bool {
        self.confirmed || self.quantity.listed
    }

    /// An unknown quantity that only one line had was a garbled label, and disappears when it is stale.
    fn is_shown(&self) -> bool {
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
        State { clock: WallClock::default(), current: Mutex::default(), feed: broadcast::Sender::new(FEED_CAPACITY) }
    }
}

impl State {
    /// Records the values that were read together and sends them to all followers, in batches.
    pub fn record(&self, port: &Name, stale_after: Duration, captured: Stamp, values: &mut Vec<(Arc<Quantity>, f64)>) {
        let synchronised = self.clock.is_synchronised();
        let mut values = values.drain(..).peekable();
        while values.peek().is_some() {
            let values: Box<[_]> = values.by_ref().take(MAX_BATCH_VALUES).collect();
            let mut current = lock(&self.current);
            let seq = current.last_seq + 1;
            current.last_seq += values.len() as u64;
            let batch = Batch { port: port.clone(), captured, synchronised, stale_after, seq, values };
            current.update(&batch);
            // Send under the lock, so that followers see readings in the order of their numbers. No followers is not an
            // error.
            let _ = self.feed.send(Arc::new(batch));
        }
    }

    /// The newest reading of every quantity, by port and name, including stale ones.
    #[must_use]
    pub fn current(&self) -> Vec<Reading> {
        let current = lock(&self.current);
        let newest = current.ports.iter().flat_map(|(port, newest)| newest.values().map(move |newest| (port, newest)));
        newest.filter(|(_, newest)| newest.is_shown()).map(|(port, newest)| newest.reading(port)).collect()
    }

    /// Removes the readings of a port that was removed or changed.
    pub fn clear_port(&self, port: &Name) {
        lock(&self.current).ports.remove(port);
    }

    /// All readings from now on, and the number of the last one before.
    #[must_use]
    pub fn follow(&self) -> (broadcast::Receiver<Arc<Batch>>, u64) {
        let current = lock(&self.current);
        (self.feed.subscribe(), current.last_seq)
    }
}

impl Current {
    fn update(&mut self, batch: &Batch) {
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
                make_room(port, seq);
            }
        }
    }
}

/// A quantity that was not measured for this long gives up its place if the port has too many.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// If the port has too many quantities, drops the one not updated for the longest time. Possibly garbled ones go first. The
/// `newest` one is garbled, too, unless one that ended long ago can make room for it: without that, a board with new
/// firmware would never show its new labels.
fn make_room(port: &mut Port, newest: u64) {
    let rank = |quantity: &Newest| match () {
        () if !quantity.is_known() && quantity.seq != newest => 0,
        () if quantity.captured.age() > FORGET_AFTER.max(quantity.stale_after) => 1,
        () if !quantity.is_known() => 2,
        () => 3,
    };
    if port.len() > MAX_QUANTITIES
        && let Some((oldest, _)) = port.iter().min_by_key(|(_, quantity)| (rank(quantity), quantity.seq))
    {
        let oldest = Arc::clone(oldest);
        port.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbled_labels_do_not_displace_known_quantities() {
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
        assert_eq!(names.len(), MAX_QUANTITIES);
        assert!(["mq9", "soil", "x199"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    }

    #[test]
    fn new_quantities_displace_those_that_ended_long_ago() {
        let (state, port) = (State::default(), Name::nearest("gas"));
        let say = |name: String, captured: Stamp| {
            let quantity = Quantity { name: name.into(), unit: "".into(), listed: false };
            state.record(&port, Duration::from_secs(10), captured, &mut vec![(Arc::new(quantity), 1.0)]);
        };
        let shows = |name: &str| state.current().iter().any(|reading| &*reading.quantity.name == name);
        for number in 0..2 * MAX_QUANTITIES {
            say(format!("old{}", number % MAX_QUANTITIES), Stamp::ago(2 * FORGET_AFTER));
        }
        (0..2).for_each(|_| say("new".to_owned(), Stamp::now()));
        assert!(shows("new") && !shows("old0") && shows("old1"));
    }
}
