use std::path::Path;
use std::process::Output;

use fantoccini::Locator;
use serde_json::{Value, json};

use super::roster::{Peer, ROUTER, charts, forget, introduce, known, on_wall, wait_for_state};
use crate::harness::http::{ask, get, get_json, post};
use crate::harness::recordings::jpegs;
use crate::harness::{Bench, Browser, Receiver, eventually, free_port, now_us};

/// A receiver that also records every frame.
fn recording(bench: &Bench) -> Receiver {
    bench.receiver(&format!("{ROUTER}\n[record]\ndir = \"{}\"", bench.path("recordings").display()))
}

/// Sends readings and frames of an agent, beginning at this time, until they are stored; then the agent leaves.
fn leave_data(receiver: &Receiver, agent: &'static str, jpeg: &[u8], from_us: i64) {
    send_data(receiver, Peer::new(receiver, agent), jpeg, from_us);
}

fn send_data(receiver: &Receiver, mut peer: Peer, jpeg: &[u8], from_us: i64) {
    let agent = peer.agent;
    peer.send_status();
    for second in 0..3 {
        peer.send_reading(from_us + second * 1_000_000, second as f64);
    }
    peer.send_frames(jpeg, from_us, 30);
    eventually("the data", || {
        let known = known(receiver, agent);
        (known["series"] == true && known["recordings"] == true).then_some(())
    });
    eventually("all readings", || (charts(receiver, agent).first()?.len() == 3).then_some(()));
}

/// Repeats a request until the last recording is finished.
#[track_caller]
fn once_finished(mut request: impl FnMut() -> (u16, Value)) -> (u16, Value) {
    eventually("finished recordings", || {
        let (status, body) = request();
        let is_early = body["error"].as_str().is_some_and(|text| text.contains("not finished yet"));
        (!is_early).then_some((status, body))
    })
}

#[test]
fn agent_is_forgotten_without_and_with_its_data() {
    let bench = Bench::new();
    let jpeg = jpegs(&bench, 1).remove(0);
    let receiver = recording(&bench);
    leave_data(&receiver, "shed", &jpeg, now_us() - 3_000_000);
    leave_data(&receiver, "barn", &jpeg, now_us() - 3_000_000);
    let barn = Peer::new(&receiver, "barn");
    eventually("a refusal", || {
        barn.send_status();
        let (status, body) = forget(&receiver, "/api/agents/barn");
        let is_explained = body["error"].as_str().is_some_and(|text| text.starts_with("agent barn is connected; stop"));
        (status == 409 && is_explained).then_some(())
    });
    // Its connection would keep the name.
    drop(barn);
    assert_eq!(forget(&receiver, "/api/agents/nobody").0, 404);
    assert_eq!(forget(&receiver, "/api/agents/barn?data=some").0, 400);
    wait_for_state(&receiver, "barn", "away");
    wait_for_state(&receiver, "shed", "away");

    assert_eq!(forget(&receiver, "/api/agents/shed").0, 200);
    assert_eq!(on_wall(&receiver, "shed"), Value::Null);
    let shed = known(&receiver, "shed");
    assert_eq!(
        (&shed["state"], &shed["series"], &shed["recordings"]),
        (&json!("forgotten"), &json!(true), &json!(true))
    );
    for agent in ["shed", "barn"] {
        let path = format!("/api/agents/{agent}?data=delete");
        let (status, body) = once_finished(|| forget(&receiver, &path));
        assert_eq!(status, 200, "{body}");
        assert_eq!(known(&receiver, agent), Value::Null);
        assert_eq!(charts(&receiver, agent).len(), 0);
        assert!(!bench.path("recordings").join(agent).exists());
    }
    receiver.program.wait_for_log("history: completed the job: remove the series of agent barn", "");
    assert_eq!(get(&receiver.page, "/health").text(), "ok\n");
    let readings = get(&receiver.page, "/api/readings.csv").text();
    assert_eq!(readings.lines().count(), 1, "{readings}");
    assert_eq!(get_json(&receiver.page, "/api/recordings?from_us=0&to_us=9999999999999999").1["cameras"], json!([]));

    // The name is free for another agent.
    let mut another = Peer::new(&receiver, "barn");
    "another-boot".clone_into(&mut another.boot);
    send_data(&receiver, another, &jpeg, now_us() - 3_000_000);
}

#[test]
fn renamed_agent_continues_its_readings_and_recordings() {
    let bench = Bench::new();
    let jpegs = jpegs(&bench, 2);
    let mut receiver = recording(&bench);
    let (old_us, new_us) = (now_us() - 20_000_000, now_us() - 10_000_000);
    leave_data(&receiver, "old", &jpegs[0], old_us);
    leave_data(&receiver, "new", &jpegs[1], new_us);
    wait_for_state(&receiver, "old", "away");
    let merge = |receiver: &Receiver, into: &str| {
        let answer = post(&receiver.page, "/api/agents/old/merge", &json!({ "into": into }).to_string());
        (answer.status, answer.json())
    };
    assert_eq!(merge(&receiver, "nobody").0, 404);
    assert_eq!(merge(&receiver, "old").0, 400);
    let (status, body) = once_finished(|| merge(&receiver, "new"));
    assert_eq!(status, 200, "{body}");
    receiver.program.wait_for_log("history: completed the job: merge agent old into new", "");

    let check = |receiver: &Receiver| {
        assert_eq!(known(receiver, "old"), Value::Null);
        let charts = charts(receiver, "new");
        let expected: Vec<_> = [old_us, new_us]
            .into_iter()
            .flat_map(|from_us| (0..3).map(move |second| (from_us + second * 1_000_000, second as f64)))
            .collect();
        assert_eq!(charts, [expected]);
        let path = format!("/api/recordings/new/door/frame.jpg?at_us={}", old_us + 1_050_000);
        assert_eq!(get(&receiver.page, &path).body, jpegs[0]);
        let path = format!("/api/recordings/new/door/frame.jpg?at_us={}", new_us + 1_050_000);
        assert_eq!(get(&receiver.page, &path).body, jpegs[1]);
        let path = format!("/api/recordings?from_us={old_us}&to_us={}", now_us());
        let (_, recordings) = get_json(&receiver.page, &path);
        assert_eq!(recordings["cameras"].as_array().map(Vec::len), Some(1), "{recordings}");
        assert_eq!(recordings["cameras"][0]["spans"].as_array().map(Vec::len), Some(2), "{recordings}");
    };
    check(&receiver);
    receiver.program.terminate();
    let receiver = recording(&bench);
    receiver.program.wait_for_log("agents: remembered new; away", "");
    eventually("the catalogue", || (known(&receiver, "new")["recordings"] == true).then_some(()));
    check(&receiver);
}

/// Minutes and hours of both names are added up, and readings that the agent repeats are not stored twice. A label with one
/// reading under each name gets a series. The new name already has the agent's old start, from its backlog.
#[test]
fn merged_minutes_are_sums_and_repeated_readings_are_known() {
    let bench = Bench::new();
    let receiver = bench.receiver(ROUTER);
    let at_us = now_us() / 60_000_000 * 60_000_000 - 120_000_000;
    let mut peers = ["old", "new"].map(|agent| Peer::new(&receiver, agent));
    for (peer, value) in peers.iter_mut().zip([1.0, 3.0]) {
        peer.send_status();
        let soil = json!({
            "seq": 100 + value as u64, "port": "climate", "captured_at_us": at_us, "age_ms": 5, "stale_after_ms": 10_000,
            "stale": false, "values": [{ "quantity": "soil", "value": value, "unit": "" }],
        });
        peer.send("readings", json!({ "boot": "boot-of-old", "backlog": true, "batches": [soil] }), None);
        (0..4).for_each(|number| peer.send_reading(at_us + number * 1_000_000, value));
        eventually("all readings", || (charts(&receiver, peer.agent).first()?.len() == 4).then_some(()));
    }
    wait_for_state(&receiver, "old", "away");
    assert_eq!(post(&receiver.page, "/api/agents/old/merge", "{\"into\":\"new\"}").status, 200);
    receiver.program.wait_for_log("history: completed the job: merge agent old into new", "");
    let minutes = || {
        let (_, series) = get_json(&receiver.page, "/api/series?agent=new");
        let id = &series["series"][0]["id"];
        let day = 86_400_000_000_i64;
        let path = format!("/api/chart?series={id}&from_us={}&to_us={}&points=2", at_us - day / 2, at_us + day / 2);
        get_json(&receiver.page, &path).1["points"].clone()
    };
    let points = minutes();
    assert_eq!(points.as_array().map(Vec::len), Some(1), "{points}");
    assert_eq!((&points[0][1], &points[0][2], &points[0][3]), (&json!(1.0), &json!(3.0), &json!(2.0)), "{points}");
    // The renamed agent repeats what it measured under its old name.
    let again = json!({
        "boot": "boot-of-old", "backlog": true, "batches": [{
            "seq": 4, "port": "climate", "captured_at_us": at_us + 3_000_000, "age_ms": 5, "stale_after_ms": 10_000,
            "stale": false, "values": [{ "quantity": "temperature", "value": 1.0, "unit": "°C" },
                { "quantity": "temperature", "value": 7.0, "unit": "°C" }],
        }],
    });
    peers[1].send("readings", again, None);
    eventually("the new reading", || (charts(&receiver, "new").first()?.len() == 9).then_some(()));
    let soil = charts(&receiver, "new").pop().expect("two series");
    assert_eq!(soil.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1.0, 3.0]);
}

/// Runs `watchpost agents` with the receiver's configuration.
fn agents(bench: &Bench, options: &[&str]) -> Output {
    let config = bench.path("receiver.toml");
    bench.watchpost("agents").arg("--config").arg(config).args(options).output().expect("watchpost starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn command_line_lists_forgets_and_merges_agents() {
    let bench = Bench::new();
    let keygen = bench.watchpost("keygen").arg("--token").arg("--dir").arg(bench.path("keys")).output();
    assert!(keygen.expect("watchpost starts").status.success());
    let token = bench.path("keys/web.token");
    let web = format!("[web]\nlisten = \"127.0.0.1:{}\"\ntoken_file = \"{}\"", free_port(), token.display());
    let config = format!("[[link]]\n{ROUTER}\n{web}\n");
    let token = std::fs::read_to_string(token).expect("a token");
    let authorization = format!("Bearer {}", token.trim());
    let mut receiver = bench.receiver_of(&config);
    let state = |agent: &str| {
        let answer = ask(&receiver.page, "GET", "/api/agents", &[("Authorization", &authorization)], "").json();
        let agents = answer["agents"].as_array().expect("a list").clone();
        agents.into_iter().find(|known| known["name"] == agent).map(|known| known["state"].clone())
    };
    for agent in ["old", "new", "gone"] {
        let peer = Peer::new(&receiver, agent);
        peer.send_status();
        eventually(agent, || state(agent));
    }
    let gone = Peer::new(&receiver, "gone");
    gone.send_status();
    eventually("a connected agent", || (state("gone") == Some(json!("connected"))).then_some(()));
    let connected = agents(&bench, &["--forget", "gone"]);
    assert!(!connected.status.success());
    assert!(printed(&connected).contains("refused: agent gone is connected; stop it"), "{}", printed(&connected));
    eventually("all away", || {
        ["old", "new", "gone"].iter().all(|agent| state(agent) == Some(json!("away"))).then_some(())
    });
    let list = printed(&agents(&bench, &[]));
    assert!(
        list.lines().count() == 3 && list.contains("away       last heard 20") && list.contains("no data"),
        "{list}"
    );
    let list = printed(&agents(&bench, &["--forget", "gone", "--delete-data"]));
    assert!(list.contains("old") && !list.contains("gone"), "{list}");
    let list = printed(&agents(&bench, &["--merge", "old", "--into", "new"]));
    assert!(list.contains("new") && !list.contains("old"), "{list}");
    assert!(!agents(&bench, &["--merge", "new"]).status.success());
    receiver.program.terminate();
    let stopped = agents(&bench, &[]);
    assert!(!stopped.status.success());
    assert!(printed(&stopped).contains("the receiver does not answer at 127.0.0.1:"), "{}", printed(&stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_agents_that_are_away_and_forgets_and_merges_them() {
    let bench = Bench::new();
    let mut receiver = bench.receiver(ROUTER);
    introduce(&receiver, &["barn", "greenhouse", "shed"]);
    receiver.program.terminate();
    let receiver = bench.receiver(ROUTER);
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.reads("#health[data-tone=bad]", &["barn: away since", "and 2 more"]).await;
    browser.reads("[data-agent=shed] .agent-words", &["away since"]).await;
    for (name, width, height) in [("wide", 1366, 768), ("narrow", 390, 844)] {
        browser.client.set_window_size(width, height).await.expect("a window");
        shoot(&browser, &format!("away-{name}")).await;
        browser.click("[data-agent=shed] .agent-forget").await;
        browser.reads("#forget[open]", &["Forget shed?", "Delete all its readings"]).await;
        shoot(&browser, &format!("forget-{name}")).await;
        browser.click("#forget [value='']").await;
        browser.click("[data-agent=shed] .agent-merge").await;
        browser.reads("#merge[open] option", &["barn", "greenhouse"]).await;
        shoot(&browser, &format!("merge-{name}")).await;
        browser.click("#merge [value='']").await;
    }
    browser.click("[data-agent=barn] .agent-forget").await;
    browser.click("#forget [value=delete]").await;
    browser.click("#forget [value=yes]").await;
    browser.reads("#toast[data-shown=true]", &["barn is forgotten, and its data is deleted"]).await;
    browser.click("[data-agent=shed] .agent-merge").await;
    browser.sees("#merge[open] option").await;
    browser.click("#merge [value=yes]").await;
    browser.reads("#toast[data-shown=true]", &["shed is now greenhouse"]).await;
    let rows = "return document.querySelectorAll('[data-agent]').length";
    browser.becomes("one agent", rows, &[], |rows| *rows == 1).await;
    browser.reads("#health[data-tone=bad]", &["greenhouse: away since"]).await;
    assert!(browser.client.find(Locator::Css("dialog[open]")).await.is_err(), "a dialog is still open");
    browser.close().await;
}

/// Saves what the browser shows, if `WATCHPOST_SCREENSHOTS` names a directory.
async fn shoot(browser: &Browser, name: &str) {
    let Some(dir) = std::env::var_os("WATCHPOST_SCREENSHOTS") else { return };
    let png = browser.client.screenshot().await.expect("a screenshot");
    std::fs::write(Path::new(&dir).join(format!("{name}.png")), png).expect("a file");
}
