//! An agent that starts with a million readings in its spool.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::harness::{Bench, Board, eventually, free_port};
use crate::peer::Peer;
use crate::{config, on_disk, rate};

const READINGS: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// How often a board speaks meanwhile.
const LIVE: Duration = Duration::from_millis(20);

pub fn starts() {
    let (bench, mut first, mut second) = (Bench::new(), Board::new(), Board::new());
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let config = config(&[&first, &second], &address);
    let mut agent = bench.agent(&config);
    agent.logs("port 0", "");
    first.say("t-21.5");
    eventually("one is on the disk", || (on_disk(&bench) == 1).then_some(()));
    agent.terminate();
    multiply(&bench);

    let peer = Peer::bind(&address, &bench);
    let start = Instant::now();
    let agent = bench.agent(&config);
    agent.logs("port 1", "");
    let ready = start.elapsed();
    let (mut most, mut said) = (0, 0);
    let took = scope(|scope| {
        let taking = scope.spawn(|| peer.take(READINGS, start));
        while !taking.is_finished() {
            second.write(format!("\nn-{said}\n").as_bytes());
            said += 1;
            most = most.max(agent.memory());
            sleep((LIVE * said).saturating_sub(start.elapsed()));
        }
        taking.join().expect("it takes all")
    });
    println!("{READINGS} readings, one a row, wait when the agent starts");
    println!(
        "  it reads its ports within {ready:.2?}, and the first are there within {:.2?} (wanted: 2 s)",
        took.first
    );
    rate("all are there", READINGS, took.all);
    let (late, ages) = (took.ages[took.ages.len() * 99 / 100], took.ages.len());
    let latest = took.ages[ages - 1];
    println!("  {ages} that are measured meanwhile: 99 % within {late:.1?}, all within {latest:.1?} (wanted: 200 ms)");
    println!("  memory: {:.1} MiB at most (wanted: 32)", most as f64 / MIB);
}

/// Makes a million rows of one.
fn multiply(bench: &Bench) {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.create_scalar_function("checksum", -1, FunctionFlags::SQLITE_DETERMINISTIC, |arguments| {
        let mut checksum = crc32fast::Hasher::new();
        for place in 0..arguments.len() {
            let (kind, bytes): (u8, Vec<u8>) = match arguments.get_raw(place) {
                ValueRef::Integer(number) => (1, number.to_le_bytes().into()),
                ValueRef::Text(text) => (3, text.into()),
                other => panic!("no column of a batch is {other:?}"),
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
