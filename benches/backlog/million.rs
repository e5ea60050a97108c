//! An agent that starts with a million readings in its spool.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::harness::{Bench, Board, eventually, free_port};
use crate::on_disk;
use crate::peer::Peer;

const READINGS: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

pub fn starts() {
    let (bench, mut board) = (Bench::new(), Board::new());
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let config = format!(
        "serial = [{{ name = \"b\", port = \"{}\" }}]\nlink = [{{ pattern = \"pair\", connect = \"{address}\" }}]",
        board.path.display(),
    );
    let mut first = bench.agent(&config);
    first.logs("port b", "");
    board.say("t-21.5");
    eventually("one is on the disk", || (on_disk(&bench) == 1).then_some(()));
    first.terminate();
    multiply(&bench);

    let peer = Peer::bind(&address, &bench);
    let start = Instant::now();
    let agent = bench.agent(&config);
    agent.logs("port b", "");
    let ready = start.elapsed();
    let first = std::thread::spawn(|| peer.first());
    let mut most = 0;
    while !first.is_finished() {
        most = most.max(agent.memory());
        std::thread::sleep(Duration::from_millis(5));
    }
    first.join().expect("it came");
    println!(
        "\nAn agent that starts with {READINGS} readings, one a row: reads its ports within {ready:.2?}, sends the first of \
         them within {:.2?}\n(wanted: 2 s); {:.1} MiB at most (wanted: 32)",
        start.elapsed(),
        most.max(agent.memory()) as f64 / MIB
    );
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
