use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::{get, get_json};
use crate::harness::hub::{ack, hello, spooling};
use crate::harness::installed::check_metrics;
use crate::harness::{Bench, Board, FakeAgent, PATIENCE, Peer, Program, eventually, now_us, subscriber};
use crate::harness::{free_port, hub::Hub};

const CAMERAS: &str = r#"
    name = "shed"
    camera = [
        { name = "door", source = "pattern", size = "320x240", fps = 30 },
        { name = "gate", source = "pattern", size = "320x240", fps = 30 },
    ]
"#;

fn header(parts: &[Vec<u8>]) -> Value {
    serde_json::from_slice(&parts[1]).expect("JSON")
}

/// Receives frames until one was captured after `since_us`.
#[track_caller]
fn frame_after(socket: &zmq::Socket, since_us: i64) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let parts = socket.recv_multipart(0).expect("a frame");
        if header(&parts)["captured_at_us"].as_i64() > Some(since_us) {
            return;
        }
    }
    panic!("no new frame within {PATIENCE:?}");
}

#[test]
fn subscriber_of_the_257th_topic_gets_frames_after_another_left() {
    let (bench, port) = (Bench::new(), free_port());
    let _agent = bench.agent(&format!("{CAMERAS}link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:{port}\" }}]"));
    let others: Vec<String> = (0..255).map(|number| format!("other/{number}")).collect();
    let topics: Vec<&str> = others.iter().map(String::as_str).chain(["status/shed"]).collect();
    let first = subscriber(port, &topics);
    first.recv_multipart(0).expect("a status: the agent has all 256 topics");

    let second = subscriber(port, &["frame/shed/door"]);
    second.recv_multipart(0).expect("a frame");
    first.set_unsubscribe(others[0].as_bytes()).expect("a topic");
    first.set_subscribe(b"frame/shed/gate").expect("a topic");
    while !first.recv_multipart(0).expect("a message")[0].starts_with(b"frame/shed/gate") {}
    frame_after(&second, now_us());
}

/// Starts an agent with this many boards; each writes 64 lines with a long label of their own, twice.
fn agent_with_long_labels(bench: &Bench, boards: &mut [Board], link: &str) -> Program {
    let ports = boards.iter().enumerate().map(|(port, board)| {
        format!("{{ name = \"p{port}\", port = \"{}\", stale_after = \"10min\" }}", board.path.display())
    });
    let ports: Vec<String> = ports.collect();
    // Few frames: each has a header of 256 KiB, which the receiver prints.
    let cameras = CAMERAS.replace("fps = 30", "fps = 2");
    let agent = bench.agent(&format!("{cameras}serial = [{}]\nlink = [{link}]", ports.join(", ")));
    for (port, board) in boards.iter_mut().enumerate() {
        agent.wait_for_log(&format!("port p{port} "), "open at");
        for _ in 0..2 {
            for number in 0..64 {
                board.write(format!("{}{number}-1\n", "q".repeat(240)).as_bytes());
            }
        }
    }
    agent
}

#[test]
fn long_labels_leave_frames_and_statuses_within_the_receivers_bounds() {
    let bench = Bench::new();
    let mut boards: Vec<Board> = (0..20).map(|_| Board::new()).collect();
    let receiver = bench.pair_receiver();
    let link = format!("{{ pattern = \"pair\", connect = \"{}\" }}", receiver.link);
    let _agent = agent_with_long_labels(&bench, &mut boards, &link);
    let left_out = |message: &Value, kind: &str| {
        let listed = message["readings"].as_array().map_or(0, Vec::len) as u64;
        let left_out = message["readings_left_out"].as_u64().unwrap_or(0);
        message["type"] == kind && left_out > 300 && listed + left_out == 20 * 64
    };
    let status = receiver.program.wait_for_json("a status without some readings", |message| {
        let cause = message["links"][0]["cause"].as_str();
        left_out(message, "status") && cause.is_some_and(|cause| cause.contains("leave out"))
    });
    assert!(status["ports"][19]["counts"]["lines"].as_u64() > Some(0), "the counts are still there");
    let frame = receiver.program.wait_for_json("a frame without some readings", |message| left_out(message, "frame"));
    receiver.program.wait_for_json("more frames", |message| {
        message["type"] == "frame"
            && message["camera"] == frame["camera"]
            && message["seq"].as_u64() > frame["seq"].as_u64()
    });
    assert!(!receiver.program.log().contains("malformed"), "{}", receiver.program.log());
    let shown = || get_json(&receiver.page, "/api/wall").1["agents"][0]["readings"].as_array().map(Vec::len);
    eventually("every quantity on the wall", || (shown() == Some(20 * 64)).then_some(()));
    // The next statuses list fewer, and remove none.
    let seen = || receiver.program.out().matches("\"type\":\"status\"").count();
    let before = seen();
    eventually("two more statuses", || (seen() >= before + 2).then_some(()));
    assert_eq!(shown(), Some(20 * 64));
}

/// Runs `watchpost COMMAND` on a configuration; returns everything it prints.
fn output_of(bench: &Bench, command: &str, config: &str) -> String {
    let file = bench.path("limits.toml");
    std::fs::write(&file, config).expect("a temporary file");
    let output = bench.watchpost(command).arg("--config").arg(file).output().expect("it starts");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn configuration_keeps_the_receivers_bounds() {
    let bench = Bench::new();
    let camera = |number: usize| format!("[[camera]]\nname = \"c{number}\"\nsource = \"pattern\"\n");
    let board = |number: usize| format!("[[serial]]\nport = \"/dev/ttyS{number}\"\n");
    let link = |number: usize| format!("[[link]]\npattern = \"pub\"\nbind = \"ipc://x{number}\"\n");
    let tables = |of: &dyn Fn(usize) -> String, count: usize| (0..count).map(of).collect::<String>();
    let check = |config: &str| output_of(&bench, "check", config);
    let all = |extra: &str| format!("{}{}{}{extra}", tables(&camera, 64), tables(&board, 64), tables(&link, 64));
    assert!(check(&all("")).starts_with("agent "), "{}", check(&all("")));
    for (extra, kind) in [(camera(64), "[[camera]]"), (board(64), "[[serial]]"), (link(64), "[[link]]")] {
        let text = check(&all(&extra));
        assert!(
            text.contains(&format!("an agent has at most 64 {kind} tables")) && text.contains("second agent"),
            "{text}"
        );
        assert!(text.contains(", line 513:"), "the line of the first table too many: {text}");
    }
    let (pattern, fields) = (format!("{}{}", camera(0), link(0)), "x".repeat(257));
    for config in [
        format!("{pattern}[quantity.{fields}]\n"),
        format!("{pattern}[[serial]]\nport = \"/dev/ttyS0\"\nfields = [\"{fields}\"]\n"),
        format!("{pattern}[quantity.a]\nlabel = \"{fields}\"\n"),
    ] {
        assert!(check(&config).contains("at most 256 bytes"), "{}", check(&config));
    }
    let name = "\u{20000}".repeat(64);
    let text = check(&format!("[[camera]]\nname = \"{name}\"\nsource = \"pattern\"\n{}", link(0)));
    assert!(text.contains("line 2:") && text.contains("at most 192 bytes"), "{text}");
}

#[test]
fn host_names_cannot_be_bound() {
    let bench = Bench::new();
    let config = |host: &str| {
        format!(
            "[[camera]]\nname = \"door\"\nsource = \"pattern\"\n\
             [[link]]\npattern = \"pair\"\nbind = \"tcp://{host}:5559\"\nplaintext = true\n"
        )
    };
    for host in ["hub.local", "watchpost.example.org", "a-name-longer-than-any-interface"] {
        let text = output_of(&bench, "check", &config(host));
        assert!(text.contains("line 6:") && text.contains("is the name of a host; write the address, `*`"), "{text}");
    }
    // It could be the name of an interface that does not exist yet.
    for (command, kind) in [("check", "warning: "), ("doctor", "error: ")] {
        let text = output_of(&bench, command, &config("hub"));
        assert!(text.contains(kind) && text.contains("no network interface \"hub\""), "{text}");
    }
    for host in ["lo", "127.0.0.1", "*", "[::1]", "eth0.100"] {
        let text = output_of(&bench, "check", &config(host));
        assert!(text.starts_with("agent ") && (host == "eth0.100" || !text.contains("interface")), "{text}");
    }
}

#[test]
fn configuration_of_the_other_program_is_named() {
    let bench = Bench::new();
    let receivers = "[[link]]\npattern = \"router\"\nbind = \"ipc://x\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    let agents = "[[camera]]\nname = \"door\"\nsource = \"pattern\"\n[[link]]\npattern = \"pub\"\nbind = \"ipc://x\"\n";
    for (command, config, hint) in [("run", receivers, "`watchpost receive`"), ("receive", agents, "`watchpost run`")] {
        let text = output_of(&bench, command, config);
        assert!(text.contains(hint) && !text.contains("unknown key"), "{text}");
    }
}

#[test]
fn missing_home_is_reported_as_a_spool_that_is_down() {
    let (bench, board, peer) = (Bench::new(), Board::new(), Peer::new());
    let config = bench.path("agent.toml");
    let text = format!(
        "serial = [{{ name = \"gas\", port = \"{}\" }}]\nlink = [{{ pattern = \"pair\", connect = \"{}\" }}]\n",
        board.path.display(),
        peer.address
    );
    std::fs::write(&config, text).expect("a temporary file");
    let homeless = |command: &str| {
        let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        for variable in ["HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"] {
            watchpost.env_remove(variable);
        }
        watchpost.arg(command).arg("--config").arg(&config);
        watchpost
    };
    let agent = Program::start(&mut homeless("run"));
    agent.wait_for_log("readings are not spooled: ", "");
    let status = peer.wait_for("a status", |header| header["type"] == "status" && header["spool"].is_object());
    assert_eq!(status["spool"]["up"], false);
    assert!(status["spool"]["cause"].as_str().expect("a text").starts_with("readings are not spooled: "), "{status}");
    for command in ["check", "doctor"] {
        let output = homeless(command).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("warning: ") && text.contains("readings are not spooled: "), "{text}");
    }
}

#[test]
fn status_with_two_parts_of_one_name_is_refused() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"");
    let agent = FakeAgent::on(&receiver);
    let part = |name: &str| json!({ "name": name, "source": "", "up": true, "cause": "", "for_ms": 1, "counts": { "lines": 1 } });
    let send = |ports: Value| {
        let status = json!({
            "type": "status", "v": 1, "agent": "shed", "boot": "b1", "cameras": [], "ports": ports, "links": [], "readings": []
        });
        agent.socket.send_multipart([b"status/shed".to_vec(), status.to_string().into_bytes()], 0).expect("it is sent");
    };
    send(json!([part("gas"), part("gas")]));
    receiver.program.wait_for_log("two ports are named \"gas\"", "");
    send(json!([part("gas"), part("air")]));
    let metrics = eventually("metrics of the good status", || {
        let text = get(&receiver.page, "/metrics").text();
        text.contains("port=\"air\"").then_some(text)
    });
    check_metrics(&metrics);
    assert_eq!(metrics.matches("watchpost_agent_port_up{agent=\"shed\",port=\"gas\"}").count(), 1, "{metrics}");
}

#[test]
fn receiver_that_floods_settings_fills_neither_log_nor_memory() {
    let (bench, hostile, good) = (Bench::new(), Peer::new(), Peer::new());
    let links = [&hostile, &good].map(|peer| format!("{{ pattern = \"pair\", connect = \"{}\" }}", peer.address));
    let agent = bench.agent(&format!("{CAMERAS}link = [{}]", links.join(", ")));
    good.wait_for("a frame", |header| header["type"] == "frame");
    hostile.wait_for("a status", |header| header["type"] == "status");
    let (before, began, mut round, mut frames) = (agent.memory(), Instant::now(), 0, 0);
    // The other camera and the other link go on during the flood.
    while frames < 30 {
        flood(&hostile, round);
        round += 1;
        while let Ok(parts) = good.socket.recv_multipart(zmq::DONTWAIT) {
            frames += u32::from(header(&parts)["camera"] == "gate");
        }
        assert!(began.elapsed() < PATIENCE, "{frames} frames of the other camera in {PATIENCE:?}");
    }
    hostile.send(&json!({ "type": "set", "camera": "door", "on": true, "fps": 7 }));
    let is_settled = |header: &Value| header["type"] == "status" && header["cameras"][0]["settings"]["fps"] == 7.0;
    let status = hostile.wait_for("the last setting", is_settled);
    let elapsed = began.elapsed();
    let opened = status["cameras"][0]["counts"]["opened"].as_u64().expect("a number");
    assert!(opened <= elapsed.as_secs() + 2, "opened {opened} times in {elapsed:?}");
    assert!(agent.memory() < before + 20_000_000, "{before} bytes before, {} after", agent.memory());
    let log = agent.log();
    let logged = log.matches("settings changed by the receiver").count();
    assert!((1..=20).contains(&logged) && log.lines().count() < 100, "{log}");
}

/// Sends every kind of control message many times, and takes what the agent sends.
fn flood(peer: &Peer, round: u32) {
    for number in 0..20 {
        let fps = 10 + (round + number) % 2;
        peer.send(&json!({ "type": "set", "camera": "door", "fps": fps, "on": number % 2 == 0 }));
        peer.send(&json!({ "type": "snapshot", "camera": "door" }));
        peer.send(&json!({ "type": "snapshot", "camera": format!("nobody-{round}-{number}") }));
        peer.send(&json!({ "type": "seen", "camera": format!("c{round}"), "boot": "x", "seq": u64::MAX }));
        peer.send(&json!({ "type": "hello", "v": 1, "window": u32::MAX }));
        peer.send(&json!({ "type": format!("unknown-{round}-{number}") }));
    }
    while peer.socket.recv_multipart(zmq::DONTWAIT).is_ok() {}
}

/// Receives until `is_done` for a status; acknowledges all readings and returns their numbers.
fn acknowledge_until(peer: &Peer, mut is_done: impl FnMut(&Value) -> bool) -> (BTreeSet<u64>, Value) {
    let (mut acknowledged, end) = (BTreeSet::new(), Instant::now() + 2 * PATIENCE);
    let mut greeted: Option<Instant> = None;
    while Instant::now() < end {
        if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            greeted = Some(Instant::now());
            peer.send(&hello());
        }
        let header = peer.next();
        if header["type"] == "status" && is_done(&header) {
            return (acknowledged, header);
        }
        for batch in header["batches"].as_array().into_iter().flatten() {
            let first = batch["seq"].as_u64().expect("a number");
            let last = first + batch["values"].as_array().expect("a list").len() as u64 - 1;
            acknowledged.extend(first..=last);
            peer.send(&ack(&header["boot"], first, last));
        }
    }
    panic!("timed out");
}

/// Every reading is counted once: as acknowledged, as lost, or as still kept.
#[test]
fn measured_readings_are_acknowledged_lost_or_kept() {
    const LINES: u64 = 6_000;
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "spool = { max_size = \"1 MB\" }");
    agent.wait_for_log("open at", "");
    let line: Vec<String> = (0..20).map(|number| format!("q{number}-{number}.5")).collect();
    let line = line.join("-") + "\n";
    board.write(b"\n");
    for _ in 0..LINES {
        board.write(line.as_bytes());
    }
    agent.wait_for_log("full; dropped the ", "");
    // The second half arrives while the receiver takes the first.
    let writer = std::thread::spawn(move || {
        for _ in 0..LINES {
            board.write(line.as_bytes());
        }
        board
    });
    let peer = hub.open();
    let measured = 2 * LINES * 20;
    let (received, status) = acknowledge_until(peer, |status| {
        let count = |what: &str| status["spool"]["counts"][what].as_u64().unwrap_or(0);
        let kept = count("readings_in_memory") + count("readings_on_disk");
        status["ports"][0]["counts"]["lines"] == 2 * LINES
            && kept == 0
            && count("readings_acknowledged") + count("readings_lost_no_room") + count("readings_lost_overload")
                >= measured
    });
    let count = |what: &str| status["spool"]["counts"][what].as_u64().unwrap_or(0);
    let lost = count("readings_lost_no_room") + count("readings_lost_overload");
    assert_eq!(count("readings_acknowledged") + lost, measured, "{}", status["spool"]);
    assert_eq!(received.len() as u64, count("readings_acknowledged"), "{}", status["spool"]);
    assert!(lost > 0, "{}", status["spool"]);
    drop(writer.join().expect("the board's thread"));
}
