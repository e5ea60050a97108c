//! Limits on what a link's peers may occupy: descriptors (`crowd.rs`), and memory for messages that libzmq has not handed
//! over (`held.rs`).
//!
//! libzmq keeps the parts of a message until the last one has arrived, however many there are. Nothing wakes the link's
//! task meanwhile, so `arrivals.rs` does. The kernel does not count the bytes of Unix sockets, so their peers are
//! trusted not to send endless messages.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use tokio::time::{Duration, Instant, sleep_until};

use super::arrivals::Arrivals;
use super::crowd::{self, Age, Crowd};
use super::ends::{Ends, bytes_read};
use super::held::{Held, Look};
use super::{MAX_PART_BYTES, Refusal};

/// Limit on one message: a picture of [`MAX_PART_BYTES`] and 1 MiB for everything else, which is four times the largest
/// header. libzmq needs 64 bytes for the smallest part, which takes three bytes on an unencrypted link, so a much
/// larger limit would let tiny parts fill the memory.
const MAX_MESSAGE_BYTES: u64 = MAX_PART_BYTES as u64 + (1 << 20);

/// Limit on the incomplete messages of all connections of a link.
const MAX_INCOMPLETE_BYTES: u64 = 8 * MAX_PART_BYTES as u64;

/// How often to look at connections that receive bytes, and how often while messages arrive without a pause.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const BUSY_LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Looks take at most this part (1/50) of the time. A look at two thousand connections takes a few milliseconds.
const LOOK_SHARE: u32 = 50;

/// The connections of a link, by file descriptor.
pub(super) struct Guard {
    connections: BTreeMap<u32, Connection>,
    arrivals: Arrivals,
    crowd: Crowd,
    /// The number of received messages.
    messages: u64,
    looked_at: Instant,
    look_interval: Duration,
    /// When to wake the link's task for a look.
    wake_at: Option<Instant>,
    /// The bytes that libzmq has read, of the connections being looked at.
    looks: Vec<(u32, u64)>,
    /// Connections closed because there were too many, and the last one's address.
    shed: Shed,
}

/// Connections that a link closed because it had too many.
#[derive(Clone, Debug, Default)]
pub struct Shed {
    /// How many.
    pub count: u64,
    /// The address of the last one.
    pub address: String,
}

struct Connection {
    ends: Ends,
    address: Option<IpAddr>,
    age: Age,
    held: Held,
}

impl Guard {
    pub(super) fn new() -> Result<Guard> {
        Ok(Guard {
            connections: BTreeMap::new(),
            arrivals: Arrivals::new()?,
            crowd: Crowd::new(),
            messages: 0,
            looked_at: Instant::now(),
            look_interval: LOOK_INTERVAL,
            wake_at: None,
            looks: Vec::new(),
            shed: Shed::default(),
        })
    }

    /// Waits until a look is due.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let wake_at = if let Some(time) = self.wake_at {
            time
        } else {
            self.arrivals.changed().await?;
            *self.wake_at.insert(self.looked_at + self.look_interval)
        };
        sleep_until(wake_at).await;
        Ok(())
    }

    /// Adds a connection, unless it is closed again.
    pub(super) fn opened(&mut self, connection: u32) {
        let Some(ends) = Ends::of(connection) else { return };
        let age = Age { opened_at: Instant::now(), heard_at: None };
        let (address, held) = (ends.address(), Held::default());
        self.connections.insert(connection, Connection { ends, address, age, held });
        self.arrivals.watch(connection);
        self.crowd.set(self.connections.len());
    }

    /// Removes a connection that libzmq closed.
    pub(super) fn closed(&mut self, connection: u32) {
        self.connections.remove(&connection);
        self.crowd.set(self.connections.len());
    }

    /// Records a received message of this many bytes; `part` is one of its parts.
    pub(super) fn delivered(&mut self, part: &mut zmq::Message, bytes: u64) {
        self.messages += 1;
        let connection = part.gets("__fd").and_then(|connection| connection.parse().ok());
        let connection = connection.and_then(|connection: u32| self.connections.get_mut(&connection));
        if let Some(connection) = connection {
            connection.age.heard_at = Some(Instant::now());
            connection.held.delivered(bytes);
        }
    }

    /// Closes connections if there are too many.
    pub(super) fn shed(&mut self) -> Vec<Refusal> {
        let limit = crowd::limit();
        if self.connections.len() <= limit {
            return Vec::new();
        }
        let all = self.connections.iter().map(|(number, connection)| (*number, connection.address, connection.age));
        let dispensable = crowd::dispensable(all, limit, Instant::now());
        let mut refusals = Vec::new();
        for (connection, address) in dispensable {
            self.close(connection);
            let address = named(address);
            let reason = format!("{limit} connections are open, and that address has the most");
            refusals.push(Refusal::of(format!("a connection from {address}"), &reason));
            self.shed = Shed { count: self.shed.count + 1, address };
        }
        refusals
    }

    /// Returns what [`Guard::shed`] closed since the last call.
    pub(super) fn take_shed(&mut self) -> Shed {
        std::mem::take(&mut self.shed)
    }

    fn close(&mut self, connection: u32) {
        if let Some(closed) = self.connections.remove(&connection) {
            closed.ends.shut_down(connection);
        }
        self.crowd.set(self.connections.len());
    }

    /// Whether to look at the connections if every complete message was received.
    pub(super) fn is_due(&self) -> bool {
        !self.connections.is_empty() && self.looked_at.elapsed() >= self.look_interval
    }

    /// Whether to look at the connections although messages wait.
    pub(super) fn is_overdue(&self) -> bool {
        self.looked_at.elapsed() >= self.look_interval.max(BUSY_LOOK_INTERVAL)
    }

    /// Records how much libzmq has read. Call [`Guard::judge`] next.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        (self.looked_at, self.wake_at) = (now, None);
        // Look at the others, too: libzmq may have read their bytes before they were reported.
        let arrived = self.arrivals.take().into_iter().filter(|number| self.connections.contains_key(number));
        arrived.for_each(|number| self.arrivals.watch(number));
        self.looks = self.connections.keys().filter_map(|number| Some((*number, bytes_read(*number)?))).collect();
        self.look_interval = LOOK_INTERVAL.max(now.elapsed() * LOOK_SHARE);
    }

    /// Closes connections whose messages do not end, or occupy too much. `settled`: the socket had no complete message after
    /// the look.
    pub(super) fn judge(&mut self, settled: bool) -> Vec<Refusal> {
        let look = Look { settled, turn: self.messages, connections: self.connections.len() };
        for (number, read) in std::mem::take(&mut self.looks) {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.held.look(read, look);
            }
        }
        let mut refusals = Vec::new();
        while let Some((connection, reason)) = self.oversized() {
            let address = self.connections.get(&connection).and_then(|connection| connection.address);
            self.close(connection);
            refusals.push(Refusal::of(format!("a peer at {}", named(address)), &reason));
        }
        refusals
    }

    /// Returns a connection to close, and why.
    fn oversized(&self) -> Option<(u32, String)> {
        let incomplete = self.connections.iter().map(|(number, connection)| (connection.held.incomplete(), *number));
        if let Some((_, connection)) = incomplete.max().filter(|(bytes, _)| *bytes > MAX_MESSAGE_BYTES) {
            let reason =
                format!("it sent a message larger than {} MiB, or one that does not end", MAX_MESSAGE_BYTES >> 20);
            return Some((connection, reason));
        }
        let mut shares = BTreeMap::<Option<IpAddr>, u64>::new();
        for connection in self.connections.values() {
            *shares.entry(connection.address).or_default() += connection.held.incomplete();
        }
        if shares.values().sum::<u64>() <= MAX_INCOMPLETE_BYTES {
            return None;
        }
        let (largest, _) = shares.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        let of_largest = self.connections.iter().filter(|(_, connection)| connection.address == largest);
        let (connection, _) = of_largest.max_by_key(|(_, connection)| connection.held.incomplete())?;
        let reason = format!(
            "unfinished messages occupy more than {} MiB, and those of that address the most",
            MAX_INCOMPLETE_BYTES >> 20
        );
        Some((*connection, reason))
    }
}

fn named(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "this machine".to_owned(), |address| address.to_string())
}
