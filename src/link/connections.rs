//! The connections below a socket, by their descriptors, which is how libzmq tells of them.

use std::collections::BTreeSet;

/// Strangers, who have not shaken hands yet and may never do so, and peers. Which connection a handshake was of is not told:
/// it may have been of any that was open then.
#[derive(Default)]
pub(super) struct Connections {
    strangers: BTreeSet<u32>,
    /// Strangers whose handshake is known to have failed; which ones is not told either.
    failed: usize,
    /// In the order of their handshakes: a PAIR has the first, and leaves the others alone.
    peers: Vec<u32>,
    ended: u64,
}

impl Connections {
    pub(super) fn came(&mut self, connection: u32) {
        self.strangers.insert(connection);
    }

    /// A handshake went well.
    pub(super) fn shook_hands(&mut self) {
        self.peers.extend(std::mem::take(&mut self.strangers));
    }

    /// A handshake failed; its connection goes soon.
    pub(super) fn failed(&mut self) {
        self.failed += 1;
    }

    /// Gives whether it is all that is told of a handshake that failed.
    pub(super) fn went(&mut self, connection: u32) -> bool {
        let was_stranger = self.strangers.remove(&connection);
        let is_all = was_stranger && self.failed == 0;
        self.failed = self.failed.saturating_sub(usize::from(was_stranger)).min(self.strangers.len());
        self.ended += u64::from(self.peers.first() == Some(&connection));
        self.peers.retain(|peer| *peer != connection);
        is_all
    }

    /// How many peers there are.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The peer whose turn it is when the first has gone.
    pub(super) fn next(&self) -> Option<u32> {
        self.peers.get(1).copied()
    }

    /// How often the first peer has gone.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_strangers_do_not_count_as_lost_peers() {
        let mut connections = Connections::default();
        connections.came(5);
        connections.shook_hands();
        for stranger in [6, 7] {
            connections.came(stranger);
            connections.went(stranger);
        }
        assert_eq!((connections.peers(), connections.ended()), (1, 0));
        connections.came(4);
        connections.shook_hands();
        assert_eq!((connections.peers(), connections.next(), connections.ended()), (2, Some(4), 0));
        connections.went(5);
        assert_eq!(
            (connections.peers(), connections.ended()),
            (1, 1),
            "the first peer left, although it has not the lowest number"
        );
    }

    #[test]
    fn each_connection_reports_its_failure_once() {
        let mut connections = Connections::default();
        for stranger in [5, 6, 7] {
            connections.came(stranger);
        }
        connections.failed();
        connections.failed();
        assert_eq!([5, 6, 7].map(|stranger| connections.went(stranger)), [false, false, true]);
        connections.came(8);
        connections.failed();
        connections.shook_hands();
        assert!(!connections.went(8), "presumably a peer");
        connections.came(9);
        assert!(connections.went(9));
    }
}
