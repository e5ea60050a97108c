use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Bench, Board, PATIENCE, Peer, Program, free_port};

/// The receiver's end of a pair link that comes and goes at one address.
struct Hub {
    address: String,
    peer: Option<Peer>,
}

impl Hub {
    fn new() -> Hub {
        Hub { address: format!("tcp://127.0.0.1:{}", free_port()), peer: None }
    }

    /// There is a receiver that keeps readings.
    fn open(&mut self) -> &Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.bind(&self.address).expect("a port");
        self.peer.insert(Peer { socket, address: self.address.clone() })
    }

    fn close(&mut self) {
        self.peer = None;
    }
}

/// An agent with one board, whose only link is to the hub.
fn agent(bench: &Bench, board: &Board, hub: &Hub, spool: &str) -> Program {
    bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{{ name = "gas", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        {spool}
        "#,
        board.path.display(),
        hub.address,
    ))
}

fn hello() -> Value {
    json!({ "type": "hello", "v": 1, "window": 1, "acks": true })
}

fn ack(boot: &Value, first: u64, last: u64) -> Value {
    json!({ "type": "ack", "boot": boot, "first": first, "seq": last })
}

/// Takes readings until those with all of these values have come, says nothing of them, and gives them.
#[track_caller]
fn take(peer: &Peer, wanted: impl IntoIterator<Item = u64>) -> Vec<Value> {
    let mut missing: BTreeSet<u64> = wanted.into_iter().collect();
    let mut came = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {missing:?}");
        peer.says(&hello());
        let header = peer.next();
        if header["type"] != "readings" {
            continue;
        }
        for batch in header["batches"].as_array().expect("a list") {
            for (place, measured) in batch["values"].as_array().expect("a list").iter().enumerate() {
                let mut reading = batch.clone();
                (reading["boot"], reading["backlog"]) = (header["boot"].clone(), header["backlog"].clone());
                (reading["seq"], reading["value"]) = (json!(seq(batch) + place as u64), measured["value"].clone());
                missing.remove(&value(&reading));
                came.push(reading);
            }
        }
    }
    came
}

fn value(reading: &Value) -> u64 {
    reading["value"].as_f64().expect("a number") as u64
}

fn seq(reading: &Value) -> u64 {
    reading["seq"].as_u64().expect("a number")
}

/// Acknowledges all of these.
fn acknowledge(peer: &Peer, readings: &[Value]) {
    for reading in readings {
        peer.says(&ack(&reading["boot"], seq(reading), seq(reading)));
    }
}

/// Readings in the file, which may have to be made first.
fn on_disk(bench: &Bench) -> u64 {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

#[track_caller]
fn waits_for(bench: &Bench, readings: u64) {
    crate::harness::eventually(&format!("{readings} readings on the disk"), || {
        (on_disk(bench) == readings).then_some(())
    });
}

#[test]
fn what_was_measured_without_a_receiver_is_there_when_it_comes_and_is_forgotten_when_it_has_it() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let mut first = agent(&bench, &board, &hub, "");
    first.logs("open at", "");
    for number in 1..=3 {
        board.say(&format!("n-{number}"));
        waits_for(&bench, number);
    }
    first.signal(Signal::SIGKILL);
    first.wait();

    let second = agent(&bench, &board, &hub, "");
    second.logs("open at", "");
    board.say("n-4");
    waits_for(&bench, 4);
    let peer = hub.open();
    let came = take(peer, 1..=4);
    // What is in memory may go before what is older.
    let (late, rest): (Vec<_>, Vec<_>) = came.iter().cloned().partition(|reading| value(reading) < 4);
    assert_eq!(late.iter().map(value).collect::<Vec<_>>(), [1, 2, 3], "in order, once");
    assert_eq!(late.iter().map(seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(late.iter().all(|reading| reading["backlog"] == true && reading["age_ms"].is_u64()), "{late:#?}");
    assert!(late.iter().all(|reading| reading["boot"] == late[0]["boot"]), "{late:#?}");
    assert!(rest.len() == 1 && seq(&rest[0]) == 1 && rest[0]["boot"] != late[0]["boot"], "{rest:#?}");

    // What is not acknowledged comes again to whoever is there next.
    acknowledge(peer, &late[..1]);
    waits_for(&bench, 3);
    hub.close();
    let peer = hub.open();
    let came = take(peer, 2..=4);
    assert_eq!(came.iter().map(value).collect::<Vec<_>>(), [2, 3, 4]);
    acknowledge(peer, &came);
    waits_for(&bench, 0);
}

#[test]
fn what_is_acknowledged_at_once_is_never_written() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = agent(&bench, &board, &hub, "");
    agent.logs("open at", "");
    let peer = hub.open();
    peer.says(&hello());
    peer.hears("a status", |header| header["type"] == "status");
    for number in 1..=30 {
        board.say(&format!("n-{number}"));
        let came = take(peer, [number]);
        acknowledge(peer, &came);
    }
    let counts = |header: &Value| header["spool"]["counts"].clone();
    let status = peer.hears("a status after the last", |header| {
        header["type"] == "status" && counts(header)["readings in memory"] == 0
    });
    assert!(counts(&status)["readings written"].as_u64().is_none_or(|written| written == 0), "{status}");
}
