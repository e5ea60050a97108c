//! What the tests have instead of an agent.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, Receiver, eventually};

/// The socket and the words of one.
pub struct Agent {
    pub socket: zmq::Socket,
    pub name: &'static str,
    pub boot: &'static str,
}

impl Agent {
    pub fn new(kind: zmq::SocketType, link: &str, name: &'static str, boot: &'static str) -> Agent {
        let socket = zmq::Context::new().socket(kind).expect("a socket");
        let patience = PATIENCE.as_millis() as i32;
        socket.set_rcvtimeo(patience).expect("a timeout");
        socket.set_sndtimeo(patience).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        Agent { socket, name, boot }
    }

    pub fn on(receiver: &Receiver) -> Agent {
        Agent::new(zmq::PAIR, &receiver.link, "shed", "b1")
    }

    pub fn sends(&self, backlog: bool, batches: &[Value]) {
        let (name, boot) = (self.name, self.boot);
        let header = json!({
            "type": "readings", "v": 1, "agent": name, "boot": boot, "backlog": backlog, "batches": batches
        });
        let parts = [format!("readings/{name}").into_bytes(), header.to_string().into_bytes()];
        self.socket.send_multipart(parts, 0).expect("the receiver takes it");
    }

    /// The next ack's first and last number, if it comes before the socket's patience ends.
    pub fn ack(&self) -> Option<(u64, u64)> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let said = self.socket.recv_bytes(0).ok()?;
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            if said["type"] == "ack" {
                assert_eq!(said["boot"], self.boot);
                return Some((said["first"].as_u64().unwrap_or(1), said["seq"].as_u64().expect("a number")));
            }
        }
        None
    }

    /// Sends the same again until this is acknowledged: where there are many acks at once some are left out.
    #[track_caller]
    pub fn sends_until_told(&self, batch: &Value, told: (u64, u64)) {
        self.socket.set_rcvtimeo(300).expect("a timeout");
        eventually("an ack", || {
            self.sends(true, std::slice::from_ref(batch));
            std::iter::from_fn(|| self.ack()).find(|ack| *ack == told)
        });
    }

    #[track_caller]
    pub fn is_told(&self, first: u64, last: u64) {
        assert_eq!(self.ack(), Some((first, last)));
    }

    /// The next hello's word on acks.
    pub fn greeted(&self) -> bool {
        loop {
            let said = self.socket.recv_bytes(0).expect("a hello");
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            assert_ne!(said["type"], "ack", "{said}");
            if said["type"] == "hello" {
                return said["acks"] == true;
            }
        }
    }
}

/// Numbers from `first` to `last`, each the value of a reading. What is sent again may have another date.
pub fn batch(first: u64, last: u64) -> Value {
    static NEXT: AtomicI64 = AtomicI64::new(1_795_284_000_000_000);
    let captured_at_us = NEXT.fetch_add(1_000, Ordering::Relaxed);
    let values: Vec<Value> =
        (first..=last).map(|seq| json!({ "quantity": "t", "value": seq as f64, "unit": "°C" })).collect();
    json!({
        "seq": first, "port": "climate", "captured_at_us": captured_at_us, "age_ms": 5,
        "stale_after_ms": 10_000, "stale": false, "values": values
    })
}

/// Readings that are sent until they are acknowledged.
pub struct Unsent {
    /// Numbers that no ack was heard of, and those of which one was.
    waiting: BTreeSet<u64>,
    pub acknowledged: BTreeSet<u64>,
}

impl Unsent {
    pub fn new(count: u64) -> Unsent {
        Unsent { waiting: (1..=count).collect(), acknowledged: BTreeSet::new() }
    }

    /// Sends the next of them, at most so many, from `from` on; gives the number behind them.
    pub fn send(&self, agent: &Agent, from: u64, most: u64) -> Option<u64> {
        let first = *self.waiting.range(from..).next()?;
        let last = (first..first + most).take_while(|seq| self.waiting.contains(seq)).last()?;
        agent.sends(first % 3 > 0, &[batch(first, last)]);
        Some(last + 1)
    }

    pub fn hear(&mut self, (first, last): (u64, u64)) {
        for seq in first..=last {
            if self.waiting.remove(&seq) {
                self.acknowledged.insert(seq);
            }
        }
    }

    /// Sends all until all are acknowledged.
    #[track_caller]
    pub fn finish(&mut self, agent: &Agent) {
        agent.socket.set_rcvtimeo(300).expect("a timeout");
        eventually("all are acknowledged", || {
            let mut next = 1;
            while let Some(behind) = self.send(agent, next, 500) {
                next = behind;
            }
            while let Some(ack) = agent.ack() {
                self.hear(ack);
            }
            self.waiting.is_empty().then_some(())
        });
    }
}
