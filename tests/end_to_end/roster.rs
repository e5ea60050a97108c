use serde_json::{Value, json};

use crate::harness::http::{ask, get, get_json};
use crate::harness::installed::check_metrics;
use crate::harness::{Bench, PATIENCE, Receiver, eventually, now_us};

pub const ROUTER: &str = "pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"";

/// An agent of the tests, on a connection of its own.
pub struct Peer {
    socket: zmq::Socket,
    pub agent: &'static str,
    pub boot: String,
    seq: u64,
}

impl Peer {
    pub fn new(receiver: &Receiver, agent: &'static str) -> Peer {
        let socket = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(&receiver.link).expect("an address");
        Peer { socket, agent, boot: format!("boot-of-{agent}"), seq: 0 }
    }

    /// Sends a message of this type with these keys, and a JPEG if it is a frame.
    pub fn send(&self, kind: &str, rest: Value, jpeg: Option<&[u8]>) {
        let mut header = json!({ "type": kind, "v": 1, "agent": self.agent, "boot": self.boot });
        let Value::Object(rest) = rest else { panic!("an object") };
        header.as_object_mut().expect("an object").extend(rest);
        let topic = format!("{kind}/{}", self.agent).into_bytes();
        let parts = [topic, header.to_string().into_bytes()].into_iter().chain(jpeg.map(<[u8]>::to_vec));
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    pub fn send_status(&self) {
        self.send("status", json!({ "cameras": [], "ports": [], "links": [], "readings": [] }), None);
    }

    /// Sends a temperature that was measured at this time.
    pub fn send_reading(&mut self, at_us: i64, value: f64) {
        self.seq += 1;
        let batch = json!({
            "seq": self.seq, "port": "climate", "captured_at_us": at_us, "age_ms": 5, "stale_after_ms": 10_000,
            "stale": false, "values": [{ "quantity": "temperature", "value": value, "unit": "°C" }],
        });
        self.send("readings", json!({ "batches": [batch] }), None);
    }

    /// Sends frames of the camera `door`, captured 100 ms apart from this time on.
    pub fn send_frames(&mut self, jpeg: &[u8], from_us: i64, count: i64) {
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
pub fn known(receiver: &Receiver, agent: &str) -> Value {
    let (status, body) = get_json(&receiver.page, "/api/agents");
    assert_eq!(status, 200, "{body}");
    let agents = body["agents"].as_array().expect("a list");
    agents.iter().find(|known| known["name"] == agent).cloned().unwrap_or_default()
}

#[track_caller]
pub fn wait_for_state(receiver: &Receiver, agent: &str, state: &str) {
    eventually(&format!("{agent} {state}"), || (known(receiver, agent)["state"] == state).then_some(()));
}

/// Sends statuses of agents until the receiver knows them, and lets them end.
pub fn introduce(receiver: &Receiver, agents: &[&'static str]) {
    let peers: Vec<_> = agents.iter().map(|agent| Peer::new(receiver, agent)).collect();
    for peer in &peers {
        peer.send_status();
        wait_for_state(receiver, peer.agent, "connected");
    }
}

/// The wall's JSON of an agent; null if it is not on the wall.
pub fn on_wall(receiver: &Receiver, agent: &str) -> Value {
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
pub fn charts(receiver: &Receiver, agent: &str) -> Vec<Vec<(i64, f64)>> {
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

pub fn forget(receiver: &Receiver, path: &str) -> (u16, Value) {
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
