use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::http::get_json;
use crate::harness::{Bench, Clock, FakeAgent, PATIENCE, Receiver, batch, eventually, now_us, reading};
use crate::history::open_history;

const MINUTE: i64 = 60_000_000;
const YEAR: i64 = 366 * 24 * 3600;

fn dated(first: u64, last: u64, at_us: i64) -> Value {
    let mut batch = batch(first, last);
    batch["captured_at_us"] = at_us.into();
    batch
}

fn rows(path: &Path, table: &str) -> i64 {
    open_history(path).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a table")
}

fn receiver_keeping(bench: &Bench, clock: &Clock, keep: &str) -> Receiver {
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    bench.receiver_by(clock.watchpost(), &format!("{link}[history]\nkeep = \"{keep}\"\n"))
}

#[test]
fn old_readings_expire_before_minutes_and_hours() {
    let (bench, old) = (Bench::new(), now_us() - 60 * MINUTE);
    let clock = Clock::new(&bench);
    clock.set(0, false, "first");
    let receiver = receiver_keeping(&bench, &clock, "10min");
    let agent = FakeAgent::on(&receiver);
    let mut undated = dated(5_021, 5_022, 5_000_000);
    undated["synchronised"] = false.into();
    undated["age_ms"] = Value::Null;
    // More than the receiver deletes at once.
    let many: Vec<Value> = (0..50).map(|n| dated(n * 100 + 1, n * 100 + 100, old + n as i64)).collect();
    agent.send(true, &many);
    agent.send(true, &[dated(5_001, 5_020, now_us()), undated]);
    agent.send_until_acked(&dated(5_000, 5_000, old), (1, 5_022));
    // While the clock is not synchronised, nothing expires: wait for three hellos, one per second.
    agent.socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    let is_hello = || agent.socket.recv_bytes(0).expect("a hello").starts_with(b"{\"type\":\"hello\"");
    let wait = || (0..3).for_each(|_| while !is_hello() {});
    wait();
    clock.set(3 * YEAR, false, "first");
    wait();
    assert_eq!(rows(&bench.history(), "readings"), 5_022);
    clock.set(0, true, "first");
    eventually("the old readings expire", || (rows(&bench.history(), "readings") == 22).then_some(()));
    receiver.program.wait_for_log("history: deleted ", " readings older than 10min");
    // Expired readings that arrive again are known and not stored again.
    agent.send_until_acked(&dated(1, 100, now_us()), (1, 5_022));
    assert_eq!(rows(&bench.history(), "readings"), 22);
    let chart = |from_us: i64, to_us: i64| {
        let path = format!("/api/chart?series=1&from_us={from_us}&to_us={to_us}");
        let (status, chart) = get_json(&receiver.page, &path);
        assert_eq!(status, 200, "{chart}");
        chart
    };
    let shown = chart(old - 5 * MINUTE, old + 5 * MINUTE);
    assert_eq!((&shown["step_us"], &shown["points"][0][1]), (&json!(MINUTE), &json!(1.0)), "{shown}");
    assert_eq!(shown["points"][0][2], 5_000.0);
    // A late backlog adds to the sums of its time, then expires.
    agent.send_until_acked(&dated(6_000, 6_000, old), (6_000, 6_000));
    eventually("the backlog expires", || (rows(&bench.history(), "readings") == 22).then_some(()));
    assert_eq!(chart(old - 5 * MINUTE, old + 5 * MINUTE)["points"][0][2], 6_000.0);
    clock.set(3 * YEAR, true, "first");
    eventually("minutes expire after two years", || (rows(&bench.history(), "minutes") == 0).then_some(()));
    // Readings of unknown age stay.
    eventually("readings expire", || (rows(&bench.history(), "readings") == 2).then_some(()));
    assert!(rows(&bench.history(), "hours") >= 2);
    let shown = chart(old - 5 * MINUTE, old + 5 * MINUTE);
    assert_eq!((&shown["step_us"], &shown["points"][0][2]), (&json!(60 * MINUTE), &json!(6_000.0)), "{shown}");
}

/// The SQL that created files of version 1.
const VERSION_1: &str = "
    CREATE TABLE starts(id INTEGER PRIMARY KEY, agent TEXT NOT NULL, boot TEXT NOT NULL, ahead_us INTEGER,
        UNIQUE (agent, boot));
    CREATE TABLE series(id INTEGER PRIMARY KEY, agent TEXT NOT NULL, port TEXT NOT NULL, quantity TEXT NOT NULL,
        unit TEXT NOT NULL, UNIQUE (agent, port, quantity, unit));
    CREATE TABLE readings(series INTEGER NOT NULL, at_us INTEGER NOT NULL, start INTEGER NOT NULL, seq INTEGER NOT NULL,
        value REAL NOT NULL, dated INTEGER NOT NULL, PRIMARY KEY (series, at_us, start, seq)) WITHOUT ROWID;
    CREATE TABLE kept(start INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (start, first)) WITHOUT ROWID;
    PRAGMA application_id = 2003855465;
    PRAGMA user_version = 1;
    INSERT INTO starts VALUES (1, 'shed', 'b1', NULL);
    INSERT INTO series VALUES (1, 'shed', 'climate', 't', '°C'), (2, 'shed', 'climate', 'h', '%RH');
    INSERT INTO kept VALUES (1, 1, 40000);
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40000)
    INSERT INTO readings SELECT 1 + n % 2, 1795284000000000 + n * 37000000, 1, n, (n * 7919 % 1000) / 8.0, 0 FROM numbers;";

#[test]
fn version_1_file_is_migrated() {
    let bench = Bench::new();
    let path = bench.history();
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("a temporary directory");
    let first = Connection::open(&path).expect("a file");
    first.execute_batch(VERSION_1).expect("tables");
    drop(first);
    for _ in 0..2 {
        let receiver = bench.pair_receiver();
        let agent = FakeAgent::on(&receiver);
        agent.send(true, &[batch(1, 100)]);
        agent.expect_ack(1, 40_000);
        assert_eq!(rows(&path, "readings"), 40_000);
        assert_sums_match(&path);
        let (status, chart) =
            get_json(&receiver.page, "/api/chart?series=1&from_us=1795284000000000&to_us=1796764000000000&points=600");
        assert_eq!((status, &chart["step_us"]), (200, &json!(60 * MINUTE)), "{chart}");
        assert!(!receiver.program.log().contains("could not be used"));
    }
}

#[test]
fn version_2_file_is_migrated() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(1, 9)]);
    agent.expect_ack(1, 9);
    drop(receiver);
    let file = Connection::open(bench.history()).expect("the history");
    file.execute_batch("DROP TABLE unconfirmed; DROP TABLE removed_series; DROP TABLE jobs; PRAGMA user_version = 2")
        .expect("the tables");
    drop(file);
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(5, 12), reading(13, "soil")]);
    agent.expect_ack(1, 13);
    agent.send(true, &[reading(14, "soil")]);
    agent.expect_ack(1, 14);
    assert_eq!(rows(&bench.history(), "readings"), 14);
    assert!(!receiver.program.log().contains("could not be used"));
}

#[test]
fn lone_readings_of_unknown_labels_expire() {
    let bench = Bench::new();
    let clock = Clock::new(&bench);
    clock.set(0, true, "first");
    let receiver = receiver_keeping(&bench, &clock, "10min");
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[reading(1, "soil"), batch(2, 2)]);
    agent.expect_ack(1, 2);
    assert_eq!(rows(&bench.history(), "unconfirmed"), 1);
    clock.set(20 * 60, true, "first");
    eventually("the reading of the label expires", || (rows(&bench.history(), "unconfirmed") == 0).then_some(()));
    // It is known, and not stored again; a later one is a first one.
    agent.send(true, &[reading(1, "soil")]);
    agent.expect_ack(1, 2);
    agent.send(true, &[reading(3, "soil")]);
    agent.expect_ack(1, 3);
    assert_eq!((rows(&bench.history(), "unconfirmed"), rows(&bench.history(), "series")), (1, 1));
}

/// Asserts that minutes and hours match the readings; valid while no reading has expired.
#[track_caller]
pub fn assert_sums_match(path: &Path) {
    for (table, length) in [("minutes", MINUTE), ("hours", 60 * MINUTE)] {
        let expected = format!(
            "SELECT series, at_us - at_us % {length}, count(*), min(value), max(value), round(sum(value), 6)
             FROM readings GROUP BY 1, 2"
        );
        let actual = format!("SELECT series, at_us, count, min, max, round(sum, 6) FROM {table}");
        for (these, those) in [(&expected, &actual), (&actual, &expected)] {
            let differ = format!("SELECT count(*) FROM ({these} EXCEPT {those})");
            let differ: i64 = open_history(path).query_row(&differ, [], |row| row.get(0)).expect("a number");
            assert_eq!(differ, 0, "{table}");
        }
    }
}
