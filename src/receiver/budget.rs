//! One bound in bytes for what agents put into memory: on the wall, in the recorder, and in queues.
//!
//! Each picture is accounted to its agent while anything holds it, because its account is part of its [`Bytes`]. When the
//! bound is reached, the agent with the largest share loses its oldest pictures on the wall. The recorder and viewers
//! keep pictures from being freed, so they have smaller pools of their own. In those, one agent may use at most as much
//! as it leaves free, and nothing has to be removed to make room for another agent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tracing::info;

use super::machine_memory;
use super::quotas::{Quota, Quotas};
use crate::config;
use crate::host::Roots;
use crate::lock::lock;
use crate::name::Name;

/// The limit if the system does not report its memory.
const UNKNOWN_MACHINE_BYTES: u64 = 512_000_000;

/// The part of the limit (1/4) that the recorder's pictures may use, and the most that it needs: with a slow disk, more
/// would only be lost later.
const RECORDER_DIVISOR: u64 = 4;
const MAX_RECORDER_BYTES: u64 = 64 * 1024 * 1024;

/// The parts of the limit (1/8 each) for what is being sent to viewers, and for readings and statuses.
const OUTGOING_DIVISOR: u64 = 8;
const TEXTS_DIVISOR: u64 = 8;

/// Limit on readings that wait for the history's disk. A disk that is slower than that for long would only add delay.
const HISTORY_QUEUE_BYTES: u64 = 8 * 1024 * 1024;

/// Assumed memory for the header of a picture or a message of readings, and its places in lists.
const OVERHEAD: usize = 1024;

/// Limit on messages that wait for the history's disk: the overhead alone of more fills the queue.
pub const MAX_QUEUED_READINGS: usize = HISTORY_QUEUE_BYTES as usize / OVERHEAD;

/// The bound and its parts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    /// All received pictures.
    pub pictures: Pool,
    /// Those of the pictures that the recorder holds until they are written.
    pub recorder: Pool,
    /// Copies of pictures for viewers, and lines for standard output.
    pub outgoing: Pool,
    /// Readings and statuses on the wall.
    pub texts: Pool,
    /// Readings that wait for the history's disk.
    pub history_queue: Pool,
    quotas: Quotas,
}

impl Budget {
    /// The bound of the configuration, or half of the memory that this process may use.
    #[must_use]
    pub fn new(configured: Option<config::Bytes>, quotas: Quotas) -> Budget {
        let machine = machine_memory::available(&Roots::default()).unwrap_or(UNKNOWN_MACHINE_BYTES);
        let limit = configured.map_or(machine / 2, |bytes| bytes.0);
        info!("memory: at most {} for pictures and queues", config::Bytes(limit));
        let (outgoing, texts) = (limit / OUTGOING_DIVISOR, limit / TEXTS_DIVISOR);
        let budget = Budget {
            limit,
            pictures: Pool::new(limit.saturating_sub(outgoing + texts + HISTORY_QUEUE_BYTES)),
            recorder: Pool::new((limit / RECORDER_DIVISOR).min(MAX_RECORDER_BYTES)),
            outgoing: Pool::new(outgoing),
            texts: Pool::new(texts),
            history_queue: Pool::new(HISTORY_QUEUE_BYTES),
            quotas,
        };
        budget.report();
        budget
    }

    /// Reports how much is in use.
    pub fn report(&self) {
        let pools = [&self.pictures, &self.outgoing, &self.texts, &self.history_queue];
        self.quotas.set(Quota::MemoryBytes, pools.map(Pool::used).iter().sum(), self.limit);
        self.quotas.set(Quota::HistoryQueueBytes, self.history_queue.used(), self.history_queue.limit);
    }

    /// Reports that an agent's picture was removed or refused.
    pub fn refuse(&self, agent: &Name) {
        self.quotas.refuse(Quota::MemoryBytes, 1, agent);
    }
}

/// Bytes that agents share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    limit: u64,
    used: Arc<Mutex<Used>>,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    by_agent: HashMap<Name, u64>,
}

/// Bytes taken from a pool; returned when dropped.
#[derive(Debug)]
pub struct Share {
    pool: Pool,
    agent: Name,
    bytes: u64,
}

impl Pool {
    /// An empty pool of this size.
    #[must_use]
    pub fn new(limit: u64) -> Pool {
        Pool { limit, used: Arc::default() }
    }

    /// Takes bytes for a picture of this length, as long as there are any.
    #[must_use]
    pub fn take(&self, agent: &Name, length: usize) -> Option<Share> {
        self.take_if(agent, length, |_, free| free)
    }

    /// Takes bytes for something of this length if at least as many stay free as the agent already uses.
    #[must_use]
    pub fn take_fairly(&self, agent: &Name, length: usize) -> Option<Share> {
        self.take_if(agent, length, |own, free| free.saturating_sub(own))
    }

    /// Takes bytes if they do not exceed what `most` returns for the agent's share and the free bytes.
    fn take_if(&self, agent: &Name, length: usize, most: impl Fn(u64, u64) -> u64) -> Option<Share> {
        let bytes = (length + OVERHEAD) as u64;
        let mut used = lock(&self.used);
        let own = used.by_agent.get(agent).copied().unwrap_or(0);
        if bytes > most(own, self.limit.saturating_sub(used.total)) {
            return None;
        }
        used.total += bytes;
        used.by_agent.insert(agent.clone(), own + bytes);
        Some(Share { pool: self.clone(), agent: agent.clone(), bytes })
    }

    /// The agents from the largest share to the smallest, as if this one had a further picture of this length.
    #[must_use]
    pub fn largest_first(&self, newcomer: &Name, length: usize) -> Vec<Name> {
        let mut shares = lock(&self.used).by_agent.clone();
        *shares.entry(newcomer.clone()).or_default() += length as u64;
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_unstable_by(|(name, bytes), (other, others)| others.cmp(bytes).then_with(|| name.cmp(other)));
        shares.into_iter().map(|(name, _)| name).collect()
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        lock(&self.used).total
    }

    /// Whether more than this part of it (one n-th) is in use.
    #[must_use]
    pub fn is_filled_to(&self, n_th: u64) -> bool {
        self.used() > self.limit / n_th
    }
}

impl Share {
    /// Attaches the account to a picture: the bytes return to the pool when nothing holds the picture any more.
    #[must_use]
    pub fn attached_to(self, picture: Bytes) -> Bytes {
        Bytes::from_owner(Accounted { picture, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = lock(&self.pool.used);
        used.total -= self.bytes;
        let own = used.by_agent.get(&self.agent).copied().unwrap_or(0).saturating_sub(self.bytes);
        if own == 0 {
            used.by_agent.remove(&self.agent);
        } else {
            used.by_agent.insert(self.agent.clone(), own);
        }
    }
}

struct Accounted {
    picture: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Accounted {
    fn as_ref(&self) -> &[u8] {
        &self.picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::nearest(text)
    }

    #[test]
    fn bytes_return_when_the_last_holder_drops_the_picture() {
        let pool = Pool::new(10_000);
        let share = pool.take(&name("shed"), 5_000).expect("room");
        let picture = share.attached_to(Bytes::from_static(b"picture"));
        assert!(pool.take(&name("yard"), 5_000).is_none());
        let (viewers, cluster) = (picture.clone(), picture.slice(2..));
        drop((picture, viewers));
        assert_eq!(pool.used(), 5_000 + OVERHEAD as u64);
        drop(cluster);
        assert_eq!(pool.used(), 0);
        assert!(pool.take(&name("yard"), 5_000).is_some());
        assert!(lock(&pool.used).by_agent.is_empty());
    }

    #[test]
    fn largest_share_comes_first_with_the_newcomers_picture_in_it() {
        let pool = Pool::new(100_000);
        let shares = [("big", 30_000), ("small", 1_000), ("medium", 20_000), ("medium", 9_000)];
        let _held = shares.map(|(agent, length)| pool.take(&name(agent), length).expect("room"));
        assert_eq!(pool.largest_first(&name("new"), 5_000), ["medium", "big", "new", "small"].map(name));
        assert_eq!(pool.largest_first(&name("small"), 40_000)[0], name("small"));
    }

    #[test]
    fn fair_pool_always_has_room_for_one_more_agent() {
        let pool = Pool::new(100 * (1_000 + OVERHEAD as u64));
        let mut held = Vec::new();
        for agent in ["flood 1", "flood 2", "flood 3"] {
            while let Some(share) = pool.take_fairly(&name(agent), 1_000) {
                held.push(share);
            }
        }
        // Half of the pool, half of the rest, and so on.
        assert_eq!(held.len(), 50 + 25 + 13);
        let good: Vec<_> = std::iter::from_fn(|| pool.take_fairly(&name("good"), 1_000)).collect();
        assert_eq!(good.len(), 6);
    }
}
