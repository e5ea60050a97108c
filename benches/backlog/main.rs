//! Measures how fast a receiver gets 100,000 readings that arrived while it was off. Then starts an agent with a million spooled
//! readings, and measures how fast it sends them and how late live readings are meanwhile.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod million;
mod peer;

use std::time::{Duration, Instant};

use harness::{Bench, Board, eventually, free_port};
use rusqlite::Connection;

/// Readings that arrive while the receiver is off.
const BACKLOG: u64 = 100_000;
const LINE: &str = "t-25-h-60-mq2-312-light-540-mq9-120\n";
const READINGS_PER_LINE: u64 = 5;

fn main() {
    start_receiver();
    million::run();
}

fn start_receiver() {
    let (bench, mut board) = (Bench::new(), Board::new());
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let agent = bench.agent(&config(&[&board], &address));
    agent.wait_for_log("port 0", "");
    board.write(b"\n");
    for _ in 0..BACKLOG / READINGS_PER_LINE / 100 {
        board.write(LINE.repeat(100).as_bytes());
    }
    eventually("all readings on the disk", || (on_disk(&bench) == BACKLOG).then_some(()));

    let start = Instant::now();
    let _receiver = bench.receiver(&format!("pattern = \"pair\"\nbind = \"{address}\""));
    let stored = || {
        let file = Connection::open(bench.path("state/watchpost/history.sqlite")).ok()?;
        file.query_row("SELECT count(*) FROM readings", [], |row| row.get::<_, i64>(0)).ok()
    };
    eventually("all readings in the history", || stored().filter(|stored| *stored as u64 == BACKLOG));
    println!("{BACKLOG} readings arrive, {READINGS_PER_LINE} per line, while the receiver is off");
    print_rate("from its start until they are in its history", BACKLOG, start.elapsed());
}

/// The configuration of an agent with these boards, on ports named 0, 1 and so on.
fn config(boards: &[&Board], address: &str) -> String {
    let port = |(number, board): (usize, &&Board)| {
        format!("[[serial]]\nname = \"{number}\"\nport = \"{}\"\n", board.path.display())
    };
    let ports: String = boards.iter().enumerate().map(port).collect();
    format!("name = \"shed\"\n{ports}[[link]]\npattern = \"pair\"\nconnect = \"{address}\"\n")
}

/// Counts the spooled readings.
fn on_disk(bench: &Bench) -> u64 {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

fn print_rate(what: &str, readings: u64, time: Duration) {
    let rate = readings as f64 / time.as_secs_f64();
    println!("  {what}: {:.2} s, {rate:.0} per second (goal: 20000)", time.as_secs_f64());
}
