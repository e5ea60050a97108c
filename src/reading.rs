//! Readings, and the state struct that all of an agent's parts share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Stamp;
use crate::name::Name;

/// What is measured, and in which unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// Its name in headers, in the configuration and on the page.
    pub name: Cow<'static, str>,
    /// Its unit; empty for raw counts.
    pub unit: Cow<'static, str>,
}

impl Quantity {
    /// Degrees Celsius.
    pub const TEMPERATURE: Quantity = Quantity::known("temperature", "°C");
    /// Percent relative humidity.
    pub const HUMIDITY: Quantity = Quantity::known("humidity", "%RH");
    /// An MQ-2 gas and smoke sensor's raw count.
    pub const MQ2: Quantity = Quantity::known("mq2", "");
    /// An MQ-9 carbon monoxide and flammable gas sensor's raw count.
    pub const MQ9: Quantity = Quantity::known("mq9", "");
    /// A light sensor's raw count.
    pub const LIGHT: Quantity = Quantity::known("light", "");

    const fn known(name: &'static str, unit: &'static str) -> Quantity {
        Quantity { name: Cow::Borrowed(name), unit: Cow::Borrowed(unit) }
    }
}

/// One quantity, its value, and when and where it was measured.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Counts an agent's readings from 1 since its start, without gaps.
    pub seq: u64,
    /// The port it came from.
    pub port: Name,
    /// What was measured.
    pub quantity: Quantity,
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

/// Batches of readings that a slow follower may be behind before it loses the oldest.
const FEED: usize = 4096;

/// The newest reading of every quantity of every port, and the feed of all readings.
#[derive(Debug)]
pub struct State {
    current: Mutex<Current>,
    feed: broadcast::Sender<Arc<[Reading]>>,
}

#[derive(Debug, Default)]
struct Current {
    last_seq: u64,
    readings: BTreeMap<(Name, Cow<'static, str>), Reading>,
}

impl Default for State {
    fn default() -> State {
        State { current: Mutex::default(), feed: broadcast::Sender::new(FEED) }
    }
}

impl State {
    /// Takes what one line said, and passes it to all followers.
    pub fn record(&self, port: &Name, stale_after: Duration, captured: Stamp, values: &[(Quantity, f64)]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let first = current.last_seq + 1;
        current.last_seq += values.len() as u64;
        let batch: Arc<[Reading]> = (first..)
            .zip(values)
            .map(|(seq, (quantity, value))| Reading {
                seq,
                port: port.clone(),
                quantity: quantity.clone(),
                value: *value,
                captured,
                stale_after,
            })
            .collect();
        for reading in batch.iter() {
            current.readings.insert((port.clone(), reading.quantity.name.clone()), reading.clone());
        }
        // Sent under the lock, so that followers see the readings in the order of their numbers. Nobody following
        // is no error.
        let _ = self.feed.send(batch);
    }

    /// The newest reading of every quantity, by port and name.
    #[must_use]
    pub fn current(&self) -> Vec<Reading> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.readings.values().cloned().collect()
    }

    /// Every reading from now on, a line's together.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<[Reading]>> {
        self.feed.subscribe()
    }
}
