//! The connections of a socket, identified by file descriptor as in libzmq's events.

use std::collections::BTreeSet;

/// Connections before the handshake (`pending`) and after it (`peers`). libzmq does not say to which connection a handshake
/// belongs: it may be any that was open at that time.
#[derive(Default)]
pub(super) struct Connections {
    pending: BTreeSet<u32>,
    /// Number of pending connections whose handshake failed.
    failed: usize,
    /// In the order of their handshakes: a PAIR socket serves the first and ignores the others.
    peers: Vec<u32>,
    lost: u64,
}

impl Connections {
    pub(super) fn opened(&mut self, connection: u32) {
        self.pending.insert(connection);
    }

    /// Counts all pending connections as peers, because one of them completed its handshake.
    pub(super) fn handshake_succeeded(&mut self) {
        self.peers.extend(std::mem::take(&mut self.pending));
    }

    /// Counts a failed handshake, whose connection will close soon.
    pub(super) fn handshake_failed(&mut self) {
        self.failed += 1;
    }

    /// Removes a connection. Returns true if its handshake failed and this event is libzmq's only report of that.
    pub(super) fn closed(&mut self, connection: u32) -> bool {
        let was_pending = self.pending.remove(&connection);
        let is_only_event = was_pending && self.failed == 0;
        self.failed = self.failed.saturating_sub(usize::from(was_pending)).min(self.pending.len());
        self.lost += u64::from(self.peers.first() == Some(&connection));
        self.peers.retain(|peer| *peer != connection);
        is_only_event
    }

    /// Returns the number of peers.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Returns the peer that a PAIR socket serves after the first one.
    pub(super) fn next(&self) -> Option<u32> {
        self.peers.get(1).copied()
    }

    /// Returns how often the connection of the first peer was lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_connections_do_not_count_as_lost_peers() {
        let mut connections = Connections::default();
        connections.opened(5);
        connections.handshake_succeeded();
        for pending in [6, 7] {
            connections.opened(pending);
            connections.closed(pending);
        }
        assert_eq!((connections.peers(), connections.lost()), (1, 0));
        connections.opened(4);
        connections.handshake_succeeded();
        assert_eq!((connections.peers(), connections.next(), connections.lost()), (2, Some(4), 0));
        connections.closed(5);
        assert_eq!(
            (connections.peers(), connections.lost()),
            (1, 1),
            "the first peer, although its descriptor is not the lowest"
        );
    }

    #[test]
    fn each_failed_handshake_is_reported_once() {
        let mut connections = Connections::default();
        for pending in [5, 6, 7] {
            connections.opened(pending);
        }
        connections.handshake_failed();
        connections.handshake_failed();
        assert_eq!([5, 6, 7].map(|pending| connections.closed(pending)), [false, false, true]);
        connections.opened(8);
        connections.handshake_failed();
        connections.handshake_succeeded();
        assert!(!connections.closed(8), "counted as a peer");
        connections.opened(9);
        assert!(connections.closed(9));
    }
}
