use serde_json::Value;
use zeromq::{Socket as _, SocketRecv as _, SubSocket};

use crate::harness::film::numbered;
use crate::harness::{Bench, Board, Program, Shows, eventually, film, free_port, peer, readings, saved};

const CAMERA: &str = "name = \"shed\"\ncamera = [{ name = \"door\", source = \"pattern\", size = \"320x240\" }]\n";

#[test]
fn link_without_a_peer_blocks_nothing() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        r#"
        {CAMERA}
        link = [
            {{ pattern = "pair", connect = "tcp://127.0.0.1:{}" }},
            {{ pattern = "pair", bind = "tcp://127.0.0.1:*" }},
            {{ pattern = "pair", connect = "{}" }},
        ]
        "#,
        free_port(),
        receiver.link
    ));
    receiver.program.wait_for_json("many frames", |message| message["seq"].as_u64() > Some(50));
    receiver.program.wait_for_json("a status with the cause of each link", |message| {
        let cause = |link: usize| message["links"][link]["cause"].as_str().unwrap_or("").to_owned();
        (0..2).all(|link| cause(link).starts_with("no peer")) && cause(2) == "connected"
    });
}

#[test]
fn restarted_receiver_gets_new_frames() {
    let bench = Bench::new();
    let port = free_port();
    let link = format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"");
    let receiver = bench.receiver(&link);
    let _agent =
        bench.agent(&format!("{CAMERA}link = [{{ pattern = \"pair\", connect = \"tcp://127.0.0.1:{port}\" }}]"));
    let is_frame = |message: &Value| message["type"] == "frame";
    let before = receiver.program.wait_for_json("a frame", is_frame);
    drop(receiver);
    let again = bench.receiver(&link);
    let after = again.program.wait_for_json("a frame", is_frame);
    assert_eq!(after["boot"], before["boot"]);
    assert!(after["seq"].as_u64() > before["seq"].as_u64());
}

#[test]
fn restarted_agent_reconnects_to_a_bound_pair() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let config = format!("{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}]", receiver.link);
    let first = bench.agent(&config);
    let before = receiver.program.wait_for_json("a frame", |message| message["type"] == "frame");
    drop(first);
    let _second = bench.agent(&config);
    receiver.program.wait_for_json("a frame of the second start", |message| {
        message["type"] == "frame" && message["boot"] != before["boot"]
    });
}

#[test]
fn every_format_arrives_on_both_patterns() {
    for format in ["watchpost", "json", "base64", "imagezmq"] {
        for (receiver_pattern, agent_pattern) in [("pair", "pair"), ("sub", "pub")] {
            let bench = Bench::new();
            let receiver = bench.receiver(&format!(
                "pattern = \"{receiver_pattern}\"\nbind = \"tcp://127.0.0.1:*\"\nformat = \"{format}\"\n{}",
                if format == "base64" { "agent = \"shed\"\ncamera = \"door\"" } else { "" }
            ));
            let _agent = bench.agent(&format!(
                "{CAMERA}link = [{{ pattern = \"{agent_pattern}\", connect = \"{}\", format = \"{format}\" }}]",
                receiver.link
            ));
            let message =
                receiver.program.wait_for_json(&format!("a frame as {format} on {agent_pattern}"), |message| {
                    message["type"] == "frame" && message["agent"] == "shed" && message["camera"] == "door"
                });
            assert_eq!((message["width"].as_u64(), message["height"].as_u64()), (Some(320), Some(240)));
            assert!(saved(&bench, "shed", "door").starts_with(&[0xff, 0xd8]));
        }
    }
}

#[test]
fn garbage_on_the_port_is_counted_and_harmless() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"sub\"\nbind = \"tcp://127.0.0.1:*\"");
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::PUB).expect("a socket");
    stranger.connect(&receiver.link).expect("a connection");
    eventually("a message about the garbage", || {
        for parts in [vec!["x"], vec!["", ""], vec!["frame/a/b", "{\"type\":\"frame\"}", "no jpeg"], vec!["a"; 9]] {
            stranger.send_multipart(parts, 0).expect("the message is sent");
        }
        receiver.program.log().contains("malformed message").then_some(())
    });
    let _agent = bench.agent(&format!("{CAMERA}link = [{{ pattern = \"pub\", connect = \"{}\" }}]", receiver.link));
    receiver.program.wait_for_json("a frame after it", |message| message["type"] == "frame");
}

#[test]
fn imagezmq_hub_reads_the_frames() {
    let bench = Bench::new();
    let agent = bench.agent(&format!(
        "{CAMERA}link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", format = \"imagezmq\" }}]"
    ));
    let hub = peer("image_hub.py", &[&agent.wait_for_log("bound to ", "")]);
    let frame = hub.wait_for_json("a frame", |_| true);
    assert_eq!(frame["msg"], "shed door");
    assert_eq!(frame["size"], serde_json::json!([320, 240]));
}

/// The `zeromq` crate and pyzmq both read the frames, without any watchpost code.
#[tokio::test]
async fn independent_subscribers_read_header_and_jpeg() {
    let bench = Bench::new();
    let agent = bench.agent(&format!("{CAMERA}link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\" }}]"));
    let address = agent.wait_for_log("bound to ", "");

    let python = peer("subscriber.py", &[&address, "frame/shed/door"]);
    let mut rust = SubSocket::new();
    rust.connect(&address).await.expect("a connection");
    rust.subscribe("frame/").await.expect("a subscription");
    let parts = rust.recv().await.expect("a message").into_vec();
    let [topic, header, jpeg] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    let header: Value = serde_json::from_slice(header).expect("JSON");
    assert_eq!(topic.as_ref(), b"frame/shed/door");
    assert_eq!((&header["v"], &header["camera"]), (&1.into(), &"door".into()));
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));

    let seen = python.wait_for_json("a frame", |_| true);
    assert_eq!(seen["size"], serde_json::json!([320, 240]));
    assert_eq!(seen["header"]["boot"], header["boot"]);
}

#[test]
fn page_port_in_use_error_names_the_config_key() {
    let bench = Bench::new();
    let first = bench.pair_receiver();
    let config = bench.path("second.toml");
    let text =
        format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"{}\"\n", first.page);
    std::fs::write(&config, text).expect("a temporary file");
    let mut second = Program::start(bench.watchpost("receive").arg("--config").arg(&config));
    assert_eq!(second.wait().code(), Some(1));
    second.wait_for_log("stop the other receiver, or set [web] listen", "");
}

/// The page shows the cameras of an agent's two links together, under its name.
#[test]
fn links_of_one_agent_share_the_wall() {
    let bench = Bench::new();
    let config = bench.path("receiver.toml");
    std::fs::write(
        &config,
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n\
         [[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\nformat = \"base64\"\nagent = \"shed\"\ncamera = \"too\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\n",
    )
    .expect("a temporary file");
    let receiver =
        Program::start(bench.watchpost("receive").arg("--config").arg(&config).arg("--save").arg(bench.path("saved")));
    let native = format!("tcp://{}", receiver.wait_for_log("link tcp://", ": open, format watchpost"));
    eventually("the second link", || receiver.log().contains("format base64").then_some(()));
    let log = receiver.log();
    let base64 = log.lines().find(|line| line.contains("format base64")).expect("the line of the second link");
    let base64 = base64.split_once("link ").and_then(|(_, rest)| rest.split_once(": open")).expect("an address").0;
    let _agent = bench.agent(&format!(
        "{CAMERA}link = [{{ pattern = \"pair\", connect = \"{native}\" }}, \
         {{ pattern = \"pair\", connect = \"{base64}\", format = \"base64\" }}]"
    ));
    saved(&bench, "shed", "door");
    saved(&bench, "shed", "too");
    let page = receiver.wait_for_log("the page is at http://", "/");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use futures_util::StreamExt as _;
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{page}/live")).await.expect("a WebSocket");
        // Always both cameras: neither link may remove the other's.
        for _ in 0..20 {
            let Some(Ok(message)) = socket.next().await else { panic!("the WebSocket closed") };
            let Ok(text) = message.to_text() else { continue };
            let Ok(wall) = serde_json::from_str::<Value>(text) else { continue };
            assert_eq!(wall["agents"][0]["cameras"].as_array().map(Vec::len), Some(2), "{wall}");
        }
    });
}

#[test]
fn slow_peer_gets_the_last_readings_before_shutdown() {
    let bench = Bench::new();
    let mut board = Board::new();
    let context = zmq::Context::new();
    let socket = context.socket(zmq::PAIR).expect("a socket");
    socket.set_rcvhwm(1).expect("an option");
    socket.set_rcvtimeo(500).expect("an option");
    socket.bind("tcp://127.0.0.1:*").expect("a port");
    let address = socket.get_last_endpoint().expect("an address").expect("as text");
    let mut agent = bench.agent(&format!(
        "serial = [{{ name = \"climate\", port = \"{}\" }}]\nlink = [{{ pattern = \"pair\", connect = \"{address}\" }}]",
        board.path.display()
    ));
    agent.wait_for_log("connected", "");
    agent.wait_for_log("open at", "");
    let lines = 300;
    for line in 0..lines {
        board.write_line(&format!("n-{line}"));
    }
    let mut numbers = Vec::new();
    let mut end = None;
    while let Ok(parts) = socket.recv_multipart(0) {
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        numbers.extend(readings(&header).filter_map(|reading| reading["value"].as_f64()).map(|value| value as i64));
        if end.is_none() && !numbers.is_empty() {
            end = Some(agent.terminate());
        }
    }
    let (status, _) = end.expect("readings before the shutdown");
    assert!(status.success());
    // Readings up to the shutdown have arrived, in order and without a gap.
    assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] == 1), "{numbers:?}");
    assert!(!agent.log().contains("readings unsent"), "{}", agent.log());
}

/// With libzmq's own heartbeats, the receiver would abort within seconds after the stranger leaves.
#[test]
fn passing_second_peer_on_a_pair_is_harmless() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!("{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}]", receiver.link));
    receiver.program.wait_for_json("a frame", |message| message["type"] == "frame");
    // Statuses arrive once a second and set the pace: each stranger stays for two of them.
    for _ in 0..3 {
        let context = zmq::Context::new();
        let stranger = context.socket(zmq::PAIR).expect("a socket");
        stranger.set_linger(0).expect("an option");
        stranger.connect(&receiver.link).expect("a connection");
        for _ in 0..2 {
            for _ in 0..100 {
                let _ = stranger.send(vec![b'x'; 8192], zmq::DONTWAIT);
            }
            receiver.program.clear_output();
            receiver.program.wait_for_json("a status", |message| message["type"] == "status");
        }
        drop(stranger);
    }
    for _ in 0..3 {
        receiver.program.clear_output();
        receiver.program.wait_for_json("a status", |message| message["type"] == "status");
        receiver.program.wait_for_json("a frame", |message| message["type"] == "frame");
    }
}

/// Programs without watchpost's header own a camera each, and their host's name together.
#[test]
fn imagezmq_senders_of_one_host_are_told_apart_by_camera() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"sub\"\nbind = \"tcp://127.0.0.1:*\"\nformat = \"imagezmq\"");
    let (_, large) = film(&bench, "film", 1);
    let senders = [0, 1, 2].map(|_| bench.raw(zmq::PUB, &receiver.link, &Shows::Nothing));
    let send = |sender: usize, camera: &str, jpeg: &[u8]| {
        let header = serde_json::json!({ "msg": format!("host {camera}") }).to_string();
        senders[sender].send_multipart([header.as_bytes(), jpeg], 0).expect("the message is sent");
    };
    let of = |camera: &'static str| move |message: &Value| message["agent"] == "host" && message["camera"] == camera;
    for (sender, camera) in [(0, "door"), (1, "gate")] {
        eventually("a frame", || {
            send(sender, camera, &numbered(1));
            receiver.program.find_json(of(camera))
        });
    }
    let words = "two agents are named host: one at 127.0.0.1 is connected, the other at 127.0.0.1 is refused; ";
    eventually("the refusal of the third", || {
        send(0, "door", &numbered(1));
        send(2, "door", &large[0]);
        receiver.program.log().contains(words).then_some(())
    });
    assert!(receiver.program.find_json(|message| message["width"] != 64).is_none());
    assert_eq!(receiver.program.log().matches("refused").count(), 1, "{}", receiver.program.log());
}
