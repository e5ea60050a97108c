//! What came over each link, counted for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::lock;
use crate::wire::{Malformed, Message};

/// One link's counts, which its task and the page share. Cheap to clone.
#[derive(Clone)]
pub struct LinkStats {
    /// As it is called in the log.
    pub address: Arc<str>,
    counts: Arc<Mutex<Counts>>,
}

/// Since the start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages by their type.
    pub messages: BTreeMap<&'static str, u64>,
    /// What was no message, by what is wrong with it.
    pub malformed: BTreeMap<&'static str, u64>,
    /// The socket is gone, and a new one is not to be had yet.
    pub closed: bool,
}

impl LinkStats {
    /// Of a link that is open.
    #[must_use]
    pub fn of(address: &str) -> LinkStats {
        LinkStats { address: address.into(), counts: Arc::default() }
    }

    /// How they are now.
    #[must_use]
    pub fn now(&self) -> Counts {
        self.lock().clone()
    }

    pub(super) fn message(&self, message: &Message) {
        let kind = match message {
            Message::Frame(..) => "frame",
            Message::Readings(_) => "readings",
            Message::Status(_) => "status",
        };
        *self.lock().messages.entry(kind).or_default() += 1;
    }

    pub(super) fn malformed(&self, malformed: &Malformed) {
        *self.lock().malformed.entry(malformed.part()).or_default() += 1;
    }

    pub(super) fn closed(&self, closed: bool) {
        self.lock().closed = closed;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}
