use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::roster::{Peer, ROUTER, charts, forget, known};
use crate::harness::http::{get, get_json, post};
use crate::harness::recordings::{jpegs, recording_by};
use crate::harness::{Bench, Clock, Receiver, Sender, eventually, now_us};

/// Names that earlier versions accepted: of 252 bytes, which a directory can have, and of 256.
fn long_names() -> [String; 3] {
    ["\u{20000}".repeat(63), "\u{20000}".repeat(64), "\u{20001}".repeat(64)]
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

#[test]
fn recordings_with_long_names_expire_and_are_shown_and_removed() {
    let bench = Bench::in_memory();
    let (jpeg, [long, ..]) = (jpegs(&bench, 1).remove(0), long_names());
    let clock = Clock::new(&bench);
    clock.set(0, true, "first");
    let start = || recording_by(clock.watchpost(), &bench, "keep = \"1h\"");
    let mut receiver = start();
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send_all(std::slice::from_ref(&jpeg), 50);
    eventually("a recording", || (known(&receiver, "shed")["recordings"] == true).then_some(()));
    receiver.program.terminate();
    let agent = bench.path("recordings").join(&long);
    fs::rename(bench.path("recordings/shed"), &agent).expect("a directory");
    fs::rename(agent.join("door"), agent.join(&long)).expect("a directory");
    let old = agent.join(&long).join("2026-01-01T00-00-00.000Z_1000ms.mkv");
    fs::write(&old, [0; 1000]).expect("a file");

    let receiver = start();
    receiver.program.wait_for_log("deleting the oldest files (keep;", "");
    assert!(!old.exists());
    let path = format!("/api/recordings?from_us=0&to_us={}&agent={1}&camera={1}", now_us(), encoded(&long));
    let recorded = get_json(&receiver.page, &path).1["cameras"][0].clone();
    assert_eq!((&recorded["agent"], &recorded["camera"]), (&json!(long), &json!(long)));
    let camera = format!("/api/recordings/{0}/{0}", encoded(&long));
    let (from_us, to_us) = (&recorded["spans"][0][0], &recorded["spans"][0][1]);
    assert_eq!(get(&receiver.page, &format!("{camera}/frame.jpg?at_us={to_us}")).body, jpeg);
    assert_eq!(get(&receiver.page, &format!("{camera}/range.mkv?from_us={from_us}&to_us={to_us}")).status, 200);
    let (status, body) = forget(&receiver, &format!("/api/agents/{}?data=delete", encoded(&long)));
    assert_eq!((status, known(&receiver, &long)), (200, Value::Null), "{body}");
    assert!(!agent.exists());
}

/// Sends readings of a series, and one whose label no other reading confirms.
fn leave_readings(receiver: &Receiver, agent: &'static str) {
    let mut peer = Peer::new(receiver, agent);
    peer.send_status();
    (1..=3).for_each(|number| peer.send_reading(now_us() - number * 1_000_000, number as f64));
    let soil = json!({
        "seq": 100, "port": "climate", "captured_at_us": now_us(), "age_ms": 5, "stale_after_ms": 10_000, "stale": false,
        "values": [{ "quantity": "soil", "value": 1.0, "unit": "" }],
    });
    peer.send("readings", json!({ "batches": [soil] }), None);
    eventually("all readings", || (charts(receiver, agent).first()?.len() == 3).then_some(()));
}

/// Gives agents of the history and of the roster other names.
fn rename(bench: &Bench, names: &[(&str, &str)]) {
    let history = Connection::open(bench.history()).expect("a history");
    let roster = bench.path("state/watchpost/history.agents.json");
    let mut agents = fs::read_to_string(&roster).expect("a file");
    for (from, into) in names {
        for table in ["starts", "series", "unconfirmed"] {
            let update = format!("UPDATE {table} SET agent = ? WHERE agent = ?");
            assert_eq!(history.execute(&update, (into, from)).expect("its tables"), 1, "{table}");
        }
        agents = agents.replace(&format!("\"{from}\""), &format!("\"{into}\""));
    }
    fs::write(roster, agents).expect("a file");
}

#[test]
fn history_of_long_names_is_read_merged_and_removed() {
    let bench = Bench::new();
    let config = format!("{ROUTER}\n[record]\ndir = \"{}\"", bench.path("recordings").display());
    let mut receiver = bench.receiver(&config);
    for agent in ["old", "gone", "new"] {
        leave_readings(&receiver, agent);
    }
    eventually("all first readings of labels", || {
        let history = Connection::open(bench.history()).ok()?;
        let count: i64 = history.query_row("SELECT count(*) FROM unconfirmed", [], |row| row.get(0)).ok()?;
        (count == 3).then_some(())
    });
    receiver.program.terminate();
    let [_, old, gone] = long_names();
    rename(&bench, &[("old", &old), ("gone", &gone)]);

    let receiver = bench.receiver(&config);
    receiver.program.wait_for_log(&format!("agents: remembered new, {old}, {gone}; away until they connect"), "");
    let csv = get(&receiver.page, "/api/readings.csv").text();
    assert_eq!([&old, &gone].map(|agent| csv.matches(agent.as_str()).count()), [3, 3], "{csv}");
    for agent in [&old, &gone] {
        let known = known(&receiver, agent);
        assert_eq!((&known["state"], &known["series"]), (&json!("away"), &json!(true)), "{known}");
        assert_eq!(charts(&receiver, &encoded(agent))[0].len(), 3);
    }
    let merge = |from: &str, into: &str| {
        let path = format!("/api/agents/{}/merge", encoded(from));
        let answer = post(&receiver.page, &path, &json!({ "into": into }).to_string());
        (answer.status, answer.text())
    };
    let (status, text) = merge(&old, &gone);
    assert!(status == 400 && text.contains("at most 192 bytes"), "{status}: {text}");
    assert_eq!(merge(&old, "new").0, 200);
    assert_eq!(forget(&receiver, &format!("/api/agents/{}?data=delete", encoded(&gone))).0, 200);
    receiver.program.wait_for_log(&format!("history: completed the job: merge agent {old} into new"), "");
    receiver.program.wait_for_log(&format!("history: completed the job: remove the series of agent {gone}"), "");
    assert_eq!([&old, &gone].map(|agent| known(&receiver, agent)), [Value::Null, Value::Null]);
    // The first readings of one label under two names are two readings of a series.
    let lengths: Vec<_> = charts(&receiver, "new").iter().map(Vec::len).collect();
    assert_eq!(lengths, [6, 2]);
}
