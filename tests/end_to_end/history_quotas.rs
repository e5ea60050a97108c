use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::http::{ask, get, get_json};
use crate::harness::hub::{Hub, ack, hello, spooling, take, waits_for};
use crate::harness::{
    Bench, Board, Browser, FakeAgent, Fault, PATIENCE, Receiver, batch, eventually, free_port, reading,
};
use crate::history::{numbers, open_history};
use crate::history_expiry::assert_sums_match;
use crate::web_access::with;

fn count(path: &Path, table: &str) -> i64 {
    open_history(path).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a table")
}

/// Sends the readings in messages of 20, and waits until all are acknowledged.
fn store(agent: &FakeAgent, batches: &[Value]) {
    batches.chunks(20).for_each(|part| agent.send(true, part));
    let last = batches.last().expect("a reading");
    let seq = last["seq"].as_u64().expect("a number") + last["values"].as_array().map_or(0, Vec::len) as u64 - 1;
    agent.send_until_acked(last, (1, seq));
    agent.socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
}

/// The series with these parameters, and the `after` of the next part.
fn series(receiver: &Receiver, parameters: &str) -> (Vec<Value>, Option<i64>) {
    let (status, body) = get_json(&receiver.page, &format!("/api/series{parameters}"));
    assert_eq!(status, 200, "{body}");
    (body["series"].as_array().expect("a list").clone(), body["next"].as_i64())
}

fn quota(receiver: &Receiver) -> String {
    get(&receiver.page, "/metrics").text()
}

/// A configuration with a link at this address and these lines in `[history]`.
fn config(pattern: &str, link: &str, history: &str) -> String {
    format!(
        "[[link]]\npattern = \"{pattern}\"\nbind = \"{link}\"\n[web]\nlisten = \"127.0.0.1:0\"\n[history]\n{history}\n"
    )
}

#[test]
fn counter_in_a_label_makes_no_series() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    // Two readings per line: one is labelled by a counter.
    let lines: Vec<Value> = (0..20_000)
        .map(|line| {
            let mut batch = batch(2 * line + 1, 2 * line + 2);
            batch["values"][1]["quantity"] = format!("{line} soil").into();
            batch
        })
        .collect();
    store(&agent, &lines);
    assert_eq!(series(&receiver, "").0.len(), 1);
    assert_eq!(count(&bench.history(), "readings"), 20_000);
    assert_eq!(count(&bench.history(), "unconfirmed"), 4_000);
    assert!(quota(&receiver).contains("watchpost_history_unconfirmed_removed_total 16000\n"), "{}", quota(&receiver));
    receiver.program.wait_for_log("history: readings removed whose labels occurred only once", "of agent shed");
    assert_sums_match(&bench.history());
}

#[test]
fn second_reading_of_a_label_makes_a_series_of_both() {
    let bench = Bench::new();
    let mut receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[reading(1, "soil")]);
    agent.expect_ack(1, 1);
    assert_eq!(series(&receiver, "").0.len(), 0);
    receiver.program.kill();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    // The same reading again does not confirm its label.
    agent.send(true, &[reading(1, "soil")]);
    agent.expect_ack(1, 1);
    assert_eq!(series(&receiver, "").0.len(), 0);
    agent.send(true, &[reading(2, "soil"), reading(3, "\u{feff}soil\u{200b}"), reading(4, "silt")]);
    agent.expect_ack(1, 4);
    assert_eq!(numbers(&bench.history(), "shed", "b1"), [1, 2, 3]);
    let (known, _) = series(&receiver, "");
    assert_eq!(known.iter().map(|series| &series["quantity"]).collect::<Vec<_>>(), ["soil"]);
    assert_sums_match(&bench.history());
}

/// The agent keeps what is refused, says why, and newer readings are not held up.
#[test]
fn refused_readings_arrive_once_the_limit_is_raised() {
    let bench = Bench::new();
    let link = format!("tcp://127.0.0.1:{}", free_port());
    let receiver = bench.receiver_of(&config("router", &link, "max_series_per_agent = 3"));
    let mut board = Board::new();
    let agent = bench.agent(&format!(
        "name = \"shed\"\nserial = [{{ name = \"gas\", port = \"{}\" }}]\n\
         link = [{{ pattern = \"dealer\", connect = \"{link}\" }}]\n",
        board.path.display()
    ));
    agent.wait_for_log("connected", "");
    let stored = |quantity: &str| -> Vec<i64> {
        let history = open_history(&bench.history());
        let mut select = history
            .prepare("SELECT value FROM readings JOIN series ON series.id = series WHERE quantity = ? ORDER BY value")
            .expect("its tables");
        let rows = select.query_map([quantity], |row| row.get::<_, f64>(0)).expect("readings");
        rows.map(|value| value.expect("a value") as i64).collect()
    };
    let mut lines = 0;
    let mut write = |lines_more: i64| {
        for _ in 0..lines_more {
            lines += 1;
            board.write_line(&format!("a-{lines}-b-{lines}-c-{lines}-d-{lines}-e-{lines}"));
        }
        (1..=lines).collect::<Vec<i64>>()
    };
    let mut sent = write(40);
    let cause = |receiver: &Receiver| {
        let (_, wall) = get_json(&receiver.page, "/api/wall");
        wall["agents"][0]["links"][0].clone()
    };
    let refused = eventually("the link's status says why", || {
        sent = write(1);
        let link = cause(&receiver);
        link["cause"].as_str()?.contains("the receiver cannot keep").then_some(link)
    });
    let text = refused["cause"].as_str().expect("a cause");
    assert!(text.contains("it has its limit of series for this agent"), "{text}");
    assert!(refused["counts"]["readings_refused"].as_u64() > Some(0), "{refused}");
    eventually("readings of the three series", || (["a", "b", "c"].iter().all(|q| stored(q) == sent)).then_some(()));
    assert_eq!((stored("d").len(), stored("e").len()), (0, 0));
    receiver.program.wait_for_log("history: readings of agent shed refused: limit of 3 series reached", "");
    drop(receiver);
    sent = write(5);
    let _receiver = bench.receiver_of(&config("router", &link, "max_series_per_agent = 100"));
    for quantity in ["a", "b", "c", "d", "e"] {
        eventually(&format!("every reading of {quantity}"), || (stored(quantity) == sent).then_some(()));
    }
}

/// Unanswered readings are repeated after ten seconds, refused ones after a minute.
#[test]
fn refused_readings_are_not_repeated_soon() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "");
    agent.wait_for_log("open at", "");
    let peer = hub.open();
    peer.send(&hello());
    peer.wait_for("a status", |header| header["type"] == "status");
    board.write_line("n-1-m-2-o-3");
    board.write_line("n-4-m-5-o-6");
    let received = take(peer, 1..=6);
    // The spool knows the readings, too: it ignores answers to others.
    waits_for(&bench, 6);
    let boot = &received[0]["boot"];
    peer.send(&ack(boot, 1, 2));
    for (first, last, cause) in [(3, 4, "series_limit"), (5, 5, "moon_phase")] {
        peer.send(&json!({ "type": "refused", "boot": boot, "first": first, "seq": last, "cause": cause }));
    }
    peer.send(&ack(boot, 6, 6));
    let is_status = |header: &Value| header["type"] == "status";
    for _ in 0..13 {
        peer.wait_for("a status", |header| {
            assert_ne!(header["backlog"], true, "{header}");
            peer.send(&hello());
            is_status(header)
        });
    }
    let status = peer.wait_for("a status", is_status);
    let link = &status["links"][0];
    assert_eq!(link["counts"]["readings_refused"], 3, "{link}");
    assert_eq!(link["up"], true);
    assert!(link["cause"].as_str().is_some_and(|text| text.contains("cannot keep 1 or more readings")), "{link}");
    // A new connection may be to a receiver with other limits.
    hub.close();
    let peer = hub.open();
    let again = take(peer, 3..=5);
    assert!(again.iter().all(|reading| reading["backlog"] == true), "{again:?}");
}

#[test]
fn readings_beyond_a_limit_are_refused_with_its_name() {
    let bench = Bench::new();
    let mut receiver =
        bench.receiver_of(&config("router", "tcp://127.0.0.1:*", "max_series = 4\nmax_series_per_agent = 3"));
    let [shed, barn] = ["shed", "barn"].map(|name| FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1"));
    let twice = |first: u64, quantities: &[&str]| -> Vec<Value> {
        let all = quantities.iter().chain(quantities);
        (first..).zip(all).map(|(seq, quantity)| reading(seq, quantity)).collect()
    };
    shed.send(true, &twice(1, &["q1", "q2", "q3", "q4"]));
    // A first reading needs no series, so a counter in a label reaches no limit.
    shed.expect_ack(1, 7);
    assert_eq!(shed.refusal(), (8, 8, "series_limit".to_owned()));
    shed.send(true, &[reading(9, "q1"), reading(10, "q5"), reading(11, "q5"), reading(12, "q2")]);
    assert_eq!(shed.refusal(), (11, 11, "series_limit".to_owned()));
    barn.send(true, &twice(1, &["q1"]));
    barn.expect_ack(1, 2);
    barn.send(true, &[reading(3, "q2"), reading(4, "q2")]);
    assert_eq!(barn.refusal(), (4, 4, "total_series_limit".to_owned()));
    assert!(receiver.program.terminate().0.success());
    let receiver = bench.receiver_of(&config("router", "tcp://127.0.0.1:*", ""));
    let shed = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    shed.send(true, &[reading(8, "q4")]);
    shed.expect_ack(1, 10);
    assert_eq!(count(&bench.history(), "readings"), 3 * 2 + 2 + 2 + 2);
}

/// An eighth of the agents is connected at a time, so that the test needs fewer descriptors.
#[test]
fn thousand_agents_with_twenty_quantities_get_all_their_series() {
    const AGENTS: u64 = 1_000;
    const AT_ONCE: u64 = 125;
    const QUANTITIES: u64 = 20;
    let bench = Bench::in_memory();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let context = zmq::Context::new();
    for first in (0..AGENTS).step_by(AT_ONCE as usize) {
        let agents: Vec<_> = (first..first + AT_ONCE)
            .map(|number| {
                let socket = context.socket(zmq::DEALER).expect("a socket");
                socket.set_linger(0).expect("an option");
                socket.set_rcvtimeo(1_000).expect("a timeout");
                socket.connect(&receiver.link).expect("an address");
                (format!("agent-{number}"), socket)
            })
            .collect();
        for (name, socket) in &agents {
            eventually("all readings are acknowledged", || {
                let batches: Vec<Value> =
                    (0..3 * QUANTITIES).map(|n| reading(n + 1, &format!("q{}", n % QUANTITIES))).collect();
                let header = json!({
                    "type": "readings", "v": 1, "agent": name, "boot": "b1", "backlog": true, "batches": batches
                });
                socket.send_multipart([b"".to_vec(), header.to_string().into_bytes()], 0).expect("it is sent");
                std::iter::from_fn(|| socket.recv_bytes(0).ok()).find_map(|bytes| {
                    let control: Value = serde_json::from_slice(&bytes).expect("JSON");
                    (control["type"] == "ack" && control["seq"] == 3 * QUANTITIES).then_some(())
                })
            });
        }
    }
    assert_eq!(count(&bench.history(), "series"), (AGENTS * QUANTITIES) as i64);
    assert_eq!(count(&bench.history(), "readings"), (3 * AGENTS * QUANTITIES) as i64);
    assert_eq!(count(&bench.history(), "unconfirmed"), 0);
}

#[test]
fn removed_series_disappears_with_its_readings() {
    let bench = Bench::new();
    let (receiver, [control, view]) = bench.guarded();
    let agent = FakeAgent::on(&receiver);
    let of = |port: &str, first: u64| {
        let mut batch = batch(first, first + 99);
        batch["port"] = port.into();
        batch
    };
    let batches: Vec<Value> = (0..200).map(|n| of(["climate", "cellar"][n % 2], n as u64 * 100 + 1)).collect();
    store(&agent, &batches);
    let list = || with(&receiver.page, "GET", "/api/series", &view, "").json()["series"].as_array().cloned();
    let known = list().expect("a list");
    let id = known.iter().find(|series| series["port"] == "climate").expect("a series")["id"].clone();
    let remove = |token: &str, id: &str| with(&receiver.page, "DELETE", &format!("/api/series/{id}"), token, "");
    assert_eq!(remove(&view, &id.to_string()).status, 403);
    assert_eq!(remove(&control, "x").status, 400);
    assert_eq!(remove(&control, "99").status, 404);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync,pwrite64:error=EIO");
    let failed = remove(&control, &id.to_string());
    let text = failed.json()["error"].to_string();
    assert!(failed.status == 503 && text.contains("the history cannot be changed now"), "{} {text}", failed.status);
    fault.repair();
    eventually("the disk works again", || (remove(&control, &id.to_string()).status == 202).then_some(()));
    assert_eq!(list().expect("a list").len(), 1);
    assert_eq!(remove(&control, &id.to_string()).status, 404);
    receiver.program.wait_for_log(&format!("history: completed the job: remove series {id}"), "");
    for table in ["readings", "minutes", "hours"] {
        let left = format!("{table} WHERE series = {id}");
        assert_eq!(count(&bench.history(), &left), 0, "{table}");
    }
    assert_eq!(count(&bench.history(), "readings"), 10_000);
    // Its numbers are still known. A new reading makes a new series.
    agent.send(true, &[of("climate", 1)]);
    agent.send_until_acked(&of("climate", 20_001), (1, 20_100));
    assert_eq!(count(&bench.history(), "readings"), 10_100);
    let new = list().expect("a list");
    assert!(new.len() == 2 && new.iter().all(|series| series["id"] != id), "{new:?}");
    assert_sums_match(&bench.history());
}

#[test]
fn removal_continues_after_a_kill() {
    let bench = Bench::new();
    let mut receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let batches: Vec<Value> = (0..400).map(|n| batch(n * 100 + 1, n * 100 + 100)).collect();
    store(&agent, &batches);
    let accepted = ask(&receiver.page, "DELETE", "/api/series/1", &[], "");
    receiver.program.kill();
    assert_eq!(accepted.status, 202);
    assert!(count(&bench.history(), "readings") > 0, "the job was complete before the kill");
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(40_001, 40_002)]);
    agent.expect_ack(1, 40_002);
    receiver.program.wait_for_log("history: completed the job: remove series 1", "");
    assert_eq!(numbers(&bench.history(), "shed", "b1"), [40_001, 40_002]);
    assert_eq!(count(&bench.history(), "jobs"), 0);
}

#[test]
fn list_of_series_is_paged() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    for (name, quantities) in [("shed", 1_400_u64), ("barn", 1_100)] {
        let agent = FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1");
        let twice = (1..=quantities).chain(1..=quantities);
        let batches: Vec<Value> = (1..).zip(twice).map(|(seq, n)| reading(seq, &format!("q{n}"))).collect();
        store(&agent, &batches);
    }
    let ids = |series: &[Value]| series.iter().map(|one| one["id"].as_i64().expect("an id")).collect::<Vec<_>>();
    for (parameters, expected) in [("", 2_500), ("&agent=barn", 1_100), ("&agent=nobody", 0)] {
        let (mut found, mut after) = (Vec::new(), Some(0));
        while let Some(last) = after {
            let (part, next) = series(&receiver, &format!("?limit=700&after={last}{parameters}"));
            assert!(part.len() == 700 || next.is_none(), "{} series, next {next:?}", part.len());
            found.extend(ids(&part));
            after = next;
        }
        assert_eq!(found.len(), expected, "{parameters}");
        assert!(found.is_sorted() && found.iter().collect::<BTreeSet<_>>().len() == expected, "{parameters}");
    }
    assert_eq!(series(&receiver, "").0.len(), 1_000);
    let (status, body) = get_json(&receiver.page, "/api/series/agents");
    assert_eq!((status, &body["agents"]), (200, &json!(["barn", "shed"])));
    let csv = get(&receiver.page, "/api/readings.csv").text();
    assert_eq!(csv.lines().count(), 1 + 5_000);
}

/// The page does not load the series of all agents if they do not fit into one response.
#[tokio::test]
async fn page_shows_all_series_of_the_chosen_agent() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    for (name, quantities) in [("shed", 3_u64), ("barn", 1_100)] {
        let agent = FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1");
        let twice = (1..=quantities).chain(1..=quantities);
        let batches: Vec<Value> = (1..).zip(twice).map(|(seq, n)| reading(seq, &format!("q{n}"))).collect();
        store(&agent, &batches);
    }
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.click("#views [href='#history']").await;
    browser.sees("#series-agent:not([hidden])").await;
    let names = "return document.querySelectorAll('#series-names button').length";
    browser.becomes("the series of the first agent", names, &[], |count| *count == 1_100).await;
    let choose = "const select = document.getElementById('series-agent'); select.value = arguments[0];
        select.dispatchEvent(new Event('change'))";
    browser.run(choose, &[json!("shed")]).await;
    browser.becomes("the series of the other agent", names, &[], |count| *count == 3).await;
    // A link to a chart of another agent's series.
    browser.run("location.hash = '#chart?series=700'", &[]).await;
    let chosen = "return document.getElementById('chart-series').selectedOptions[0]?.textContent ?? ''";
    browser
        .becomes("the series of the link", chosen, &[], |name| name.as_str().is_some_and(|name| name.contains("barn")))
        .await;
    browser.close().await;
}

#[test]
fn files_and_directories_are_private() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let board = Board::new();
    let agent = bench.agent(&format!(
        "name = \"shed\"\nserial = [{{ name = \"gas\", port = \"{}\" }}]\n\
         link = [{{ pattern = \"pair\", connect = \"{}\" }}]\n",
        board.path.display(),
        receiver.link
    ));
    agent.wait_for_log("connected", "");
    agent.wait_for_log("open at", "");
    let directory = bench.history().parent().expect("a directory").to_owned();
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("history") || name.starts_with("spool") {
            assert_eq!(mode(&path), 0o600, "{name}");
            seen.insert(name);
        }
    }
    for name in ["history.sqlite", "history.sqlite-wal", "history.sqlite-shm", "history.sqlite.lock", "spool.sqlite"] {
        assert!(seen.contains(name), "{name} in {seen:?}");
    }
}
