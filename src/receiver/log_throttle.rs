//! Counts every occurrence of a problem, and logs it now and then.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::warn;

/// How often one problem is logged at most.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Limit on the peers that have a throttle of their own. The others share one.
const MAX_PEERS: usize = 64;

/// One kind of problem.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    count: u64,
    logged: Option<Instant>,
}

impl LogThrottle {
    /// Whether the next occurrence would only be counted.
    fn is_active(&self) -> bool {
        self.logged.is_some_and(|at| at.elapsed() <= LOG_INTERVAL)
    }

    /// Counts an occurrence; `who` has the problem.
    pub(super) fn log(&mut self, who: &dyn Display, what: &dyn Display) {
        self.log_of(1, who, what);
    }

    /// Counts several occurrences.
    pub(super) fn log_of(&mut self, times: u64, who: &dyn Display, what: &dyn Display) {
        self.count += times;
        if !self.is_active() {
            self.logged = Some(Instant::now());
            warn!("{who}: {what} ({} so far)", self.count);
        }
    }
}

/// One kind of problem that many peers have.
#[derive(Default)]
pub(super) struct PeerThrottles {
    peers: BTreeMap<String, LogThrottle>,
    others: LogThrottle,
}

impl PeerThrottles {
    /// Returns the throttle of a peer.
    pub(super) fn of(&mut self, peer: &str) -> &mut LogThrottle {
        if self.peers.contains_key(peer) || self.has_room() {
            self.peers.entry(peer.to_owned()).or_default()
        } else {
            &mut self.others
        }
    }

    fn has_room(&mut self) -> bool {
        if self.peers.len() >= MAX_PEERS {
            self.peers.retain(|_, throttle| throttle.is_active());
        }
        self.peers.len() < MAX_PEERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_peers_do_not_flood_the_log() {
        let mut throttles = PeerThrottles::default();
        let mut lines = 0;
        for number in (0..3 * MAX_PEERS).chain(0..3 * MAX_PEERS) {
            let throttle = throttles.of(&number.to_string());
            lines += usize::from(!throttle.is_active());
            throttle.log(&"link", &"refused");
        }
        assert_eq!(lines, MAX_PEERS + 1);
    }
}
