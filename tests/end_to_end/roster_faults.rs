use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::roster::{Peer, ROUTER, introduce, known, on_wall, wait_for_state};
use crate::harness::http::{get, get_json};
use crate::harness::{Bench, Fault, Receiver, eventually, now_us};

/// A disk that never responds.
const HANGS: &str = "fdatasync,fsync:delay_enter=600000000";

fn without_history(bench: &Bench) -> Receiver {
    bench.receiver(&format!("{ROUTER}\n[history]\noff = true"))
}

/// A receiver that knows at most this many agents.
fn limited(bench: &Bench, agents: usize) -> Receiver {
    let web = "[web]\nlisten = \"127.0.0.1:0\"";
    bench.receiver_of(&format!("[[link]]\n{ROUTER}\n{web}\n[history]\noff = true\n[limits]\nagents = {agents}\n"))
}

fn file(bench: &Bench) -> PathBuf {
    bench.path("state/watchpost/agents.json")
}

/// Writes the file as the first version that had it.
fn remember(bench: &Bench, agents: &BTreeMap<String, i64>) {
    let file = file(bench);
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, json!({ "last_heard_us": agents }).to_string()).expect("a file");
}

fn saved(bench: &Bench) -> Value {
    fs::read(file(bench)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[test]
fn hanging_disk_does_not_hide_that_an_agent_is_away() {
    let bench = Bench::new();
    let receiver = without_history(&bench);
    eventually("a first file", || saved(&bench).is_object().then_some(()));
    let fault = Fault::new(&receiver.program, HANGS);
    introduce(&receiver, &["shed"]);
    receiver.program.wait_for_log("agent shed: silent for ", "");
    introduce(&receiver, &["barn"]);
    wait_for_state(&receiver, "barn", "away");
    assert!(!saved(&bench).to_string().contains("barn"));
    fault.repair();
    eventually("both in the file", || (saved(&bench)["last_heard_us"].as_object()?.len() == 2).then_some(()));
}

#[test]
fn shutdown_does_not_wait_for_a_hanging_disk() {
    let bench = Bench::new();
    let mut receiver = without_history(&bench);
    let fault = Fault::new(&receiver.program, HANGS);
    introduce(&receiver, &["shed"]);
    receiver.program.signal(Signal::SIGTERM);
    receiver.program.wait_for_log("agents: the disk takes too long; ", "");
    // The process itself cannot exit while strace delays it.
    fault.repair();
    assert!(receiver.program.wait().success());
}

#[test]
fn forty_thousand_agents_are_remembered() {
    let bench = Bench::new();
    let agents: BTreeMap<_, _> = (0..40_000).map(|number| (format!("{number:05}-{}", "室".repeat(50)), 1)).collect();
    remember(&bench, &agents);
    let receiver = limited(&bench, 50_000);
    receiver.program.wait_for_log(" and 39980 more; away until they connect", "");
    let log = receiver.program.log();
    assert!(log.contains("agents: remembered 00000-") && !log.contains("00020-"), "{log}");
    // Earlier versions did not write which agents are new.
    let saved = eventually("a new file", || Some(saved(&bench)).filter(|saved| saved["new"].is_array()));
    assert_eq!(saved["last_heard_us"].as_object().map(serde_json::Map::len), Some(40_000));
}

#[test]
fn unusable_file_is_kept_beside_the_new_one() {
    let bench = Bench::new();
    remember(&bench, &BTreeMap::from([("../shed".to_owned(), 1)]));
    let damaged = fs::read(file(&bench)).expect("a file");
    let mut receiver = without_history(&bench);
    receiver
        .program
        .wait_for_log("agents.json is damaged (", "agents.json.damaged-1; agents are remembered from now on");
    assert_eq!(fs::read(bench.path("state/watchpost/agents.json.damaged-1")).expect("a copy"), damaged);
    receiver.program.terminate();
    let length = 64 * 1024 * 1024 + 1;
    File::create(file(&bench)).and_then(|file| file.set_len(length)).expect("a file");
    let receiver = without_history(&bench);
    receiver.program.wait_for_log(&format!("agents.json is too large ({length} bytes; the limit is "), "");
    let aside = fs::metadata(bench.path("state/watchpost/agents.json.damaged-2")).expect("a copy");
    assert_eq!(aside.len(), length);
}

#[test]
fn short_lived_names_do_not_take_the_place_of_a_remembered_agent() {
    let bench = Bench::new();
    remember(&bench, &BTreeMap::from([("greenhouse".to_owned(), now_us() - 3_600_000_000)]));
    let mut receiver = limited(&bench, 3);
    introduce(&receiver, &["flood0", "flood1"]);
    let flood = Peer::new(&receiver, "flood2");
    eventually("a place", || {
        flood.send_status();
        (known(&receiver, "flood2")["state"] == "connected").then_some(())
    });
    receiver.program.wait_for_log("agent flood0: forgotten: it is silent, and another agent needs its place", "");
    let states = ["greenhouse", "flood0", "flood1"].map(|agent| known(&receiver, agent)["state"].clone());
    assert_eq!(states, [json!("away"), Value::Null, json!("away")]);
    receiver.program.terminate();
    assert_eq!(saved(&bench)["new"], json!(["flood1", "flood2"]));
    let receiver = limited(&bench, 1);
    receiver.program.wait_for_log("agent flood2: forgotten, and 1 more: the limit of 1 agents is reached", "");
    receiver.program.wait_for_log("agents: remembered greenhouse; away", "");
    let (_, wall) = get_json(&receiver.page, "/api/wall");
    assert_eq!((&wall["quotas"][0]["quota"], &wall["quotas"][0]["refused"]), (&json!("agents"), &json!(2)), "{wall}");
}

#[test]
fn remembered_agent_that_loses_its_place_is_a_problem() {
    let bench = Bench::new();
    remember(&bench, &BTreeMap::from([("greenhouse".to_owned(), now_us() - 3_600_000_000)]));
    let receiver = limited(&bench, 1);
    let shed = Peer::new(&receiver, "shed");
    shed.send_status();
    wait_for_state(&receiver, "shed", "connected");
    assert_eq!(on_wall(&receiver, "greenhouse"), Value::Null);
    let what = "the limit of agents is reached: some agents are not shown";
    assert!(get(&receiver.page, "/health").text().contains(what));
    let (_, wall) = get_json(&receiver.page, "/api/wall");
    assert_eq!(wall["quotas"][0]["text"], format!("{what}; last: greenhouse"), "{wall}");
    let metrics = get(&receiver.page, "/metrics").text();
    assert!(metrics.contains("watchpost_quota_refused_total{quota=\"agents\"} 1\n"), "{metrics}");
}
