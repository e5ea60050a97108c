use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{Agent, Bench, PATIENCE, Program, Unsent, batch, eventually};
use crate::history_expiry::agree;

pub fn look(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a history")
}

/// The numbers that are kept of an agent's start, as often as they are.
pub fn numbers(path: &Path, agent: &str, boot: &str) -> Vec<u64> {
    let history = look(path);
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

pub fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn readings_are_kept_once_and_acknowledged_with_all_that_are_there() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    agent.sends(false, &[batch(1, 2)]);
    assert!(agent.greeted());
    agent.is_told(1, 2);
    for (backlog, sent, told) in [
        (true, vec![batch(3, 9), batch(10, 10)], (1, 10)),
        (true, vec![batch(2, 5)], (1, 10)),
        (false, vec![batch(10, 10)], (1, 10)),
        (true, vec![batch(8, 12)], (1, 12)),
        (false, vec![batch(20, 21)], (20, 21)),
        (true, vec![batch(13, 19)], (1, 21)),
    ] {
        agent.sends(backlog, &sent);
        assert_eq!(agent.ack(), Some(told), "{sent:?}");
    }
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(21));
    agent.sends(true, &[batch(30, 31), batch(40, 41), batch(50, 50), batch(31, 32)]);
    for told in [(30, 32), (40, 41), (50, 50)] {
        assert_eq!(agent.ack(), Some(told));
    }
}

#[test]
fn live_readings_are_written_in_groups_and_others_at_once() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    let start = Instant::now();
    for seq in 1..=20 {
        agent.sends(true, &[batch(seq, seq)]);
        agent.is_told(1, seq);
    }
    assert!(start.elapsed() < Duration::from_secs(3), "20 in {:?}", start.elapsed());
    for seq in 21..=60 {
        agent.sends(false, &[batch(seq, seq)]);
        receiver.program.says_json("it came", |message| message["batches"][0]["seq"] == seq);
    }
    let acks = 1 + std::iter::from_fn(|| agent.ack()).take_while(|ack| *ack != (1, 60)).count();
    assert!(acks < 20, "{acks} acks");
}

#[test]
fn agents_and_their_starts_are_told_apart_and_each_hears_of_its_own() {
    let bench = Bench::new();
    let mut receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let agents = [("shed", "b1"), ("barn", "b1"), ("shed", "b2")]
        .map(|(name, boot)| Agent::new(zmq::DEALER, &receiver.link, name, boot));
    for (agent, last) in agents.iter().zip([5, 7, 9]) {
        agent.sends(true, &[batch(1, last)]);
    }
    for (agent, last) in agents.iter().zip([5, 7, 9]) {
        agent.is_told(1, last);
    }
    // Also what was sent in an earlier start of the agent, by whoever it is now.
    let again = Agent { boot: "b1", ..Agent::new(zmq::DEALER, &receiver.link, "shed", "b2") };
    again.sends(true, &[batch(4, 6)]);
    again.is_told(1, 6);
    assert!(receiver.program.terminate().0.success());
    for (name, boot, last) in [("shed", "b1", 6), ("barn", "b1", 7), ("shed", "b2", 9)] {
        assert_eq!(numbers(&bench.history(), name, boot), all(last));
    }
}

#[test]
fn a_reading_is_dated_by_the_clock_that_is_right() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
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
    agent.sends(true, &[dated(1, true, 60_000.into()), dated(2, false, 60_000.into()), dated(3, false, Value::Null)]);
    agent.is_told(1, 3);
    let after = now();
    let history = look(&bench.history());
    let mut select = history.prepare("SELECT at_us, dated FROM readings ORDER BY seq").expect("its tables");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("readings");
    let rows: Vec<(i64, i64)> = rows.map(|row| row.expect("a reading")).collect();
    assert_eq!((rows[0], rows[2]), ((long_ago, 0), (long_ago, 2)));
    let (at, dated) = rows[1];
    assert!(dated == 1 && (before..=after).contains(&(at + 60_000_000)), "{at} between {before} and {after}");
}

/// Another message may have taken longer on its way; only a clock that was set makes a difference.
#[test]
fn readings_of_a_clock_that_nobody_set_are_as_far_apart_as_they_were_measured() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    for (seq, captured_at_us, age_ms) in
        [(1, 1_000_000, 300), (2, 1_010_000, 0), (3, 1_020_000, 250), (4, 90_000_000, 0)]
    {
        let mut batch = batch(seq, seq);
        batch["synchronised"] = false.into();
        (batch["captured_at_us"], batch["age_ms"]) = (captured_at_us.into(), age_ms.into());
        agent.sends(true, &[batch]);
        agent.is_told(1, seq);
    }
    let history = look(&bench.history());
    let mut select = history.prepare("SELECT at_us FROM readings ORDER BY seq").expect("its tables");
    let at: Vec<i64> = select.query_map([], |row| row.get(0)).expect("readings").map(|at| at.expect("one")).collect();
    assert_eq!((at[1] - at[0], at[2] - at[0]), (10_000, 20_000));
    assert!((0..PATIENCE.as_micros() as i64).contains(&(at[3] - at[0])), "{at:?}");
}

#[test]
fn numbers_that_no_column_holds_are_refused_and_cost_nothing_else() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    let mut of_all_ages = batch(3, 3);
    of_all_ages["synchronised"] = false.into();
    of_all_ages["age_ms"] = u64::MAX.into();
    let mut without_values = batch(7, 7);
    without_values["values"] = json!([]);
    let mut last = batch(1, 3);
    last["seq"] = (u64::MAX - 1).into();
    agent.sends(true, &[batch(1, 2), last, of_all_ages, without_values, batch(4, 5)]);
    // A number that is one is acknowledged, so that it does not come again and again.
    agent.is_told(1, 5);
    receiver.program.logs("history: readings are not kept", "(4 so far)");
    assert_eq!(numbers(&bench.history(), "shed", "b1"), [1, 2, 4, 5]);
}

#[test]
fn more_series_or_pieces_than_memory_is_for_are_not_kept_and_do_not_come_again() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    let quantity = |seq: u64, quantity: String| {
        let mut batch = batch(seq, seq);
        batch["values"][0]["quantity"] = quantity.into();
        batch
    };
    let in_parts = |batches: Vec<Value>| batches.chunks(500).for_each(|part| agent.sends(true, part));
    let known = |seq: u64| quantity(seq, "q7".to_owned());
    in_parts((1..=10_004).map(|seq| quantity(seq, format!("q{seq}"))).collect());
    receiver.program.logs("history: readings are not kept", "");
    agent.sends_until_told(&known(10_001), (1, 10_004));
    // Two numbers between each, and one range more than there may be.
    in_parts((4_000..14_000).map(|third| known(third * 3)).collect());
    agent.sends_until_told(&known(3 * 13_998), (3 * 13_998, 3 * 13_998));
    agent.sends_until_told(&known(50_000), (50_000, 50_000));
    // What begins no new one is still kept.
    agent.sends_until_told(&known(3 * 13_998 + 1), (3 * 13_998, 3 * 13_998 + 1));
    let kept = numbers_of_any_value(&bench.history());
    assert!(kept.contains(&(3 * 13_998)) && !kept.contains(&(3 * 13_999)) && !kept.contains(&50_000));
}

fn numbers_of_any_value(path: &Path) -> BTreeSet<i64> {
    let history = look(path);
    let mut select = history.prepare("SELECT seq FROM readings").expect("its tables");
    let rows = select.query_map([], |row| row.get(0)).expect("readings");
    rows.map(|row| row.expect("a reading")).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_nothing_is_there_twice() {
    let bench = Bench::new();
    let mut unsent = Unsent::new(30_000);
    for _ in 0..6 {
        let mut receiver = bench.pair_receiver();
        let agent = Agent::on(&receiver);
        agent.sends(true, &[batch(1, 1)]);
        unsent.hear(agent.ack().expect("it keeps"));
        agent.socket.set_rcvtimeo(0).expect("a timeout");
        let end = Instant::now() + Duration::from_millis(fastrand::u64(20..400));
        let mut next = 1;
        while Instant::now() < end {
            next = unsent.send(&agent, next, 20).unwrap_or(1);
            while let Some(ack) = agent.ack() {
                unsent.hear(ack);
            }
        }
        receiver.program.kill();
        let there: BTreeSet<u64> = numbers(&bench.history(), "shed", "b1").into_iter().collect();
        let lost: Vec<_> = unsent.acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        agree(&bench.history());
    }
    let receiver = bench.pair_receiver();
    unsent.finish(&Agent::on(&receiver));
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(30_000));
}

/// What came is written when the receiver ends, also from who is not told of it.
#[test]
fn the_end_leaves_nothing_behind() {
    let bench = Bench::new();
    for kind in [zmq::PAIR, zmq::PUB] {
        let pattern = if kind == zmq::PAIR { "pair" } else { "sub" };
        let mut receiver = bench.receiver(&format!("pattern = \"{pattern}\"\nbind = \"tcp://127.0.0.1:*\""));
        let agent = Agent::new(kind, &receiver.link, "shed", if kind == zmq::PAIR { "b1" } else { "b2" });
        // A publisher has to be subscribed to first.
        let mut seq = 0;
        eventually("it came", || {
            seq += 1;
            agent.sends(false, &[batch(seq, seq)]);
            receiver.program.said_json(|message| message["boot"] == agent.boot && message["type"] == "readings")
        });
        let (status, took) = receiver.program.terminate();
        assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
        assert!(!receiver.program.log().contains("left behind"), "{}", receiver.program.log());
        let there: BTreeSet<u64> = numbers(&bench.history(), "shed", agent.boot).into_iter().collect();
        let seq_of = |line: &str| serde_json::from_str::<Value>(line).ok()?["batches"][0]["seq"].as_u64();
        let came = || receiver.program.out().lines().filter_map(seq_of).collect::<BTreeSet<u64>>();
        // What it said last is read after its end.
        eventually("what came is there", || (!there.is_empty() && came() == there).then_some(()));
        if kind == zmq::PAIR {
            let last = *there.last().expect("not empty");
            while agent.ack().expect("an ack of all").1 < last {}
        }
    }
}

/// A second receiver beside one that has the history, with this in its configuration.
fn second(bench: &Bench, table: &str) -> Program {
    let config = bench.path("second.toml");
    let text =
        format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n{table}");
    fs::write(&config, text).expect("a temporary file");
    Program::start(bench.watchpost("receive").arg("--config").arg(&config))
}

#[test]
fn a_history_that_cannot_be_had_is_an_error_only_where_it_was_asked_for() {
    let bench = Bench::new();
    let _first = bench.pair_receiver();
    let asked = |path: &Path| second(&bench, &format!("[history]\npath = \"{}\"\n", path.display()));
    let mut refused = asked(&bench.history());
    assert_eq!(refused.wait().code(), Some(1));
    refused.logs("history.sqlite cannot be used (", "in use by another program); [history] path = … names another");

    let newer = bench.path("newer.sqlite");
    let made = Connection::open(&newer).and_then(|file| {
        file.execute_batch("CREATE TABLE t(n); PRAGMA application_id = 2003855465; PRAGMA user_version = 3")
    });
    made.expect("a file");
    let mut refused = asked(&newer);
    assert_eq!(refused.wait().code(), Some(1));
    refused.logs("newer.sqlite cannot be used (", "written by a newer watchpost)");

    let without = second(&bench, "");
    without.logs("no reading is kept, because ", "in use by another program)");
    let off = second(&bench, "[history]\noff = true\n");
    for program in [without, off] {
        let link = format!("tcp://{}", program.logs("link tcp://", ": open"));
        program.logs("the page is at", "");
        let agent = Agent::new(zmq::PAIR, &link, "shed", "b9");
        agent.sends(true, &[batch(1, 1)]);
        assert!(!agent.greeted() && !agent.greeted());
    }
    assert_eq!(numbers(&bench.history(), "shed", "b9"), [0_u64; 0]);
}

#[test]
fn where_it_is_stands_in_the_file_is_checked_and_is_told() {
    let bench = Bench::new();
    let config = bench.path("receiver.toml");
    let check = |table: &str| {
        let text = format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:5559\"\n{table}");
        fs::write(&config, text).expect("a temporary file");
        let said = bench.watchpost("check").arg("--config").arg(&config).output().expect("it starts");
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    };
    for (table, words) in [
        ("", "state/watchpost/history.sqlite every reading is kept, for 90d"),
        ("[history]\npath = \"/var/h.sqlite\"", "/var/h.sqlite every reading is kept, for 90d"),
        ("[history]\nkeep = \"30d\"", "every reading is kept, for 30d"),
        ("[history]\nkeep = \"1 month\"", "receiver.toml, line 5: \"1 month\" is not a duration"),
        ("[history]\noff = true", "off          no reading is kept"),
        ("[history]\npath = \"h.sqlite\"", "receiver.toml, line 5: \"h.sqlite\" is not a whole path of a file"),
        ("[history]\nof = true", "receiver.toml, line 5: unknown key `of`; did you mean `off`?"),
        ("[histori]\noff = true", "unknown key `histori`"),
    ] {
        assert!(check(table).contains(words), "{table}: {}", check(table));
    }
}
