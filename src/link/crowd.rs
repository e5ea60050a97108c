//! Which connections a link closes when it has too many: those of the address that has the most.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit};
use tokio::time::{Duration, Instant};

use super::options::HANDSHAKE_TIMEOUT_MS;

/// Limit on the connections of one link: twice as many agents as a receiver is made for. Half of them may be silent and
/// occupy 14 KiB each.
const MAX_CONNECTIONS: usize = 2048;

/// While one address floods a link, this part of the limit is freed at once, so that descriptors do not run out before the
/// link's next turn.
const FREED_PART: usize = 4;

/// An address may have this many connections that have sent no message yet, even if others have fewer.
const NEWCOMERS: usize = 8;

/// libzmq has closed a connection after this time unless its handshake succeeded.
const HANDSHAKE_END: Duration = Duration::from_millis(HANDSHAKE_TIMEOUT_MS as u64 + 1_000);

/// Open links, and the connections of all of them.
static LINKS: AtomicUsize = AtomicUsize::new(0);
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// The number of connections of a link. Adds it to that of all links.
#[derive(Debug)]
pub(super) struct Crowd(usize);

impl Crowd {
    pub(super) fn new() -> Crowd {
        LINKS.fetch_add(1, Ordering::Relaxed);
        Crowd(0)
    }

    pub(super) fn set(&mut self, connections: usize) {
        CONNECTIONS.fetch_add(connections, Ordering::Relaxed);
        CONNECTIONS.fetch_sub(std::mem::replace(&mut self.0, connections), Ordering::Relaxed);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.set(0);
        LINKS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the limit on one link's connections: all links together use at most half of the process's descriptors.
pub(super) fn limit() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let links = LINKS.load(Ordering::Relaxed).max(1);
    (usize::try_from(descriptors).unwrap_or(usize::MAX) / 2 / links).min(MAX_CONNECTIONS)
}

/// Returns the connections of all links, and their limit.
pub(super) fn usage() -> (usize, usize) {
    (CONNECTIONS.load(Ordering::Relaxed), limit() * LINKS.load(Ordering::Relaxed))
}

/// Since when a connection exists, and when its last message was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub opened_at: Instant,
    pub heard_at: Option<Instant>,
}

/// The connections of one address, those to close first in front.
#[derive(Default)]
struct Group {
    /// Probably before the end of their handshake.
    pending: VecDeque<u32>,
    /// After it, without a message.
    silent: VecDeque<u32>,
    heard: VecDeque<u32>,
}

impl Group {
    fn unheard(&self) -> usize {
        self.pending.len() + self.silent.len()
    }

    fn next(&mut self) -> Option<u32> {
        let queue = if self.pending.len() > NEWCOMERS { &mut self.pending } else { &mut self.silent };
        queue.pop_front().or_else(|| self.heard.pop_front()).or_else(|| self.pending.pop_front())
    }
}

/// Returns connections to close, each with its address (`None` is this machine), so that at most `limit` of all connections
/// of a link remain.
pub(super) fn dispensable(
    connections: impl Iterator<Item = (u32, Option<IpAddr>, Age)>,
    limit: usize,
    now: Instant,
) -> Vec<(u32, Option<IpAddr>)> {
    let mut all: Vec<_> = connections.collect();
    let excess = all.len().saturating_sub(limit);
    all.sort_by_key(|(_, _, age)| age.heard_at.unwrap_or(age.opened_at));
    let mut groups = BTreeMap::<Option<IpAddr>, Group>::new();
    for (connection, address, age) in all {
        let group = groups.entry(address).or_default();
        let queue = match age {
            Age { heard_at: Some(_), .. } => &mut group.heard,
            Age { opened_at, .. } if now - opened_at < HANDSHAKE_END => &mut group.pending,
            Age { .. } => &mut group.silent,
        };
        queue.push_back(connection);
    }
    let mut dispensable = Vec::new();
    while dispensable.len() < excess + limit / FREED_PART {
        let unheard = groups.iter_mut().max_by_key(|(_, group)| group.unheard());
        let largest = match unheard {
            Some((address, group)) if group.unheard() > NEWCOMERS => Some((address, group)),
            _ if dispensable.len() >= excess => break,
            _ => groups.iter_mut().max_by_key(|(_, group)| group.unheard() + group.heard.len()),
        };
        let Some((address, connection)) = largest.and_then(|(address, group)| Some((*address, group.next()?))) else {
            break;
        };
        dispensable.push((connection, address));
    }
    dispensable
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_000;

    /// Connections with their address and the seconds at which they were opened and heard.
    fn chosen(connections: &[(u32, u8, u64, Option<u64>)], limit: usize) -> Vec<u32> {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let connections = connections.iter().map(|&(connection, address, opened, heard)| {
            let age = Age { opened_at: at(opened), heard_at: heard.map(at) };
            (connection, Some(IpAddr::from([127, 0, 0, address])), age)
        });
        dispensable(connections, limit, at(NOW_S)).into_iter().map(|(connection, _)| connection).collect()
    }

    fn flood(address: u8, count: u32, opened: u64, heard: Option<u64>) -> Vec<(u32, u8, u64, Option<u64>)> {
        (0..count).map(|number| (100 * u32::from(address) + number, address, opened, heard)).collect()
    }

    #[test]
    fn address_with_most_silent_connections_loses_its_oldest() {
        let mut connections = flood(2, 20, NOW_S - 1, None);
        connections.push((299, 2, NOW_S - 2, None));
        connections.extend(flood(1, 50, 1, Some(900)));
        connections.push((1, 1, NOW_S, None));
        assert_eq!(chosen(&connections, 70)[..2], [299, 200]);
        assert_eq!(chosen(&connections, 70).len(), 13, "all but the newcomers");
    }

    #[test]
    fn newcomer_is_spared_while_idle_peers_fill_the_link() {
        let mut connections = flood(2, 20, 1, None);
        connections.push((299, 2, NOW_S, None));
        assert_eq!(chosen(&connections, 20)[..2], [200, 201]);
    }

    #[test]
    fn largest_address_loses_its_most_silent_peer_if_all_have_sent() {
        let mut connections = flood(2, 20, 1, Some(900));
        connections.push((299, 2, 1, Some(800)));
        connections.push((1, 1, NOW_S, None));
        connections.push((2, 1, 1, Some(1)));
        assert_eq!(chosen(&connections, 22), [299]);
        assert_eq!(chosen(&connections, 0).len(), 23);
    }
}
