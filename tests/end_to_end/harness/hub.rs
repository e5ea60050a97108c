//! An agent with a spool, and the receiver at the other end of its link.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::{Bench, Board, PATIENCE, Peer, Program, eventually, free_port};

/// The receiver's end of a pair link. It can close and reopen at the same address.
pub struct Hub {
    pub address: String,
    peer: Option<Peer>,
}

impl Hub {
    pub fn new() -> Hub {
        Hub { address: format!("tcp://127.0.0.1:{}", free_port()), peer: None }
    }

    /// Binds the socket.
    pub fn open(&mut self) -> &Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.bind(&self.address).expect("a port");
        self.peer.insert(Peer { socket, address: self.address.clone() })
    }

    /// The open end; panics if it is closed.
    pub fn peer(&self) -> &Peer {
        self.peer.as_ref().expect("an open hub")
    }

    pub fn close(&mut self) {
        self.peer = None;
    }
}

/// Starts an agent with one board, whose only link goes to the hub.
pub fn spooling(bench: &Bench, board: &Board, hub: &Hub, spool: &str) -> Program {
    spooling_of(Command::new(env!("CARGO_BIN_EXE_watchpost")), bench, board, hub, spool)
}

/// Like [`spooling`], from a prepared command.
pub fn spooling_of(watchpost: Command, bench: &Bench, board: &Board, hub: &Hub, spool: &str) -> Program {
    bench.agent_of(watchpost, &spooling_config(board, hub, spool))
}

pub fn spooling_config(board: &Board, hub: &Hub, spool: &str) -> String {
    format!(
        r#"
        name = "shed"
        serial = [{{ name = "gas", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        {spool}
        "#,
        board.path.display(),
        hub.address,
    )
}

pub fn hello() -> Value {
    json!({ "type": "hello", "v": 1, "window": 1, "acks": true })
}

pub fn ack(boot: &Value, first: u64, last: u64) -> Value {
    json!({ "type": "ack", "boot": boot, "first": first, "seq": last })
}

/// Receives readings until every value of `wanted` has arrived, and returns them without acknowledging any.
#[track_caller]
pub fn take(peer: &Peer, wanted: impl IntoIterator<Item = u64>) -> Vec<Value> {
    let mut missing: BTreeSet<u64> = wanted.into_iter().collect();
    let mut received = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        assert!(Instant::now() < end, "timed out after {PATIENCE:?}: values {missing:?}");
        peer.send(&hello());
        let header = peer.next();
        if header["type"] != "readings" {
            continue;
        }
        for batch in header["batches"].as_array().expect("a list") {
            for (index, measured) in batch["values"].as_array().expect("a list").iter().enumerate() {
                let mut reading = batch.clone();
                (reading["boot"], reading["backlog"]) = (header["boot"].clone(), header["backlog"].clone());
                (reading["seq"], reading["value"]) = (json!(seq(batch) + index as u64), measured["value"].clone());
                missing.remove(&value(&reading));
                received.push(reading);
            }
        }
    }
    received
}

pub fn value(reading: &Value) -> u64 {
    reading["value"].as_f64().expect("a number") as u64
}

pub fn seq(reading: &Value) -> u64 {
    reading["seq"].as_u64().expect("a number")
}

/// Acknowledges each of these readings.
pub fn acknowledge(peer: &Peer, readings: &[Value]) {
    for reading in readings {
        peer.send(&ack(&reading["boot"], seq(reading), seq(reading)));
    }
}

/// The number of readings in a spool file.
pub fn readings_in(file: &Path) -> u64 {
    // Read-only: otherwise, closing the last connection checkpoints the log while the agent may be switching files.
    let Ok(file) = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

/// Waits until the bench's spool file holds this many readings.
#[track_caller]
pub fn waits_for(bench: &Bench, readings: u64) {
    let file = bench.path("state/watchpost/spool.sqlite");
    eventually(&format!("{readings} readings on the disk"), || (readings_in(&file) == readings).then_some(()));
}
