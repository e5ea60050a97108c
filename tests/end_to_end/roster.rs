use std::path::Path;
use std::process::Output;

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::harness::http::{ask, get, get_json, post};
use crate::harness::installed::check_metrics;
use crate::harness::recordings::jpegs;
use crate::harness::{Bench, Browser, PATIENCE, Receiver, eventually, free_port, now_us};

const ROUTER: &str = "pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"";

/// An agent of the tests, on a connection of its own.
struct Peer {
    socket: zmq::Socket,
    agent: &'static str,
    boot: String,
    seq: u64,
}

impl Peer {
    fn new(receiver: &Receiver, agent: &'static str) -> Peer {
        let socket = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(&receiver.link).expect("an address");
        Peer { socket, agent, boot: format!("boot-of-{agent}"), seq: 0 }
    }

    /// Sends a message of this type with these keys, and a JPEG if it is a frame.
    fn send(&self, kind: &str, rest: Value, jpeg: Option<&[u8]>) {
        let mut header = json!({ "type": kind, "v": 1, "agent": self.agent, "boot": self.boot });
        let Value::Object(rest) = rest else { panic!("an object") };
        header.as_object_mut().expect("an object").extend(rest);
        let topic = format!("{kind}/{}", self.agent).into_bytes();
        let parts = [topic, header.to_string().into_bytes()].into_iter().chain(jpeg.map(<[u8]>::to_vec));
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    fn send_status(&self) {
        self.send("status", json!({ "cameras": [], "ports": [], "links": [], "readings": [] }), None);
    }

    /// Sends a temperature that was measured at this time.
    fn send_reading(&mut self, at_us: i64, value: f64) {
        self.seq += 1;
        let batch = json!({
            "seq": self.seq, "port": "climate", "captured_at_us": at_us, "age_ms": 5, "stale_after_ms": 10_000,
            "stale": false, "values": [{ "quantity": "temperature", "value": value, "unit": "°C" }],
        });
        self.send("readings", json!({ "batches": [batch] }), None);
    }

    /// Sends frames of the camera `door`, captured 100 ms apart from this time on.
    fn send_frames(&mut self, jpeg: &[u8], from_us: i64, count: i64) {
        let (width, height) = watchpost::jpeg::size(jpeg).expect("a JPEG");
        for at_us in (0..count).map(|number| from_us + number * 100_000) {
            self.seq += 1;
            let frame = json!({
                "camera": "door", "seq": self.seq, "captured_at_us": at_us, "age_us": now_us() - at_us,
                "width": width, "height": height, "readings": [],
            });
            self.send("frame", frame, Some(jpeg));
        }
    }
}

/// An agent as `/api/agents` lists it; null if it does not.
fn known(receiver: &Receiver, agent: &str) -> Value {
    let (status, body) = get_json(&receiver.page, "/api/agents");
    assert_eq!(status, 200, "{body}");
    let agents = body["agents"].as_array().expect("a list");
    agents.iter().find(|known| known["name"] == agent).cloned().unwrap_or_default()
}

#[track_caller]
fn wait_for_state(receiver: &Receiver, agent: &str, state: &str) {
    eventually(&format!("{agent} {state}"), || (known(receiver, agent)["state"] == state).then_some(()));
}

/// Sends statuses of agents until the receiver knows them, and lets them end.
fn introduce(receiver: &Receiver, agents: &[&'static str]) {
    let peers: Vec<_> = agents.iter().map(|agent| Peer::new(receiver, agent)).collect();
    for peer in &peers {
        peer.send_status();
        wait_for_state(receiver, peer.agent, "connected");
    }
}

/// The wall's JSON of an agent; null if it is not on the wall.
fn on_wall(receiver: &Receiver, agent: &str) -> Value {
    let (_, wall) = get_json(&receiver.page, "/api/wall");
    let agents = wall["agents"].as_array().expect("a list");
    agents.iter().find(|one| one["name"] == agent).cloned().unwrap_or_default()
}

fn metric(receiver: &Receiver, sample: &str) -> Option<f64> {
    let text = get(&receiver.page, "/metrics").text();
    check_metrics(&text);
    text.lines().find_map(|line| line.strip_prefix(&format!("watchpost_{sample} "))?.parse().ok())
}

/// The series of an agent and their points, by time.
fn charts(receiver: &Receiver, agent: &str) -> Vec<Vec<(i64, f64)>> {
    let (_, body) = get_json(&receiver.page, &format!("/api/series?agent={agent}"));
    let series = body["series"].as_array().expect("a list").iter();
    let chart = |series: &Value| {
        let to_us = now_us() + 60_000_000;
        let path = format!("/api/chart?series={}&from_us={}&to_us={to_us}", series["id"], to_us - 600_000_000);
        let (_, chart) = get_json(&receiver.page, &path);
        let points: Vec<(i64, f64, f64, f64)> = serde_json::from_value(chart["points"].clone()).expect("points");
        points.into_iter().map(|(at_us, _, _, mean)| (at_us, mean)).collect()
    };
    series.map(chart).collect()
}

fn forget(receiver: &Receiver, path: &str) -> (u16, Value) {
    let answer = ask(&receiver.page, "DELETE", path, &[], "");
    (answer.status, answer.json())
}

#[test]
fn restarted_receiver_knows_the_agents_that_are_away() {
    let bench = Bench::new();
    let mut receiver = bench.receiver(ROUTER);
    introduce(&receiver, &["barn", "shed"]);
    let heard_us = now_us();
    receiver.program.terminate();
    let receiver = bench.receiver(ROUTER);
    receiver.program.wait_for_log("agents: remembered barn, shed; away until they connect", "");
    let health = get(&receiver.page, "/health");
    assert_eq!((health.status, health.json()["error"].as_str()), (503, Some("2 agents are away")));
    let shed = on_wall(&receiver, "shed");
    let away_us = shed["away_since_us"].as_i64().expect("a time");
    assert!((heard_us - 60_000_000..=heard_us).contains(&away_us), "{shed}");
    assert_eq!((&shed["cameras"], &shed["readings"], &shed["ports"]), (&json!([]), &json!([]), &json!([])));
    assert_eq!(metric(&receiver, "agent_up{agent=\"shed\"}"), Some(0.0));
    let elapsed_s = || (now_us() - away_us) as f64 / 1e6;
    let least = elapsed_s();
    let age = metric(&receiver, "agent_last_message_age_seconds{agent=\"shed\"}").expect("an age");
    assert!((least..=elapsed_s()).contains(&age), "{age} s, but it is away for at least {least} s");

    let shed = Peer::new(&receiver, "shed");
    shed.send_status();
    receiver.program.wait_for_log("agent shed: back; it was away since ", " UTC");
    eventually("one agent that is away", || {
        shed.send_status();
        let is_back = on_wall(&receiver, "shed")["away_since_us"].is_null();
        (is_back && get(&receiver.page, "/health").text().contains("1 agent is away")).then_some(())
    });
}

#[test]
fn killed_receiver_knows_its_agents_without_a_history() {
    let bench = Bench::new();
    let config = format!("{ROUTER}\n[history]\noff = true");
    let mut receiver = bench.receiver(&config);
    introduce(&receiver, &["shed"]);
    let file = bench.path("state/watchpost/agents.json");
    eventually("shed in the file", || std::fs::read_to_string(&file).ok()?.contains("shed").then_some(()));
    receiver.program.kill();
    let receiver = bench.receiver(&config);
    wait_for_state(&receiver, "shed", "away");
}

#[test]
fn damaged_or_foreign_file_does_not_stop_the_receiver() {
    let bench = Bench::new();
    let file = bench.path("state/watchpost/history.agents.json");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    std::fs::write(&file, "{\"last_heard_us\":{\"../shed\":1}}").expect("a file");
    let mut receiver = bench.receiver(ROUTER);
    receiver.program.wait_for_log("is damaged", "; agents are remembered from now on");
    introduce(&receiver, &["shed"]);
    receiver.program.terminate();
    let receiver = bench.receiver(ROUTER);
    receiver.program.wait_for_log("agents: remembered shed; away until they connect", "");
}

#[test]
fn silent_agent_is_logged_once_and_so_is_its_return() {
    let bench = Bench::new();
    let receiver = bench.receiver(ROUTER);
    let peer = Peer::new(&receiver, "greenhouse");
    peer.send_status();
    wait_for_state(&receiver, "greenhouse", "connected");
    let is_healthy = || {
        peer.send_status();
        (get(&receiver.page, "/health").text() == "ok\n").then_some(())
    };
    eventually("no problem", is_healthy);
    receiver.program.wait_for_log("agent greenhouse: silent for ", " UTC; check its power, network and log");
    assert_eq!(get(&receiver.page, "/health").json()["error"], "1 agent is away");
    assert_eq!(metric(&receiver, "agent_up{agent=\"greenhouse\"}"), Some(0.0));
    peer.send_status();
    receiver.program.wait_for_log("agent greenhouse: back; it was away since ", " UTC");
    eventually("no problem", is_healthy);
    let log = receiver.program.log();
    assert!(log.matches("silent for").count() <= log.matches("; it was away since").count() + 1, "{log}");
}

#[test]
fn names_that_only_pass_by_are_not_remembered() {
    let bench = Bench::new();
    let mut receiver = bench.receiver(ROUTER);
    let mut passing = Peer::new(&receiver, "passing");
    passing.send_reading(now_us(), 1.0);
    wait_for_state(&receiver, "passing", "connected");
    introduce(&receiver, &["shed"]);
    wait_for_state(&receiver, "passing", "away");
    receiver.program.wait_for_log("agent shed: silent for ", "");
    assert!(!receiver.program.log().contains("agent passing: silent"), "{}", receiver.program.log());
    receiver.program.terminate();
    let receiver = bench.receiver(ROUTER);
    receiver.program.wait_for_log("agents: remembered shed; away", "");
}

#[test]
fn reached_limit_is_a_problem_of_the_receiver() {
    let bench = Bench::new();
    let config = format!("[[link]]\n{ROUTER}\n[web]\nlisten = \"127.0.0.1:0\"\n[limits]\nagents = 1\n");
    let receiver = bench.receiver_of(&config);
    let (shed, barn) = (Peer::new(&receiver, "shed"), Peer::new(&receiver, "barn"));
    shed.send_status();
    wait_for_state(&receiver, "shed", "connected");
    barn.send_status();
    let what = "the limit of agents is reached: some agents are not shown";
    eventually("the cause", || get(&receiver.page, "/health").text().contains(what).then_some(()));
    assert_eq!(metric(&receiver, "quota_used{quota=\"agents\"}"), Some(1.0));
    assert_eq!(metric(&receiver, "quota_limit{quota=\"agents\"}"), Some(1.0));
    assert_eq!(metric(&receiver, "quota_refused_total{quota=\"agents\"}"), Some(1.0));
    let (_, wall) = get_json(&receiver.page, "/api/wall");
    assert_eq!(wall["quotas"][0]["text"], format!("{what}; last: barn"), "{wall}");
    assert_eq!(wall["refused"], json!([]));
}

#[test]
fn refused_agent_is_a_problem_of_the_receiver() {
    let bench = Bench::new();
    let receiver = bench.receiver(ROUTER);
    let (first, mut second) = (Peer::new(&receiver, "shed"), Peer::new(&receiver, "shed"));
    "another-boot".clone_into(&mut second.boot);
    first.send_status();
    wait_for_state(&receiver, "shed", "connected");
    let health = eventually("the cause", || {
        first.send_status();
        second.send_status();
        let health = get(&receiver.page, "/health").text();
        health.contains("1 agent is refused because of its name").then_some(health)
    });
    assert!(!health.contains("shed") && !health.contains("127.0.0.1"), "{health}");
    let metrics = get(&receiver.page, "/metrics").text();
    check_metrics(&metrics);
    let sample = metrics.lines().find(|line| line.starts_with("watchpost_agent_refused{agent=\"shed\",peer=\""));
    assert!(sample.is_some_and(|line| line.ends_with("cause=\"name_in_use\"} 1")), "{metrics}");
    assert!(metric(&receiver, "agents_refused_total{cause=\"name_in_use\"}").is_some_and(|count| count >= 1.0));
    let (_, wall) = get_json(&receiver.page, "/api/wall");
    let refused = &wall["refused"][0];
    assert_eq!((&refused["agent"], &refused["cause"]), (&json!("shed"), &json!("name_in_use")), "{wall}");
    assert!(refused["text"].as_str().is_some_and(|text| text.starts_with("two agents are named shed")), "{wall}");
}

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
