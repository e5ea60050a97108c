//! Peers for links, and helpers for their messages.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Instant;

use serde_json::Value;

use super::PATIENCE;

/// A free port of this machine, for programs that cannot choose one. It stays this process's own: other copies of the
/// tests do not get it, and the kernel gives ports of this range to nobody.
pub fn free_port() -> u16 {
    let random = std::iter::repeat_with(|| fastrand::u16(10_000..first_ephemeral_port()));
    let mut free = random.take(10_000).filter(|port| reserve(*port) && TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// The first port that the kernel gives to sockets without one.
fn first_ephemeral_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux");
    range.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a port")
}

/// Reserves a port until this process exits; returns whether it was not reserved yet. The name of an abstract socket
/// belongs to one process.
fn reserve(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("watchpost-test-port-{port}")).expect("a name");
    UnixListener::bind_addr(&name).map(std::mem::forget).is_ok()
}

/// A bound PAIR socket with timeouts, and its address.
pub fn pair() -> (zmq::Socket, String) {
    pair_at("tcp://127.0.0.1:*")
}

fn pair_at(address: &str) -> (zmq::Socket, String) {
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    socket.bind(address).expect("a port");
    let address = socket.get_last_endpoint().expect("an address").expect("as text");
    (socket, address)
}

/// The receiver's end of an agent's pair link in the watchpost format.
pub struct Peer {
    pub socket: zmq::Socket,
    pub address: String,
}

impl Peer {
    pub fn new() -> Peer {
        let (socket, address) = pair();
        Peer { socket, address }
    }

    /// Closes the socket and binds a new one to the same address.
    pub fn restart(self) -> Peer {
        let Peer { socket, address } = self;
        drop(socket);
        let (socket, address) = pair_at(&address);
        Peer { socket, address }
    }

    /// The header of the next message.
    #[track_caller]
    pub fn next(&self) -> Value {
        let parts = self.socket.recv_multipart(0).expect("a message");
        serde_json::from_slice(&parts[1]).expect("JSON")
    }

    /// The next message that matches.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut matches: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let header = self.next();
            if matches(&header) {
                return header;
            }
        }
        panic!("timed out after {PATIENCE:?}: {what}");
    }

    /// Sends a control message to the agent.
    pub fn send(&self, control: &Value) {
        self.socket.send(control.to_string().as_bytes(), 0).expect("the message is sent");
    }
}

/// A subscriber with a receive timeout.
pub fn subscriber(port: u16, topics: &[&str]) -> zmq::Socket {
    let socket = zmq::Context::new().socket(zmq::SUB).expect("a socket");
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    socket.connect(&format!("tcp://127.0.0.1:{port}")).expect("a port");
    for topic in topics {
        socket.set_subscribe(topic.as_bytes()).expect("a topic");
    }
    socket
}

/// The readings of a header. Those from batches also have the keys of their batch.
pub fn readings(header: &Value) -> impl Iterator<Item = Value> {
    let list = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
    let batches = list(header, "batches").into_iter().flat_map(move |mut batch| {
        let values = list(&batch, "values");
        batch["values"].take();
        values.into_iter().map(move |value| {
            let mut reading = batch.clone();
            let keys = reading.as_object_mut().expect("an object");
            keys.extend(value.as_object().cloned().expect("an object"));
            reading
        })
    });
    list(header, "readings").into_iter().chain(batches)
}
