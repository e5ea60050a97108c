use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::http::get;
use crate::harness::{Bench, FakeAgent, PATIENCE, Program, Unacknowledged, batch, eventually};
use crate::history_expiry::assert_sums_match;

/// Opens a history read-only.
pub fn open_history(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a history")
}

/// The sequence numbers stored for an agent's boot, including duplicates.
pub fn numbers(path: &Path, agent: &str, boot: &str) -> Vec<u64> {
    let history = open_history(path);
    let mut select = history
        .prepare(
            "SELECT seq, value FROM readings JOIN starts ON starts.id = start JOIN series ON series.id = series
             WHERE starts.agent = ? AND boot = ? AND series.agent = starts.agent ORDER BY seq",
        )
        .expect("its tables");
    let rows = select.query_map([agent, boot], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?)));
    let rows = rows.expect("readings").map(|row| row.expect("a reading"));
    rows.map(|(seq, value)| {
        assert!((seq as f64 - value).abs() < 0.5, "{seq} has the value {value}");
        seq as u64
    })
    .collect()
}

/// The numbers from 1 to `last`.
pub fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn readings_are_stored_once_and_acks_cover_the_whole_range() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(false, &[batch(1, 2)]);
    assert!(agent.hello_promises_acks());
    agent.expect_ack(1, 2);
    for (backlog, sent, ack) in [
        (true, vec![batch(3, 9), batch(10, 10)], (1, 10)),
        (true, vec![batch(2, 5)], (1, 10)),
        (false, vec![batch(10, 10)], (1, 10)),
        (true, vec![batch(8, 12)], (1, 12)),
        (false, vec![batch(20, 21)], (20, 21)),
        (true, vec![batch(13, 19)], (1, 21)),
    ] {
        agent.send(backlog, &sent);
        assert_eq!(agent.ack(), Some(ack), "{sent:?}");
    }
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(21));
    agent.send(true, &[batch(30, 31), batch(40, 41), batch(50, 50), batch(31, 32)]);
    for ack in [(30, 32), (40, 41), (50, 50)] {
        assert_eq!(agent.ack(), Some(ack));
    }
}

#[test]
fn live_readings_are_batched_and_backlog_is_written_at_once() {
    let bench = Bench::in_memory();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let time = |backlog: bool, numbers: std::ops::RangeInclusive<u64>| {
        let (start, count) = (Instant::now(), numbers.clone().count() as u32);
        for seq in numbers {
            agent.send(backlog, &[batch(seq, seq)]);
            agent.expect_ack(1, seq);
        }
        start.elapsed() / count
    };
    let (at_once, batched) = (time(true, 1..=20), time(false, 21..=25));
    assert!(at_once < batched, "an ack took {at_once:?} for backlog and {batched:?} for live readings");
    let start = Instant::now();
    for seq in 26..=65 {
        agent.send(false, &[batch(seq, seq)]);
        receiver.program.wait_for_json("the batch", |message| message["batches"][0]["seq"] == seq);
    }
    let acks = 1 + std::iter::from_fn(|| agent.ack()).take_while(|ack| *ack != (1, 65)).count();
    // One every 250 ms, and one more at either end.
    let most = start.elapsed().as_millis() as usize / 250 + 2;
    assert!(acks <= most, "{acks} acks in the time of {most} batches");
}

#[test]
fn acks_are_separate_for_each_agent_and_boot() {
    let bench = Bench::new();
    let mut receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let agents = ["shed", "barn"].map(|name| FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1"));
    for (agent, last) in agents.iter().zip([5, 7]) {
        agent.send(true, &[batch(1, last)]);
    }
    for (agent, last) in agents.iter().zip([5, 7]) {
        agent.expect_ack(1, last);
    }
    // A connection may send readings of several boots.
    let [mut shed, _] = agents;
    for (boot, first, last, acked) in [("b2", 1, 9, (1, 9)), ("b1", 4, 6, (1, 6))] {
        shed.boot = boot;
        shed.send(true, &[batch(first, last)]);
        assert_eq!(shed.ack(), Some(acked));
    }
    assert!(receiver.program.terminate().0.success());
    for (name, boot, last) in [("shed", "b1", 6), ("barn", "b1", 7), ("shed", "b2", 9)] {
        assert_eq!(numbers(&bench.history(), name, boot), all(last));
    }
}

#[test]
fn readings_are_dated_by_the_synchronised_clock() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let long_ago = 5_000_000_i64;
    let dated = |seq: u64, synchronised: bool, age_ms: Value| {
        let mut batch = batch(seq, seq);
        batch["captured_at_us"] = long_ago.into();
        batch["synchronised"] = synchronised.into();
        batch["age_ms"] = age_ms;
        batch
    };
    let now = || jiff::Timestamp::now().as_microsecond();
    let before = now();
    agent.send(true, &[dated(1, true, 60_000.into()), dated(2, false, 60_000.into()), dated(3, false, Value::Null)]);
    agent.expect_ack(1, 3);
    let after = now();
    let history = open_history(&bench.history());
    let mut select = history.prepare("SELECT at_us, dated FROM readings ORDER BY seq").expect("its tables");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("readings");
    let rows: Vec<(i64, i64)> = rows.map(|row| row.expect("a reading")).collect();
    assert_eq!((rows[0], rows[2]), ((long_ago, 0), (long_ago, 2)));
    let (at, dated) = rows[1];
    assert!(dated == 1 && (before..=after).contains(&(at + 60_000_000)), "{at} between {before} and {after}");
}

/// Differences in transit time do not count; only a clock change does.
#[test]
fn unsynchronised_readings_keep_their_spacing() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    for (seq, captured_at_us, age_ms) in
        [(1, 1_000_000, 300), (2, 1_010_000, 0), (3, 1_020_000, 250), (4, 90_000_000, 0)]
    {
        let mut batch = batch(seq, seq);
        batch["synchronised"] = false.into();
        (batch["captured_at_us"], batch["age_ms"]) = (captured_at_us.into(), age_ms.into());
        agent.send(true, &[batch]);
        agent.expect_ack(1, seq);
    }
    let history = open_history(&bench.history());
    let mut select = history.prepare("SELECT at_us FROM readings ORDER BY seq").expect("its tables");
    let at: Vec<i64> =
        select.query_map([], |row| row.get(0)).expect("readings").map(|at| at.expect("a time")).collect();
    assert_eq!((at[1] - at[0], at[2] - at[0]), (10_000, 20_000));
    assert!((0..PATIENCE.as_micros() as i64).contains(&(at[3] - at[0])), "{at:?}");
}

#[test]
fn impossible_readings_are_malformed_and_not_acknowledged() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let with = |key: &str, value: Value| {
        let mut batch = batch(3, 4);
        batch[key] = value;
        batch
    };
    let mut without_values = batch(7, 7);
    without_values["values"] = json!([]);
    for impossible in [
        with("seq", (u64::MAX - 1).into()),
        with("seq", i64::MAX.into()),
        with("captured_at_us", i64::MIN.into()),
        with("age_ms", u64::MAX.into()),
    ] {
        agent.send(true, &[batch(1, 2), impossible]);
    }
    agent.send(true, &[without_values, batch(5, 6)]);
    agent.expect_ack(5, 6);
    assert_eq!(numbers(&bench.history(), "shed", "b1"), [5, 6]);
    let metrics = get(&receiver.page, "/metrics").text();
    let line = metrics.lines().find(|line| line.contains("cause=\"reading\"")).expect("a counter");
    assert!(line.ends_with(" 4"), "{line}");
}

#[test]
fn starts_without_readings_leave_no_rows() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let empty = json!({
        "seq": 1, "port": "climate", "captured_at_us": 0, "synchronised": false, "age_ms": 5, "stale_after_ms": 10_000,
        "stale": false, "values": [],
    });
    for boot in ["b1", "b2", "b3"] {
        let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", boot);
        agent.send(true, &[]);
        agent.send(true, std::slice::from_ref(&empty));
        if boot == "b3" {
            agent.send(true, &[batch(1, 2)]);
            agent.expect_ack(1, 2);
        }
    }
    let history = open_history(&bench.history());
    let starts: i64 = history.query_row("SELECT count(*) FROM starts", [], |row| row.get(0)).expect("a number");
    assert_eq!(starts, 1);
}

#[test]
fn readings_with_too_many_gaps_are_refused_until_the_gaps_are_filled() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    // Every third number makes a range of its own: one range over the limit.
    let thirds: Vec<Value> = (0..10_001).map(|third| batch(third * 3 + 1, third * 3 + 1)).collect();
    thirds[..10_000].chunks(500).for_each(|part| agent.send(true, part));
    agent.send_until_acked(&thirds[9_999], (29_998, 29_998));
    agent.socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    agent.send(true, &thirds[10_000..]);
    assert_eq!(agent.refusal(), (30_001, 30_001, "gap_limit".to_owned()));
    let stored = sequence_numbers(&bench.history());
    assert!(stored.contains(&29_998) && !stored.contains(&30_001));
    // Numbers that extend a range are still stored.
    agent.send_until_acked(&batch(29_999, 30_000), (29_998, 30_000));
    agent.send_until_acked(&batch(30_001, 30_001), (29_998, 30_001));
    receiver.program.wait_for_log("history: readings of agent shed refused: their numbers have too many gaps", "");
    let metrics = get(&receiver.page, "/metrics").text();
    assert!(metrics.contains("watchpost_quota_refused_total{quota=\"number_gaps\"} 1\n"), "{metrics}");
}

/// The sequence numbers stored, of any agent, boot and value.
fn sequence_numbers(path: &Path) -> BTreeSet<i64> {
    let history = open_history(path);
    let mut select = history.prepare("SELECT seq FROM readings").expect("its tables");
    let rows = select.query_map([], |row| row.get(0)).expect("readings");
    rows.map(|row| row.expect("a reading")).collect()
}

#[test]
fn acknowledged_readings_survive_a_kill_without_duplicates() {
    let bench = Bench::new();
    let mut unsent = Unacknowledged::new(30_000);
    for _ in 0..6 {
        let mut receiver = bench.pair_receiver();
        let agent = FakeAgent::on(&receiver);
        agent.send(true, &[batch(1, 1)]);
        unsent.record(agent.ack().expect("an ack"));
        agent.socket.set_rcvtimeo(0).expect("a timeout");
        let end = Instant::now() + Duration::from_millis(fastrand::u64(20..400));
        let mut next = 1;
        while Instant::now() < end {
            next = unsent.send(&agent, next, 20).unwrap_or(1);
            while let Some(ack) = agent.ack() {
                unsent.record(ack);
            }
        }
        receiver.program.kill();
        let stored: BTreeSet<u64> = numbers(&bench.history(), "shed", "b1").into_iter().collect();
        let lost: Vec<_> = unsent.acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert_sums_match(&bench.history());
    }
    let receiver = bench.pair_receiver();
    unsent.send_until_acked(&FakeAgent::on(&receiver));
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(30_000));
}

/// This includes readings from publishers, which get no acks.
#[test]
fn shutdown_writes_everything_received() {
    // In memory: what a slow disk does not write within a second of the shutdown is abandoned.
    let bench = Bench::in_memory();
    for kind in [zmq::PAIR, zmq::PUB] {
        let pattern = if kind == zmq::PAIR { "pair" } else { "sub" };
        let mut receiver = bench.receiver(&format!("pattern = \"{pattern}\"\nbind = \"tcp://127.0.0.1:*\""));
        let agent = FakeAgent::new(kind, &receiver.link, "shed", if kind == zmq::PAIR { "b1" } else { "b2" });
        // A publisher's messages are lost until the receiver has subscribed.
        let mut seq = 0;
        eventually("a batch", || {
            seq += 1;
            agent.send(false, &[batch(seq, seq)]);
            receiver.program.find_json(|message| message["boot"] == agent.boot && message["type"] == "readings")
        });
        let (status, took) = receiver.program.terminate();
        assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
        assert!(!receiver.program.log().contains("abandoning"), "{}", receiver.program.log());
        let stored: BTreeSet<u64> = numbers(&bench.history(), "shed", agent.boot).into_iter().collect();
        let seq_of = |line: &str| serde_json::from_str::<Value>(line).ok()?["batches"][0]["seq"].as_u64();
        let printed = || receiver.program.out().lines().filter_map(seq_of).collect::<BTreeSet<u64>>();
        // The last output lines may be collected after the exit.
        eventually("every printed number is stored", || (!stored.is_empty() && printed() == stored).then_some(()));
        if kind == zmq::PAIR {
            let last = *stored.last().expect("not empty");
            while agent.ack().expect("an ack of every number").1 < last {}
        }
    }
}

/// Starts a second receiver with this table, while the first one uses the history.
fn second(bench: &Bench, table: &str) -> Program {
    let config = bench.path("second.toml");
    let text =
        format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n{table}");
    fs::write(&config, text).expect("a temporary file");
    Program::start(bench.watchpost("receive").arg("--config").arg(&config))
}

#[test]
fn unusable_history_is_fatal_only_if_configured() {
    let bench = Bench::new();
    let _first = bench.pair_receiver();
    let configured = |path: &Path| second(&bench, &format!("[history]\npath = \"{}\"\n", path.display()));
    let mut refused = configured(&bench.history());
    assert_eq!(refused.wait().code(), Some(1));
    refused.wait_for_log(
        "history.sqlite cannot be used (",
        "in use by another program); set [history] path to another file",
    );

    let newer = bench.path("newer.sqlite");
    let created = Connection::open(&newer).and_then(|file| {
        file.execute_batch("CREATE TABLE t(n); PRAGMA application_id = 2003855465; PRAGMA user_version = 4")
    });
    created.expect("a file");
    let mut refused = configured(&newer);
    assert_eq!(refused.wait().code(), Some(1));
    refused.wait_for_log("newer.sqlite cannot be used (", "written by a newer watchpost)");

    let without = second(&bench, "");
    without.wait_for_log("readings are not stored: ", "in use by another program)");
    let off = second(&bench, "[history]\noff = true\n");
    for program in [without, off] {
        let link = format!("tcp://{}", program.wait_for_log("link tcp://", ": open"));
        program.wait_for_log("the page is at", "");
        let agent = FakeAgent::new(zmq::PAIR, &link, "shed", "b9");
        agent.send(true, &[batch(1, 1)]);
        assert!(!agent.hello_promises_acks() && !agent.hello_promises_acks());
    }
    assert_eq!(numbers(&bench.history(), "shed", "b9"), [0_u64; 0]);
}

#[test]
fn history_settings_are_checked_and_reported() {
    let bench = Bench::new();
    let config = bench.path("receiver.toml");
    let check = |table: &str| {
        let text = format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:5559\"\n{table}");
        fs::write(&config, text).expect("a temporary file");
        let output = bench.watchpost("check").arg("--config").arg(&config).output().expect("watchpost starts");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    for (table, words) in [
        ("", "state/watchpost/history.sqlite every reading is kept, for 90d"),
        ("[history]\npath = \"/var/h.sqlite\"", "/var/h.sqlite every reading is kept, for 90d"),
        ("[history]\nkeep = \"30d\"", "every reading is kept, for 30d"),
        ("[history]\nkeep = \"1 month\"", "receiver.toml, line 5: \"1 month\" is not a duration"),
        ("[history]\noff = true", "off          no reading is kept"),
        ("[history]\nmax_series = 0", "receiver.toml, line 5: "),
        ("[history]\nmax_series_per_agent = -1", "receiver.toml, line 5: "),
        ("[history]\npath = \"h.sqlite\"", "receiver.toml, line 5: \"h.sqlite\" is not a whole path of a file"),
        ("[history]\nof = true", "receiver.toml, line 5: unknown key `of`; did you mean `off`?"),
        ("[histori]\noff = true", "unknown key `histori`"),
    ] {
        assert!(check(table).contains(words), "{table}: {}", check(table));
    }
}
