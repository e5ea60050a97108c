use std::io::Write as _;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::http::get;
use crate::harness::viewer::{Agent, State, Viewer};
use crate::harness::{Bench, Browser, FakeAgent, PATIENCE, Receiver, eventually, film, free_port};

/// The longest text may exceed 32 KiB by one agent's parts.
const MAX_TEXT_BYTES: usize = 40 * 1024;

fn router(bench: &Bench) -> Receiver {
    bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"")
}

/// A part of a status, such as a port.
fn part(name: &str, lines: u64) -> Value {
    json!({ "name": name, "source": "test", "up": true, "cause": "", "for_ms": 1_000, "counts": { "lines": lines } })
}

fn reading(seq: u64, quantity: &str, value: f64, age_ms: u64) -> Value {
    json!({
        "seq": seq, "port": "climate", "quantity": quantity, "value": value, "unit": "°C", "captured_at_us": 5,
        "age_ms": age_ms, "stale_after_ms": 10_000, "stale": false,
    })
}

/// Sends a status that lists these readings.
fn send_status(agent: &FakeAgent, boot: &str, cameras: &[Value], readings: &[Value]) {
    let name = agent.name;
    let header = json!({
        "type": "status", "v": 1, "agent": name, "boot": boot, "cameras": cameras, "ports": [part("climate", 7)],
        "links": [part("dealer-1", 0)], "spool": null, "readings": readings,
    });
    let parts = [format!("status/{name}").into_bytes(), header.to_string().into_bytes()];
    agent.socket.send_multipart(parts, 0).expect("the message is sent");
}

fn send_frame(agent: &FakeAgent, boot: &str, camera: &str, seq: u64, jpeg: &[u8]) {
    let name = agent.name;
    let header = json!({
        "type": "frame", "v": 1, "agent": name, "camera": camera, "boot": boot, "seq": seq, "captured_at_us": 5,
        "age_us": 0, "width": 480, "height": 320, "readings": [],
    });
    let parts = [format!("frame/{name}/{camera}").into_bytes(), header.to_string().into_bytes(), jpeg.to_vec()];
    agent.socket.send_multipart(parts, 0).expect("the message is sent");
}

/// Sends one random message of an agent.
fn send_random(agent: &FakeAgent, random: &mut fastrand::Rng, seq: &mut u64, boot: &mut u32, jpeg: &[u8]) {
    if random.u32(..40) == 0 {
        (*boot, *seq) = (*boot + 1, 0);
    }
    *seq += 1;
    let name = format!("b{boot}");
    let quantity = format!("q{}", random.u32(..9));
    let value = f64::from(random.u32(..1_000)) / 8.0;
    match random.u32(..4) {
        0 => {
            let listed = random.u32(..9);
            let readings: Vec<_> = (0..listed).map(|at| reading(*seq, &format!("q{at}"), value, 5)).collect();
            let cameras: Vec<_> = (0..random.u32(..3)).map(|at| part(&format!("c{at}"), 0)).collect();
            send_status(agent, &name, &cameras, &readings);
        }
        1 => send_frame(agent, &name, &format!("c{}", random.u32(..3)), *seq, jpeg),
        _ => {
            let values = [json!({ "quantity": quantity, "value": value, "unit": "" })];
            let batch = json!({
                "seq": *seq, "port": "climate", "captured_at_us": 5, "age_ms": 5, "stale_after_ms": 10_000,
                "stale": false, "values": values,
            });
            let header = json!({
                "type": "readings", "v": 1, "agent": agent.name, "boot": name, "backlog": false, "batches": [batch],
            });
            let parts = [format!("readings/{}", agent.name).into_bytes(), header.to_string().into_bytes()];
            agent.socket.send_multipart(parts, 0).expect("the message is sent");
        }
    }
}

#[tokio::test]
async fn changes_add_up_to_the_complete_state() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let (_, jpegs) = film(&bench, "film", 1);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let agents = ["barn", "loft", "shed", "zoo"].map(|name| FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1"));
    let mut numbers = [(0, 1); 4];
    let mut viewers = vec![Viewer::open(&receiver).await];
    for round in 0..12 {
        for _ in 0..25 {
            let chosen = random.usize(..agents.len());
            let (seq, boot) = &mut numbers[chosen];
            send_random(&agents[chosen], &mut random, seq, boot, &jpegs[0]);
        }
        if round == 5 {
            viewers.push(Viewer::open(&receiver).await);
        }
        for viewer in &mut viewers {
            viewer.next().await;
        }
    }
    // The last message of each agent shows that all of its earlier ones have arrived.
    for (agent, (seq, boot)) in agents.iter().zip(&numbers) {
        send_status(agent, &format!("b{boot}"), &[], &[reading(seq + 1, "last", 1.0, 5)]);
    }
    for viewer in &mut viewers {
        let is_last = |agent: &Agent| agent.readings.keys().any(|(_, quantity)| quantity == "last");
        viewer
            .until("the last messages", |state| state.agents.values().filter(|agent| is_last(agent)).count() == 4)
            .await;
        assert_eq!(viewer.changes + 1, viewer.texts.len(), "after the first text there are only changes");
        let end = Instant::now() + PATIENCE;
        loop {
            let (complete, own) = (State::complete(&receiver).without_ages(), viewer.state.without_ages());
            if complete == own {
                break;
            }
            assert!(
                Instant::now() < end,
                "seed {seed}: the complete state is {complete:#?}, but the viewer's {own:#?}"
            );
            viewer.next().await;
        }
    }
}

/// Pages and programs that know nothing of changes get the complete state.
#[tokio::test]
async fn live_without_changes_sends_the_complete_state() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    let (mut socket, _) = connect_async(format!("ws://{}/live", receiver.page)).await.expect("a WebSocket");
    for value in [20.0, 21.0] {
        send_status(&agent, "b1", &[], &[reading(value as u64, "t", value, 5), reading(1, "h", 50.0, 5)]);
        let wanted = |wall: &Value| {
            let readings = wall["agents"][0]["readings"].as_array().map_or(&[][..], Vec::as_slice);
            readings.len() == 2 && readings[1]["value"] == value
        };
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "no complete state with the value {value}");
            let message = socket.next().await.expect("the socket stays open").expect("a message");
            let Message::Text(text) = message else { continue };
            let wall: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(wall["type"], "wall");
            if wanted(&wall) {
                break;
            }
        }
    }
    assert!(connect_async(format!("ws://{}/live?changes=perhaps", receiver.page)).await.is_err());
}

#[tokio::test]
async fn ages_are_true_although_pieces_are_kept() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    let sent = Instant::now();
    send_status(&agent, "b1", &[], &[reading(1, "t", 20.0, 100_000)]);
    let mut first = Viewer::open(&receiver).await;
    first.until("the reading", |state| !state.agents.is_empty()).await;
    let arrived = Instant::now();
    // The receiver keeps what it made for the first viewer; meanwhile it grows older.
    let texts = first.texts.len();
    while first.texts.len() < texts + 3 {
        first.next().await;
    }
    let (asked, mut late) = (Instant::now(), Viewer::open(&receiver).await);
    late.until("the reading", |state| !state.agents.is_empty()).await;
    let shed = &late.state.agents["shed"];
    let age = shed.readings.values().next().expect("a reading")["age_ms"].as_u64().expect("a number");
    let youngest = 100_000 + (asked - arrived).as_millis() as u64;
    let oldest = 100_000 + sent.elapsed().as_millis() as u64;
    assert!((youngest..=oldest).contains(&age), "{age} ms is not between {youngest} and {oldest}");
    let heard = shed.head["heard_ms"].as_u64().expect("a number");
    assert!((youngest..=oldest).contains(&(heard + 100_000)), "heard {heard} ms ago: {youngest} to {oldest}");
}

#[tokio::test]
async fn changes_without_a_message_are_noticed() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let (_, jpegs) = film(&bench, "film", 1);
    let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    let mut viewer = Viewer::open(&receiver).await;
    send_status(&agent, "b1", &[part("door", 0)], &[]);
    let fps = |state: &State| state.agents.get("shed")?.head["cameras"][0]["fps"].as_f64();
    let control = |state: &State| Some(state.agents.get("shed")?.head["control"] == true);
    viewer.until("commands reach it", |state| control(state) == Some(true)).await;
    let mut seq = 0;
    while fps(&viewer.state).is_none_or(|fps| fps <= 0.0) {
        seq += 1;
        send_frame(&agent, "b1", "door", seq, &jpegs[0]);
        viewer.next().await;
    }
    // The agent is silent from now on.
    viewer.until("no frames, no commands", |state| fps(state) == Some(0.0) && control(state) == Some(false)).await;
}

const NAMES: [&str; 40] = [
    "a00", "a01", "a02", "a03", "a04", "a05", "a06", "a07", "a08", "a09", "a10", "a11", "a12", "a13", "a14", "a15",
    "a16", "a17", "a18", "a19", "a20", "a21", "a22", "a23", "a24", "a25", "a26", "a27", "a28", "a29", "a30", "a31",
    "a32", "a33", "a34", "a35", "a36", "a37", "a38", "a39",
];

/// Frames come before the state of many large agents, its texts are short, and one change costs little.
#[tokio::test]
async fn heavy_state_does_not_delay_frames() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let (_, jpegs) = film(&bench, "film", 1);
    let camera = FakeAgent::new(zmq::DEALER, &receiver.link, "zoo", "b1");
    send_frame(&camera, "b1", "door", 1, &jpegs[0]);
    let readings: Vec<_> = (0..700).map(|at| reading(1 + at, &format!("quantity-{at}"), 1.0, 5)).collect();
    let agents = NAMES.map(|name| FakeAgent::new(zmq::DEALER, &receiver.link, name, "b1"));
    for agent in &agents {
        send_status(agent, "b1", &[], &readings);
    }
    let all = eventually("all agents", || {
        let wall = get(&receiver.page, "/api/wall");
        let count = wall.json()["agents"].as_array().map(Vec::len);
        (count == Some(NAMES.len() + 1)).then_some(wall.body.len())
    });
    assert!(all > 2 << 20, "the complete state has only {all} bytes");

    let mut viewer = Viewer::open(&receiver).await;
    assert!(viewer.next().await.is_binary(), "the frame is not the first message");
    let count = |state: &State| state.agents.values().map(|agent| agent.readings.len()).sum::<usize>();
    viewer.until("all readings", |state| count(state) == NAMES.len() * readings.len()).await;
    let longest = viewer.texts.iter().max().expect("a text");
    assert!(*longest < MAX_TEXT_BYTES, "a text of {longest} bytes");

    viewer.texts.clear();
    let mut changed = readings.clone();
    changed[350] = reading(5_000, "quantity-350", 2.0, 5);
    send_status(&agents[7], "b1", &[], &changed);
    while viewer.value("a07", "quantity-350") != Some(&json!(2.0)) {
        viewer.next().await;
    }
    let sent: usize = viewer.texts.iter().sum();
    assert!(sent < MAX_TEXT_BYTES, "{sent} bytes for one changed reading");
}

/// The receiver's number of viewers.
fn viewers(receiver: &Receiver) -> u32 {
    let metrics = get(&receiver.page, "/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("watchpost_viewers ")).expect("the metric");
    line.parse().expect("a number")
}

/// A viewer that reads nothing loses its connection, whether or not its buffers are full. One that reads, but draws
/// nothing, keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn viewer_that_reads_nothing_is_disconnected() {
    let bench = Bench::new();
    let receiver = router(&bench);
    let (_, jpegs) = film(&bench, "film", 1);
    let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    send_frame(&agent, "b1", "door", 1, &jpegs[0]);
    let address = format!("ws://{}/live?changes=true", receiver.page);
    let (mut idle, _) = connect_async(&address).await.expect("a WebSocket");
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = idle.next().await {} });
    let start = Instant::now();
    let stuck: Vec<_> = ["/live", "/live?changes=true"]
        .iter()
        .map(|path| {
            let mut stream = TcpStream::connect(&receiver.page).expect("the page's port");
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).expect("a sent request");
            stream
        })
        .collect();
    eventually("three viewers", || (viewers(&receiver) == 3).then_some(()));
    let limit = Duration::from_secs(30) + PATIENCE / 2;
    while viewers(&receiver) != 1 {
        assert!(start.elapsed() < limit, "{} viewers after {limit:?}", viewers(&receiver));
        sleep(Duration::from_millis(100));
    }
    assert!(start.elapsed() >= Duration::from_secs(29), "disconnected after only {:?}", start.elapsed());
    assert!(!reading.is_finished(), "a viewer that reads was disconnected");
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_changes_and_drops_removed_agents() {
    let bench = Bench::new();
    let (link, page) = (free_port(), free_port());
    let config = format!(
        "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:{link}\"\n[web]\nlisten = \"127.0.0.1:{page}\"\n"
    );
    let receiver = bench.receiver_of(&config);
    let shed = FakeAgent::new(zmq::DEALER, &receiver.link, "shed", "b1");
    let barn = FakeAgent::new(zmq::DEALER, &receiver.link, "barn", "b1");
    send_status(&shed, "b1", &[], &[reading(1, "t", 20.0, 5), reading(2, "h", 50.0, 5)]);
    send_status(&barn, "b1", &[], &[reading(1, "t", 8.0, 5)]);
    let browser = Browser::open(&bench, &receiver.page).await;
    let card = |key: &str, value: &str| format!("[data-reading='{key}'][data-value='{value}']");
    browser.sees(&card("shed/climate/t", "20")).await;
    browser.sees(&card("barn/climate/t", "8")).await;
    browser.sees("body[data-agents=several]").await;
    send_status(&shed, "b1", &[], &[reading(3, "t", 21.0, 5)]);
    browser.sees(&card("shed/climate/t", "21")).await;
    browser.sees(&card("barn/climate/t", "8")).await;
    // It is no longer listed.
    let gone = "return document.querySelector(arguments[0]) === null";
    browser.becomes("no card", gone, &[json!("[data-reading='shed/climate/h']")], |gone| *gone == true).await;

    // A restarted receiver knows only agents that send something.
    drop(barn);
    bench.reload_receiver(&receiver, &format!("{config}[history]\noff = true\n"));
    receiver.program.wait_for_log("more than links changed", "");
    browser
        .becomes("the shed alone", "return document.body.dataset.agents", &[], |agents| {
            send_status(&shed, "b1", &[], &[reading(3, "t", 22.0, 5)]);
            *agents == "one"
        })
        .await;
    browser.sees(&card("shed/climate/t", "22")).await;
    browser.becomes("no card", gone, &[json!("[data-reading='barn/climate/t']")], |gone| *gone == true).await;
    browser.close().await;
}
