//! What becomes of readings that had to wait: how fast a receiver has 100,000 of them that arrived while it was off; how an
//! agent starts with a million of them, how fast it sends them, and how late readings are that are measured meanwhile.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod million;
mod peer;

use std::time::{Duration, Instant};

use harness::{Bench, Board, eventually, free_port};
use rusqlite::Connection;

/// Readings that arrive while there is no receiver, and the lines that make them.
const WAITING: u64 = 100_000;
const LINE: &str = "t-25-h-60-mq2-312-light-540-mq9-120\n";
const OF_LINE: u64 = 5;

fn main() {
    receiver_comes_back();
    million::starts();
}

fn receiver_comes_back() {
    let (bench, mut board) = (Bench::new(), Board::new());
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let agent = bench.agent(&config(&[&board], &address));
    agent.logs("port 0", "");
    board.write(b"\n");
    for _ in 0..WAITING / OF_LINE / 100 {
        board.write(LINE.repeat(100).as_bytes());
    }
    eventually("all are on the disk", || (on_disk(&bench) == WAITING).then_some(()));

    let start = Instant::now();
    let _receiver = bench.receiver(&format!("pattern = \"pair\"\nbind = \"{address}\""));
    let kept = || {
        let file = Connection::open(bench.path("state/watchpost/history.sqlite")).ok()?;
        file.query_row("SELECT count(*) FROM readings", [], |row| row.get::<_, i64>(0)).ok()
    };
    eventually("all are in the history", || kept().filter(|kept| *kept as u64 == WAITING));
    println!("{WAITING} readings arrive, five a line, while there is no receiver");
    rate("its history has them, from its start on", WAITING, start.elapsed());
}

/// An agent with these boards, whose ports are called 0, 1 and so on.
fn config(boards: &[&Board], address: &str) -> String {
    let port = |(place, board): (usize, &&Board)| {
        format!("[[serial]]\nname = \"{place}\"\nport = \"{}\"\n", board.path.display())
    };
    let ports: String = boards.iter().enumerate().map(port).collect();
    format!("name = \"shed\"\n{ports}[[link]]\npattern = \"pair\"\nconnect = \"{address}\"\n")
}

fn on_disk(bench: &Bench) -> u64 {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

fn rate(what: &str, readings: u64, time: Duration) {
    let rate = readings as f64 / time.as_secs_f64();
    println!("  {what}: {:.2} s, {rate:.0} a second (wanted: 20000)", time.as_secs_f64());
}
