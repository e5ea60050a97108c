use std::fs::{File, create_dir_all};
use std::time::Instant;

use serde_json::json;

use crate::harness::hub::{Hub, acknowledge, hello, spooling, take, waits_for};
use crate::harness::{Bench, Board, PATIENCE, Peer};

#[test]
fn backlog_is_sent_once_the_spool_becomes_available() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let mut first = spooling(&bench, &board, &hub, "");
    first.wait_for_log("open at", "");
    board.write_line("n-1");
    waits_for(&bench, 1);
    first.terminate();

    create_dir_all(bench.path("state/watchpost")).expect("a temporary directory");
    let foreign_lock = File::create(bench.path("state/watchpost/spool.sqlite.lock")).expect("a temporary file");
    foreign_lock.lock().expect("a free lock");
    let second = spooling(&bench, &board, &hub, "");
    second.wait_for_log("open at", "");
    second.wait_for_log("in use by another program", "");
    let peer = hub.open();
    board.write_line("n-2");
    let batches = take(peer, [2]);
    acknowledge(peer, &batches);
    drop(foreign_lock);
    let batches = take(peer, [1]);
    acknowledge(peer, &batches);
    waits_for(&bench, 0);
}

/// The receiver stalls without disconnecting. Readings that are then too late to be sent live must still arrive.
#[test]
fn stalled_receiver_gets_every_reading_in_the_end() {
    const LINES: u64 = 60_000;
    let (bench, mut board) = (Bench::new(), Board::new());
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    socket.set_rcvhwm(2).expect("an option");
    socket.set_rcvbuf(4096).expect("an option");
    socket.bind("tcp://127.0.0.1:*").expect("a port");
    let address = socket.get_last_endpoint().expect("an address").expect("as text");
    let peer = Peer { socket, address: address.clone() };
    let agent = bench.agent(&format!(
        "serial = [{{ name = \"b\", port = \"{}\" }}]\nlink = [{{ pattern = \"pair\", connect = \"{address}\" }}]",
        board.path.display()
    ));
    agent.wait_for_log("open at", "");
    board.write_line("n-0");
    let batches = take(&peer, [0]);
    acknowledge(&peer, &batches);
    for numbers in (1..=LINES).collect::<Vec<_>>().chunks(500) {
        let lines: Vec<String> = numbers.iter().map(|number| format!("n-{number}\n")).collect();
        board.write(lines.concat().as_bytes());
    }
    let (mut left, mut end) = (LINES, Instant::now() + PATIENCE);
    let mut received = vec![false; LINES as usize + 1];
    // The agent resends whatever was not acknowledged in time.
    received[0] = true;
    while left > 0 {
        assert!(Instant::now() < end, "{left} are missing");
        peer.send(&hello());
        let (header, before) = (peer.next(), left);
        for batch in header["batches"].as_array().into_iter().flatten() {
            let values = batch["values"].as_array().expect("a list");
            for value in values {
                let number = value["value"].as_f64().expect("a number") as usize;
                left -= u64::from(!std::mem::replace(&mut received[number], true));
            }
            let first = batch["seq"].as_u64().expect("a number");
            let last = first + values.len() as u64 - 1;
            peer.send(&json!({ "type": "ack", "boot": header["boot"], "first": first, "seq": last }));
        }
        if left < before {
            end = Instant::now() + PATIENCE;
        }
    }
}
