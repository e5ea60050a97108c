//! The connections below a socket, by their descriptors, which is how libzmq tells of them.

use std::collections::BTreeSet;

/// Strangers, who have not shaken hands yet and may never do so, and peers. Which connection a handshake was of is not told:
/// it may have been of any that was open then.
#[derive(Default)]
pub(super) struct Connections {
    strangers: BTreeSet<u32>,
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

    pub(super) fn went(&mut self, connection: u32) {
        self.strangers.remove(&connection);
        self.ended += u64::from(self.peers.first() == Some(&connection));
        self.peers.retain(|peer| *peer != connection);
    }

    /// How many peers there are.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
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
    fn strangers_that_come_and_go_are_nobodys_end() {
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
        assert_eq!((connections.peers(), connections.ended()), (2, 0));
        connections.went(5);
        assert_eq!((connections.peers(), connections.ended()), (1, 1), "the first is gone, though not the lowest");
    }
}
