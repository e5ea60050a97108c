//! Agents whose messages the receiver refuses because of their name: another agent has it, or their key does not permit
//! it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::name::Name;

/// Limit on the entries; names from the network must not fill memory.
const MAX_ENTRIES: usize = 64;

/// An entry counts as current for this long after its last message.
const CURRENT_FOR: Duration = Duration::from_secs(30);

/// A peer that used a name it may not use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedAgent {
    /// The name that it used.
    pub agent: Name,
    /// The refused peer: its address, and its key if it has one.
    pub peer: String,
    /// The other side: the peer that has the name, or the names that the key permits.
    pub other: String,
    /// Identifies the cause for metrics: `name_in_use`, `name_not_permitted`, `too_many_cameras` or `second_name`.
    pub cause: &'static str,
    /// The reason and the remedy, in one sentence.
    pub text: String,
}

/// How often and when a peer was refused.
#[derive(Clone, Copy, Debug)]
pub struct Refusals {
    /// Number of refused messages.
    pub count: u64,
    /// When the first one arrived.
    pub first: Instant,
    /// When the last one arrived.
    pub last: Instant,
}

/// All refused agents. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RefusedAgents(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    peers: BTreeMap<RefusedAgent, Refusals>,
    by_cause: BTreeMap<&'static str, u64>,
}

impl RefusedAgents {
    /// Counts refused messages of a peer.
    pub fn add(&self, refused: RefusedAgent, times: u64) {
        let now = Instant::now();
        let mut entries = self.lock();
        *entries.by_cause.entry(refused.cause).or_default() += times;
        if let Some(refusals) = entries.peers.get_mut(&refused) {
            refusals.count += times;
            refusals.last = now;
            return;
        }
        if entries.peers.len() == MAX_ENTRIES {
            let oldest = entries.peers.iter().min_by_key(|(_, refusals)| refusals.last).map(|(peer, _)| peer.clone());
            oldest.map(|oldest| entries.peers.remove(&oldest));
        }
        entries.peers.insert(refused, Refusals { count: times, first: now, last: now });
    }

    /// Returns the agents that are being refused now.
    #[must_use]
    pub fn current(&self) -> Vec<(RefusedAgent, Refusals)> {
        let entries = self.lock();
        let current = entries.peers.iter().filter(|(_, refusals)| refusals.last.elapsed() < CURRENT_FOR);
        current.map(|(refused, refusals)| (refused.clone(), *refusals)).collect()
    }

    /// Returns the number of refused messages since the start, by cause.
    #[must_use]
    pub fn by_cause(&self) -> BTreeMap<&'static str, u64> {
        self.lock().by_cause.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }
}
