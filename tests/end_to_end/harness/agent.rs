//! A fake agent that sends readings to a receiver.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, Receiver, eventually};

/// A socket that speaks the agent's side of the protocol.
pub struct FakeAgent {
    pub socket: zmq::Socket,
    pub name: &'static str,
    pub boot: &'static str,
}

impl FakeAgent {
    pub fn new(kind: zmq::SocketType, link: &str, name: &'static str, boot: &'static str) -> FakeAgent {
        let socket = zmq::Context::new().socket(kind).expect("a socket");
        let patience = PATIENCE.as_millis() as i32;
        socket.set_rcvtimeo(patience).expect("a timeout");
        socket.set_sndtimeo(patience).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        FakeAgent { socket, name, boot }
    }

    /// Connects over a pair link, as agent `shed` with boot `b1`.
    pub fn on(receiver: &Receiver) -> FakeAgent {
        FakeAgent::new(zmq::PAIR, &receiver.link, "shed", "b1")
    }

    pub fn send(&self, backlog: bool, batches: &[Value]) {
        let (name, boot) = (self.name, self.boot);
        let header = json!({
            "type": "readings", "v": 1, "agent": name, "boot": boot, "backlog": backlog, "batches": batches
        });
        let parts = [format!("readings/{name}").into_bytes(), header.to_string().into_bytes()];
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    /// Returns the first and last number of the next ack, or `None` if the socket's receive timeout expires.
    pub fn ack(&self) -> Option<(u64, u64)> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let bytes = self.socket.recv_bytes(0).ok()?;
            let control: Value = serde_json::from_slice(&bytes).expect("JSON");
            if control["type"] == "ack" {
                assert_eq!(control["boot"], self.boot);
                return Some((control["first"].as_u64().unwrap_or(1), control["seq"].as_u64().expect("a number")));
            }
        }
        None
    }

    /// Returns the next refusal: its first and last number, and the cause. Skips acks.
    pub fn refusal(&self) -> (u64, u64, String) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let bytes = self.socket.recv_bytes(0).expect("a message");
            let control: Value = serde_json::from_slice(&bytes).expect("JSON");
            if control["type"] == "refused" {
                assert_eq!(control["boot"], self.boot);
                let number = |key: &str| control[key].as_u64().expect("a number");
                return (number("first"), number("seq"), control["cause"].as_str().expect("a text").to_owned());
            }
        }
        panic!("no refusal");
    }

    /// Resends `batch` until the receiver sends the ack `expected`. A receiver may skip some of many acks at once.
    #[track_caller]
    pub fn send_until_acked(&self, batch: &Value, expected: (u64, u64)) {
        self.socket.set_rcvtimeo(300).expect("a timeout");
        eventually("an ack", || {
            self.send(true, std::slice::from_ref(batch));
            std::iter::from_fn(|| self.ack()).find(|ack| *ack == expected)
        });
    }

    /// Asserts that the next ack covers `first` to `last`.
    #[track_caller]
    pub fn expect_ack(&self, first: u64, last: u64) {
        assert_eq!(self.ack(), Some((first, last)));
    }

    /// Waits for the next hello; returns whether it promises acks.
    pub fn hello_promises_acks(&self) -> bool {
        loop {
            let bytes = self.socket.recv_bytes(0).expect("a hello");
            let control: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_ne!(control["type"], "ack", "{control}");
            if control["type"] == "hello" {
                return control["acks"] == true;
            }
        }
    }
}

/// A batch of readings whose values are their numbers, `first` to `last`. Every call uses a later capture time.
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

/// A reading of this quantity, in the form of [`batch`].
pub fn reading(seq: u64, quantity: &str) -> Value {
    let mut batch = batch(seq, seq);
    batch["values"][0]["quantity"] = quantity.into();
    batch
}

/// Readings to be sent until the receiver acknowledges them.
pub struct Unacknowledged {
    /// Numbers without an ack.
    waiting: BTreeSet<u64>,
    /// Numbers with an ack.
    pub acknowledged: BTreeSet<u64>,
}

impl Unacknowledged {
    pub fn new(count: u64) -> Unacknowledged {
        Unacknowledged { waiting: (1..=count).collect(), acknowledged: BTreeSet::new() }
    }

    /// Sends up to `max` waiting numbers, starting at `from`; returns the number after the last one sent.
    pub fn send(&self, agent: &FakeAgent, from: u64, max: u64) -> Option<u64> {
        let first = *self.waiting.range(from..).next()?;
        let last = (first..first + max).take_while(|seq| self.waiting.contains(seq)).last()?;
        agent.send(first % 3 > 0, &[batch(first, last)]);
        Some(last + 1)
    }

    /// Marks the numbers of an ack as acknowledged.
    pub fn record(&mut self, (first, last): (u64, u64)) {
        for seq in first..=last {
            if self.waiting.remove(&seq) {
                self.acknowledged.insert(seq);
            }
        }
    }

    /// Resends the waiting numbers until the receiver has acknowledged every one.
    #[track_caller]
    pub fn send_until_acked(&mut self, agent: &FakeAgent) {
        agent.socket.set_rcvtimeo(300).expect("a timeout");
        eventually("an ack for every reading", || {
            let mut next = 1;
            while let Some(following) = self.send(agent, next, 500) {
                next = following;
            }
            while let Some(ack) = agent.ack() {
                self.record(ack);
            }
            self.waiting.is_empty().then_some(())
        });
    }
}
