//! Where a link's messages come from: numbers the connections, and records which of them have ended.
//!
//! The gate gives libzmq a user id for each connection, and libzmq attaches it to the connection's messages, together
//! with the file descriptor. A peer can choose neither.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of this process's newest connection.
static NEWEST: AtomicU64 = AtomicU64::new(0);

fn next_number() -> u64 {
    NEWEST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The connection that a message came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Unique in this process. A later connection has a larger number.
    pub connection: u64,
    /// The name of the peer's key: its file's name without `.key`, or the key itself if the configuration has it as
    /// text. `None` without CURVE.
    pub key: Option<Arc<str>>,
    /// The peer's address; `None` over a Unix socket.
    pub address: Option<IpAddr>,
    /// The connection had ended when the message was received.
    pub has_ended: bool,
}

impl Display for Origin {
    /// The address, and the key if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("this machine")?,
        }
        self.key.iter().try_for_each(|key| write!(f, " (key {key})"))
    }
}

/// The connections of a link that messages came from. Connections that never send are not remembered.
#[derive(Default)]
pub(super) struct Origins {
    /// Whether the end connects, and so has one peer.
    connects: bool,
    /// The name of that peer's key.
    peer_key: Option<Arc<str>>,
    live: HashMap<u64, Live>,
    /// By file descriptor: the newest connection when one with this descriptor ended. Older ones of it have ended.
    ended_at: HashMap<u32, u64>,
    ended: VecDeque<u64>,
}

struct Live {
    /// Its file descriptor; `None` if any event concerns it, because it is the only one.
    descriptor: Option<u32>,
    origin: Arc<Origin>,
}

impl Origins {
    /// The origins of an end that binds.
    pub(super) fn bound() -> Origins {
        Origins::default()
    }

    /// The origin of an end that connects to a peer with this key.
    pub(super) fn connecting(key: Option<Arc<str>>) -> Origins {
        Origins { connects: true, peer_key: key, ..Origins::default() }
    }

    /// Returns the user id of a new connection: its number and the name of its key. Handle all earlier events first,
    /// because the connection may reuse the file descriptor of one that ended.
    pub(super) fn user_id(key: Option<&str>) -> String {
        let number = next_number();
        key.map_or_else(|| number.to_string(), |key| format!("{number} {key}"))
    }

    /// Returns the origin of a received message. `part` is its last part.
    pub(super) fn of(&mut self, part: &mut zmq::Message) -> Arc<Origin> {
        if self.connects {
            if let Some(live) = self.live.values().next() {
                return Arc::clone(&live.origin);
            }
            return self.add(next_number(), self.peer_key.clone(), None, part);
        }
        let id = part.gets("User-Id").and_then(|id| {
            let (number, key) = id.split_once(' ').map_or((id, None), |(number, key)| (number, Some(key)));
            Some((number.parse::<u64>().ok()?, key))
        });
        // Every connection has a user id. One without may claim nothing.
        let Some((number, key)) = id else { return Arc::new(Origin::unknown()) };
        if let Some(live) = self.live.get(&number) {
            return Arc::clone(&live.origin);
        }
        let key = key.map(Arc::from);
        let descriptor = part.gets("__fd").and_then(|descriptor| descriptor.parse().ok());
        self.add(number, key, descriptor, part)
    }

    fn add(
        &mut self,
        connection: u64,
        key: Option<Arc<str>>,
        descriptor: Option<u32>,
        part: &mut zmq::Message,
    ) -> Arc<Origin> {
        // An address of one network interface has its name after a percent sign.
        let address = part.gets("Peer-Address").and_then(|address| address.split('%').next()?.parse::<IpAddr>().ok());
        let address = address.map(|address| address.to_canonical());
        let ended_at = descriptor.and_then(|descriptor| self.ended_at.get(&descriptor));
        let has_ended = ended_at.is_some_and(|newest| connection <= *newest);
        let origin = Arc::new(Origin { connection, key, address, has_ended });
        if !has_ended {
            self.live.insert(connection, Live { descriptor, origin: Arc::clone(&origin) });
        }
        origin
    }

    /// Records that the connection with this file descriptor has ended.
    pub(super) fn lost(&mut self, descriptor: u32) {
        self.ended_at.insert(descriptor, NEWEST.load(Ordering::Relaxed));
        let ended = self.live.extract_if(|_, live| live.descriptor.is_none_or(|known| known == descriptor));
        self.ended.extend(ended.map(|(connection, _)| connection));
    }

    /// Returns the next connection that sent messages and has ended.
    pub(super) fn next_ended(&mut self) -> Option<u64> {
        self.ended.pop_front()
    }

    /// Whether a connection that sent messages still exists.
    pub(super) fn has(&self, connection: u64) -> bool {
        self.live.contains_key(&connection)
    }
}

impl Origin {
    fn unknown() -> Origin {
        Origin { connection: 0, key: None, address: None, has_ended: true }
    }
}
