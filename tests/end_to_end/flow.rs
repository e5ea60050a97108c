use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Bench, Board, Peer, Program, free_port, pair, peer};

fn agent(bench: &Bench, link: &str) -> Program {
    bench.agent(&format!(
        r#"
        name = "shed"
        camera = [
            {{ name = "door", source = "pattern", size = "320x240", fps = 30 }},
            {{ name = "gate", source = "pattern", size = "320x240", fps = 30 }},
        ]
        link = [{link}]
        "#
    ))
}

fn connected(bench: &Bench, peer: &Peer) -> Program {
    agent(bench, &format!(r#"{{ pattern = "pair", connect = "{}" }}"#, peer.address))
}

fn hello(window: u32) -> Value {
    json!({ "type": "hello", "v": 1, "window": window })
}

fn seen(frame: &Value) -> Value {
    json!({ "type": "seen", "camera": frame["camera"], "boot": frame["boot"], "seq": frame["seq"] })
}

fn is_frame_of(camera: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "frame" && message["camera"] == camera
}

fn seq(frame: &Value) -> u64 {
    frame["seq"].as_u64().expect("a number")
}

/// Says hello and receives frames, without confirming any, until each camera's window is full. Returns the last frame
/// of each camera.
#[track_caller]
fn fill(peer: &Peer, window: u32) -> [Value; 2] {
    let mut frames = [Vec::new(), Vec::new()];
    peer.send(&hello(window));
    while frames.iter().any(|frames| frames.len() < window as usize) {
        let frame = peer.wait_for("a frame", |message| message["type"] == "frame");
        frames[usize::from(frame["camera"] == "gate")].push(frame);
    }
    // Frames that were in flight before the hello.
    while let Some(frame) = next_within_a_second(peer, window) {
        frames[usize::from(frame["camera"] == "gate")].push(frame);
    }
    frames.map(|frames| frames.last().expect("at least one").clone())
}

/// The next frame that arrives within a second.
#[track_caller]
fn next_within_a_second(peer: &Peer, window: u32) -> Option<Value> {
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let message = peer.next();
        if message["type"] == "frame" {
            return Some(message);
        }
        peer.send(&hello(window));
    }
    None
}

#[test]
fn window_limits_unseen_frames_per_camera() {
    for window in [1, 3] {
        let (bench, peer) = (Bench::new(), Peer::new());
        let _agent = connected(&bench, &peer);
        let [door, gate] = fill(&peer, window);
        peer.send(&seen(&door));
        let mut frames = Vec::new();
        while frames.len() < window as usize {
            let frame = peer.wait_for("a frame", |message| message["type"] == "frame");
            assert_eq!(frame["camera"], "door", "each camera has its own window");
            frames.push(frame);
        }
        // The next frame is current, not the one that was newest when the window filled up.
        assert!(seq(&frames[0]) > seq(&door) + 5, "{door} and then {}", frames[0]);
        assert_eq!(next_within_a_second(&peer, window), None, "more frames than the window allows");
        peer.send(&seen(&gate));
        peer.wait_for("the other camera's", is_frame_of("gate"));
    }
}

#[test]
fn duplicate_and_unrelated_control_messages_are_harmless() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let agent = connected(&bench, &peer);
    let [door, _] = fill(&peer, 1);
    let mut other = seen(&door);
    other["boot"] = "another".into();
    peer.send(&other);
    peer.send(&json!({ "type": "seen", "camera": "roof", "boot": door["boot"], "seq": 9 }));
    peer.send(&json!({ "type": "seen", "camera": "door", "boot": door["boot"], "seq": seq(&door) - 1 }));
    for garbage in ["", "x", "{}", r#"{"type":"hello","v":1,"window":0}"#, &"[".repeat(100_000)] {
        peer.socket.send(garbage, 0).expect("the message is sent");
    }
    peer.socket.send_multipart(["{}", "{}"], 0).expect("the message is sent");
    peer.wait_for("the count of malformed messages", |message| {
        message["links"][0]["counts"]["malformed_control_messages"] == 6
    });
    assert_eq!(next_within_a_second(&peer, 1), None, "a frame without a valid confirmation");
    for _ in 0..3 {
        peer.send(&seen(&door));
    }
    let next = peer.wait_for("one frame", is_frame_of("door"));
    assert_eq!(next_within_a_second(&peer, 1), None, "a frame for a repeated confirmation");
    peer.send(&seen(&next));
    peer.wait_for("another", is_frame_of("door"));
    assert!(agent.log().matches("malformed message from the receiver").count() == 1, "{}", agent.log());
}

#[test]
fn peer_without_hello_gets_every_frame_after_one_with_hello() {
    let (bench, port) = (Bench::new(), free_port());
    let address = format!("tcp://127.0.0.1:{port}");
    let bound = || {
        let (socket, _) = pair();
        socket.bind(&address).expect("the port is free again");
        Peer { socket, address: address.clone() }
    };
    let first = bound();
    let _agent = connected(&bench, &first);
    fill(&first, 1);
    drop(first);
    let second = bound();
    assert_eq!(second.next()["type"], "status", "the status comes first");
    let frame = second.wait_for("a frame", is_frame_of("door"));
    let mut last = seq(&frame);
    for _ in 0..20 {
        let next = seq(&second.wait_for("the next", is_frame_of("door")));
        assert!(next > last);
        last = next;
    }
}

#[test]
fn remote_camera_settings_show_in_status() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let _agent = connected(&bench, &peer);
    let settings = |what: &'static str, matches: fn(&Value) -> bool| {
        peer.wait_for(what, move |message| message["type"] == "status" && matches(&message["cameras"][0]))
    };
    settings("as it is configured", |door| door["settings"] == json!({ "on": true, "fps": 30.0, "quality": 80 }));
    for _ in 0..2 {
        peer.send(&json!({ "type": "set", "camera": "door", "on": false, "fps": 5 }));
        settings("off", |door| door["settings"]["on"] == false && door["cause"] == "switched off");
    }
    peer.send(&json!({ "type": "set", "camera": "door", "quality": 101 }));
    peer.send(&json!({ "type": "set", "camera": "dor", "on": true }));
    peer.wait_for("a count of unknown cameras", |message| {
        message["type"] == "status" && message["links"][0]["counts"]["unknown_cameras_requested"] == 1
    });
    peer.send(&json!({ "type": "set", "camera": "door", "on": true, "quality": 20 }));
    settings("on", |door| door["up"] == true && door["settings"] == json!({ "on": true, "fps": 5.0, "quality": 20 }));
    peer.wait_for("a frame of it", is_frame_of("door"));
}

#[test]
fn snapshot_sends_one_frame_when_off_or_window_full() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let _agent = connected(&bench, &peer);
    let [door, gate] = fill(&peer, 1);
    let snapshot = |camera: &str| peer.send(&json!({ "type": "snapshot", "camera": camera }));
    snapshot("gate");
    let next = peer.wait_for("a frame", |message| message["type"] == "frame");
    assert!(next["camera"] == "gate" && seq(&next) > seq(&gate), "{next}");
    assert_eq!(next_within_a_second(&peer, 1), None, "more than one frame");
    peer.send(&json!({ "type": "set", "camera": "door", "on": false }));
    let is_off = |message: &Value| message["cameras"][0]["cause"] == "switched off";
    peer.wait_for("a status that it is off", is_off);
    peer.send(&seen(&door));
    for _ in 0..2 {
        snapshot("door");
        let next = peer.wait_for("a frame of it", is_frame_of("door"));
        peer.send(&seen(&next));
        peer.wait_for("a status that it is off again", |message| {
            assert_ne!(message["camera"], "door", "more than one frame");
            is_off(message) && message["cameras"][0]["settings"]["on"] == false
        });
    }
}

#[test]
fn router_serves_many_agents_and_tells_each_what_was_seen() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let agents = ["shed", "barn", "yard"].map(|name| {
        let bench = Bench::new();
        let text = format!(
            "name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
             link = [{{ pattern = \"dealer\", connect = \"{}\" }}]",
            receiver.link
        );
        let agent = bench.agent(&text);
        (name, bench, agent)
    });
    for (name, ..) in &agents {
        let of = |message: &Value| message["type"] == "frame" && message["agent"] == *name;
        receiver.program.wait_for_json("many frames", |message| of(message) && seq(message) > 60);
        receiver.program.wait_for_json("its status", |message| {
            message["type"] == "status" && message["agent"] == *name && message["links"][0]["cause"] == "connected"
        });
    }
    let [(_, bench, agent), ..] = agents;
    drop(agent);
    let text = std::fs::read_to_string(bench.path("agent.toml")).expect("its configuration");
    let old = receiver.program.find_json(|message| message["agent"] == "shed").expect("a message of shed");
    let _again = bench.agent(&text);
    receiver.program.wait_for_json("frames of its next start", |message| {
        message["agent"] == "shed" && message["boot"] != old["boot"] && message["seq"].as_u64() > Some(60)
    });
}

#[test]
fn suspended_receiver_is_reported_as_silent() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let observer = Peer::new();
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "door", source = "pattern" }}]
        serial = [{{ name = "climate", port = "{}" }}]
        link = [
            {{ pattern = "pair", connect = "{}" }},
            {{ pattern = "pair", connect = "{}", cameras = [] }},
        ]
        "#,
        board.path.display(),
        receiver.link,
        observer.address
    ));
    let link = |cause: &'static str| {
        observer.wait_for(cause, |message| message["type"] == "status" && message["links"][0]["cause"] == cause)
    };
    receiver.program.wait_for_json("frames", |message| message["seq"].as_u64() > Some(10));
    receiver.program.signal(Signal::SIGSTOP);
    link("connected, but the receiver is silent");
    board.write_line("t-21");
    receiver.program.signal(Signal::SIGCONT);
    link("connected");
    receiver.program.wait_for_json("the reading", |message| message["batches"][0]["values"][0]["value"] == 21.0);
}

/// The agent waits for the hub's answer before it sends the next frame, but not forever.
#[test]
fn answering_imagezmq_hub_is_served_and_found_again() {
    let (bench, port) = (Bench::new(), free_port());
    let address = format!("tcp://127.0.0.1:{port}");
    let hub = || peer("image_hub.py", &[&address, "answers"]);
    let first = hub();
    let agent = agent(&bench, &format!(r#"{{ pattern = "req", connect = "{address}", format = "imagezmq" }}"#));
    for camera in ["shed door", "shed gate"] {
        for _ in 0..10 {
            first.clear_output();
            first.wait_for_json(camera, |frame| frame["msg"] == camera);
        }
    }
    assert!(!agent.log().contains("did not reply"), "{}", agent.log());
    drop(first);
    let again = hub();
    again.wait_for_json("a frame", |frame| frame["msg"] == "shed door");
    again.signal(Signal::SIGSTOP);
    agent.wait_for_log("did not reply", "");
    drop(again);
    hub().wait_for_json("a frame", |frame| frame["msg"] == "shed gate");
}

/// A PAIR socket serves one peer and makes others wait; when the first leaves, the next takes its place.
#[test]
fn waiting_agent_takes_over_a_pair_when_the_first_leaves() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    // No frames: the few messages of the second agent fit into socket buffers, so that its socket notices nothing.
    let start = |name: &str| {
        let bench = Bench::new();
        let text = format!(
            "name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\", on = false }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{}\" }}]",
            receiver.link
        );
        let agent = bench.agent(&text);
        (bench, agent)
    };
    let first = start("first");
    receiver.program.wait_for_json("the first", |message| message["agent"] == "first");
    let second = start("second");
    second.1.wait_for_log("connected", "");
    receiver.program.clear_output();
    receiver.program.wait_for_json("the first", |message| message["agent"] == "first");
    assert_eq!(receiver.program.find_json(|message| message["agent"] == "second"), None);
    receiver.program.wait_for_log("another agent at 127.0.0.1 is waiting", "");
    second.1.wait_for_log("connected, no hello received: a script, or a receiver busy with another agent", "");
    drop(first);
    receiver.program.wait_for_json("the second", |message| message["agent"] == "second");
}

#[test]
fn agents_bound_pair_admits_the_waiting_peer() {
    let bench = Bench::new();
    let agent = agent(&bench, r#"{ pattern = "pair", bind = "tcp://127.0.0.1:*" }"#);
    let address = agent.wait_for_log("bound to ", "");
    let connect = || {
        let (socket, _) = pair();
        socket.connect(&address).expect("a connection");
        Peer { socket, address: address.clone() }
    };
    let mut first = connect();
    for _ in 0..20 {
        first.wait_for("a frame", is_frame_of("door"));
        let second = connect();
        first.wait_for("a status that another peer waits", |message| {
            message["links"][0]["cause"].as_str().is_some_and(|cause| cause.contains("another peer is waiting"))
        });
        drop(std::mem::replace(&mut first, second));
    }
}

#[test]
fn passing_strangers_do_not_disturb_a_bound_pair() {
    let bench = Bench::new();
    let agent = agent(&bench, r#"{ pattern = "pair", bind = "tcp://127.0.0.1:*" }"#);
    let address = agent.wait_for_log("bound to ", "");
    let (socket, _) = pair();
    socket.connect(&address).expect("a connection");
    let peer = Peer { socket, address };
    fill(&peer, 1);
    let address = peer.address.trim_start_matches("tcp://");
    for _ in 0..5 {
        for _ in 0..20 {
            let mut stranger = TcpStream::connect(address).expect("a connection");
            stranger.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("the message is sent");
        }
        peer.send(&hello(1));
        let status = peer.next();
        assert_eq!(status["type"], "status", "{status}");
        assert_eq!(status["links"][0]["cause"], "connected, but the receiver keeps no readings");
    }
    assert_eq!(next_within_a_second(&peer, 1), None);
}
