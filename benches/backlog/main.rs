//! What becomes of readings that had to wait: 100,000 of them arrive while the receiver is off, and how fast it has them when
//! it is back, and how late the readings are that are measured meanwhile; and an agent that starts with a million of them.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod million;
mod peer;

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use harness::{Bench, Board, Program, eventually, free_port};
use rusqlite::Connection;

/// Readings that have to wait, and the lines that make them.
const WAITING: u64 = 100_000;
const LINE: &str = "t-25-h-60-mq2-312-light-540-mq9-120\n";
const OF_LINE: u64 = 5;

/// How often the other board speaks.
const LIVE: Duration = Duration::from_millis(20);

fn main() {
    println!("{WAITING} readings wait, and a board speaks {} times a second\n", 1000 / LIVE.as_millis());
    peer_comes_back();
    receiver_comes_back();
    million::starts();
}

/// An agent with a board that makes what has to wait, another that goes on, and a spool with all of the first.
fn waiting(bench: &Bench, address: &str) -> (Program, Board) {
    let (mut first, second) = (Board::new(), Board::new());
    let agent = bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{{ name = "first", port = "{}" }}, {{ name = "second", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{address}" }}]
        "#,
        first.path.display(),
        second.path.display(),
    ));
    agent.logs("port first", "");
    agent.logs("port second", "");
    first.write(b"\n");
    for _ in 0..WAITING / OF_LINE / 100 {
        first.write(LINE.repeat(100).as_bytes());
    }
    eventually("all are on the disk", || (on_disk(bench) >= WAITING).then_some(()));
    (agent, second)
}

fn on_disk(bench: &Bench) -> u64 {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

/// Speaks until it is done; gives how often.
fn speak(board: &mut Board, is_done: impl Fn() -> bool) {
    let (start, mut said) = (Instant::now(), 0);
    while !is_done() {
        board.write(format!("\nn-{said}\n").as_bytes());
        said += 1;
        sleep((LIVE * said).saturating_sub(start.elapsed()));
    }
}

fn peer_comes_back() {
    let bench = Bench::new();
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let (_agent, mut board) = waiting(&bench, &address);
    let peer = peer::Peer::bind(&address, &bench);
    let (drained, ages) = scope(|scope| {
        let taking = scope.spawn(|| peer.take(WAITING));
        speak(&mut board, || taking.is_finished());
        taking.join().expect("it takes all")
    });
    report("a peer that acknowledges what is on its disk", drained);
    let late = ages[ages.len() * 99 / 100];
    println!(
        "  readings that were measured meanwhile: {} of them, 99 % within {late:.1?}, all within {:.1?} (wanted: 200 ms)",
        ages.len(),
        ages[ages.len() - 1]
    );
}

fn receiver_comes_back() {
    let bench = Bench::new();
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let (_agent, _board) = waiting(&bench, &address);
    let start = Instant::now();
    let _receiver = bench.receiver(&format!("pattern = \"pair\"\nbind = \"{address}\""));
    let kept = || {
        let file = Connection::open(bench.path("state/watchpost/history.sqlite")).ok()?;
        file.query_row("SELECT count(*) FROM readings", [], |row| row.get::<_, i64>(0)).ok()
    };
    eventually("all are in the history", || kept().filter(|kept| *kept as u64 >= WAITING));
    report("watchpost receive, from its start on", start.elapsed());
}

fn report(who: &str, drained: Duration) {
    let rate = WAITING as f64 / drained.as_secs_f64();
    println!("  {who}: {:.2} s, {rate:.0} a second (wanted: 20000)", drained.as_secs_f64());
}
