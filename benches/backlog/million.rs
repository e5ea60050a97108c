//! Starts an agent with a million readings in its spool.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::harness::{Bench, Board, eventually, free_port};
use crate::peer::Peer;
use crate::{config, on_disk, print_rate};

const READINGS: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// The interval between live readings.
const LIVE_INTERVAL: Duration = Duration::from_millis(20);

pub fn run() {
    let (bench, mut first, mut second) = (Bench::new(), Board::new(), Board::new());
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let config = config(&[&first, &second], &address);
    let mut agent = bench.agent(&config);
    agent.wait_for_log("port 0", "");
    first.write_line("t-21.5");
    eventually("one reading on the disk", || (on_disk(&bench) == 1).then_some(()));
    agent.terminate();
    multiply(&bench);

    let peer = Peer::bind(&address, &bench);
    let start = Instant::now();
    let agent = bench.agent(&config);
    agent.wait_for_log("port 1", "");
    let ready = start.elapsed();
    let (mut peak, mut sent) = (0, 0);
    let received = scope(|scope| {
        let receiving = scope.spawn(|| peer.receive(READINGS, start));
        while !receiving.is_finished() {
            second.write(format!("\nn-{sent}\n").as_bytes());
            sent += 1;
            peak = peak.max(agent.memory());
            sleep((LIVE_INTERVAL * sent).saturating_sub(start.elapsed()));
        }
        receiving.join().expect("the peer receives all readings")
    });
    println!("an agent starts with {READINGS} spooled readings, one per row");
    println!(
        "  it reads its ports after {ready:.2?}; the first spooled reading arrives after {:.2?} (goal: 2 s)",
        received.first
    );
    print_rate("all arrive", READINGS, received.all);
    let ages = &received.ages;
    let (count, p99, max) = (ages.len(), ages[ages.len() * 99 / 100], ages[ages.len() - 1]);
    println!("  age of {count} live readings meanwhile: p99 {p99:.1?}, max {max:.1?} (goal: 200 ms)");
    println!("  peak memory: {:.1} MiB (goal: 32)", peak as f64 / MIB);
}

/// Copies the one row a million times.
fn multiply(bench: &Bench) {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.create_scalar_function("checksum", -1, FunctionFlags::SQLITE_DETERMINISTIC, |arguments| {
        let mut checksum = crc32fast::Hasher::new();
        for index in 0..arguments.len() {
            let (kind, bytes): (u8, Vec<u8>) = match arguments.get_raw(index) {
                ValueRef::Integer(number) => (1, number.to_le_bytes().into()),
                ValueRef::Text(text) => (3, text.into()),
                other => panic!("unexpected column type {other:?}"),
            };
            checksum.update(&[kind]);
            checksum.update(&(bytes.len() as u64).to_le_bytes());
            checksum.update(&bytes);
        }
        Ok(i64::from(checksum.finalize()))
    })
    .expect("a function");
    let rest = "count, port, unix_us, synchronised, monotonic_us, stale_after_ms, readings";
    let sql = format!(
        "WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < {READINGS})
         INSERT INTO batches SELECT start, n, {rest}, checksum(start, n, {rest}) FROM batches, more"
    );
    file.execute(&sql, []).expect("rows");
}
