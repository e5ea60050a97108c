//! How much of a connection's messages libzmq holds. libzmq hands over complete messages only, and does not report
//! incomplete ones.

/// The state of one connection, in bytes: what libzmq read minus the messages that it handed over.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// What libzmq had read at the last look.
    read: u64,
    /// What it held at the last look. Too high by the handshake and the framing, until a message is handed over.
    bytes: u64,
    /// Messages handed over since the last look, and their bytes.
    messages: u64,
    message_bytes: u64,
    /// Whether every complete message had been handed over at the last look.
    was_settled: bool,
    /// The link's number of messages at the last look.
    turn: u64,
    incomplete: u64,
}

/// The circumstances of a look at a connection.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Every complete message was handed over after libzmq had read the given bytes.
    pub settled: bool,
    /// The number of messages that the link was handed over so far.
    pub turn: u64,
    /// The number of connections. libzmq hands over their complete messages in turn.
    pub connections: usize,
}

impl Held {
    /// Records a message that libzmq handed over.
    pub(super) fn delivered(&mut self, bytes: u64) {
        self.messages += 1;
        self.message_bytes += bytes;
    }

    fn has_delivered(&self) -> bool {
        self.messages > 0
    }

    /// Records how many bytes libzmq has read.
    pub(super) fn look(&mut self, read: u64, look: Look) {
        let arrived = read.saturating_sub(self.read);
        let before = self.bytes;
        self.bytes = (before + arrived).saturating_sub(self.message_bytes);
        if self.has_delivered() && self.was_settled {
            // The last message ended after the last look.
            self.bytes = self.bytes.min(arrived);
        }
        self.incomplete = if look.settled {
            self.bytes
        } else if self.has_delivered() {
            0
        } else if look.turn - self.turn > look.connections as u64 {
            // It had its turn, and had nothing complete.
            before
        } else {
            self.incomplete
        };
        *self = Held {
            read: self.read.max(read),
            bytes: self.bytes,
            was_settled: look.settled,
            turn: look.turn,
            incomplete: self.incomplete,
            ..Held::default()
        };
    }

    /// Returns the bytes of the message that is not complete yet.
    pub(super) fn incomplete(&self) -> u64 {
        self.incomplete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Look = Look { settled: true, turn: 0, connections: 3 };

    fn unsettled(turn: u64) -> Look {
        Look { settled: false, turn, connections: 3 }
    }

    #[test]
    fn bytes_without_a_message_are_incomplete() {
        let mut held = Held::default();
        held.look(300, SETTLED);
        held.look(9_000_300, SETTLED);
        assert_eq!(held.incomplete(), 9_000_300);
    }

    #[test]
    fn delivered_messages_correct_the_estimate() {
        let mut held = Held::default();
        held.look(1_000, SETTLED);
        held.delivered(5_000);
        // 100 bytes of framing.
        held.look(6_100, SETTLED);
        assert_eq!(held.incomplete(), 1_100);
        held.delivered(50);
        held.look(6_160, SETTLED);
        assert_eq!(held.incomplete(), 60);
        // The next message has begun in the same interval.
        held.delivered(50);
        held.look(7_006_220, SETTLED);
        assert_eq!(held.incomplete(), 7_000_060);
        held.look(7_006_220, SETTLED);
        assert_eq!(held.incomplete(), 7_000_060);
    }

    #[test]
    fn queued_messages_are_not_incomplete() {
        let mut held = Held::default();
        held.look(50_000_000, unsettled(0));
        held.delivered(8_000_000);
        held.look(60_000_000, unsettled(100));
        assert_eq!(held.incomplete(), 0);
        held.look(70_000_000, unsettled(103));
        assert_eq!(held.incomplete(), 0, "it had no turn yet");
        held.look(80_000_000, unsettled(107));
        assert_eq!(held.incomplete(), 62_000_000, "of the look before its turn");
    }
}
