//! Message counts of each link, for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::lock;
use crate::wire::{Malformed, Message};

/// One link's counts, shared by its task and the page. Cheap to clone.
#[derive(Clone)]
pub struct LinkStats {
    /// Its address, as in the log.
    pub address: Arc<str>,
    counts: Arc<Mutex<Counts>>,
}

/// Counts since the start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages by type.
    pub messages: BTreeMap<&'static str, u64>,
    /// Malformed messages, by cause.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Whether the link is closed and waits to be reopened.
    pub closed: bool,
}

impl LinkStats {
    /// Counts for a link that is open.
    #[must_use]
    pub fn of(address: &str) -> LinkStats {
        LinkStats { address: address.into(), counts: Arc::default() }
    }

    /// The current counts.
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
