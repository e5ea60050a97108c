use std::process::Command;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Bench, Board, Peer, Program, eventually, free_port, readings, subscriber};

/// Slow enough that a busy machine skips none of its frames.
const DOOR: &str = r#"{ name = "door", source = "pattern", size = "320x240", fps = 2 }"#;
const YARD: &str = r#"{ name = "yard", source = "pattern", size = "320x240", fps = 20 }"#;

fn pair(peer: &Peer) -> String {
    format!(r#"{{ pattern = "pair", connect = "{}" }}"#, peer.address)
}

fn config(cameras: &[&str], links: &[&str]) -> String {
    format!("name = 'shed'\ncamera = [{}]\nlink = [{}]\n", cameras.join(", "), links.join(", "))
}

fn is_frame_of(camera: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "frame" && message["camera"] == camera
}

fn names(parts: &Value) -> Vec<&str> {
    parts.as_array().map_or_else(Vec::new, |parts| parts.iter().filter_map(|part| part["name"].as_str()).collect())
}

/// Waits for a message for which `is_end` holds. Until then the camera's frames must be consecutive and come from one
/// start of the agent.
#[track_caller]
fn assert_unbroken(peer: &Peer, camera: &'static str, what: &str, mut is_end: impl FnMut(&Value) -> bool) {
    let first = peer.wait_for("a first frame", is_frame_of(camera));
    let mut seq = first["seq"].as_u64().expect("a number");
    peer.wait_for(what, |message| {
        if is_frame_of(camera)(message) {
            seq += 1;
            assert_eq!(message["seq"], seq, "the frame after {}", seq - 1);
            assert_eq!(message["boot"], first["boot"], "the agent restarted");
        }
        is_end(message)
    });
}

#[test]
fn adding_and_removing_a_camera_costs_others_no_frame() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let agent = bench.agent(&config(&[DOOR], &[&pair(&peer)]));
    peer.wait_for("a frame", is_frame_of("door"));
    bench.reload(&agent, &config(&[YARD, DOOR], &[&pair(&peer)]));
    assert_unbroken(&peer, "door", "a frame of the new camera", is_frame_of("yard"));
    let status = peer.wait_for("both cameras up", |message| {
        message["cameras"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|camera| camera["up"] == true))
    });
    assert_eq!(status["cameras"][1]["counts"]["opened"], 1, "{status}");
    assert_unbroken(&peer, "door", "a status with both", |message| names(&message["cameras"]) == ["yard", "door"]);
    bench.reload(&agent, &config(&[DOOR], &[&pair(&peer)]));
    assert_unbroken(&peer, "door", "a status without it", |message| names(&message["cameras"]) == ["door"]);
    for _ in 0..10 {
        let frame = peer.wait_for("frames", |message| message["type"] == "frame");
        assert_eq!(frame["camera"], "door", "a removed camera still sends frames");
    }
    agent.wait_for_log(
        "configuration reloaded; stopped: camera yard (pattern); started: nothing; the rest unchanged",
        "",
    );
}

#[test]
fn changed_camera_reopens_and_continues_its_count() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let agent = bench.agent(&config(&[DOOR], &[&pair(&peer)]));
    let before = peer.wait_for("some frames", |message| is_frame_of("door")(message) && message["seq"] == 3);
    bench.reload(&agent, &config(&[&DOOR.replace("320x240", "160x120")], &[&pair(&peer)]));
    let after = peer.wait_for("a frame of the new size", |message| message["width"] == 160);
    assert_eq!(after["boot"], before["boot"]);
    assert!(after["seq"].as_u64() > Some(3), "a sequence number was reused: {after}");
}

#[test]
fn reload_keeps_remote_off_state_unless_file_says_on() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let agent = bench.agent(&config(&[DOOR], &[&pair(&peer)]));
    peer.wait_for("a frame", is_frame_of("door"));
    peer.send(&json!({ "type": "set", "v": 1, "camera": "door", "on": false }));
    peer.wait_for("the camera off", |message| message["cameras"][0]["settings"]["on"] == false);
    let smaller = DOOR.replace("320x240", "160x120");
    bench.reload(&agent, &config(&[&smaller], &[&pair(&peer)]));
    agent.wait_for_log("stopped: camera door (pattern); started: camera door (pattern)", "");
    let status = peer.wait_for("a status of the reopened camera", |message| {
        message["type"] == "status" && message["cameras"][0]["for_ms"].as_u64() < Some(900)
    });
    assert_eq!(status["cameras"][0]["settings"]["on"], false, "{status}");
    let off = smaller.replace("fps = 2", "fps = 4, on = false");
    bench.reload(&agent, &config(&[&off], &[&pair(&peer)]));
    peer.wait_for("the file's settings", |message| message["cameras"][0]["settings"]["fps"] == 4.0);
    bench.reload(&agent, &config(&[&smaller], &[&pair(&peer)]));
    peer.wait_for("a frame, once the file says on", is_frame_of("door"));
}

#[test]
fn invalid_file_changes_nothing_and_names_the_line() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let good = config(&[DOOR], &[&pair(&peer)]);
    let agent = bench.agent(&good);
    peer.wait_for("a frame", is_frame_of("door"));
    bench.reload(&agent, &good.replace("camera =", "camrea ="));
    let message = agent.wait_for_log("configuration not reloaded, keeping the current one: ", "");
    assert!(message.contains("agent.toml, line 2") && message.contains("camrea"), "{message}");
    let mut frames = 0;
    assert_unbroken(&peer, "door", "frames after the reload", |message| {
        frames += u32::from(is_frame_of("door")(message));
        frames > 10
    });
    bench.reload(&agent, &config(&[DOOR, YARD], &[&pair(&peer)]));
    peer.wait_for("a frame, once the file is valid", is_frame_of("yard"));
}

#[test]
fn changed_port_reopens_while_the_other_stays_open() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let (mut air, mut gas) = (Board::new(), Board::new());
    let ports = |fields: &str| {
        let serial = format!(
            r#"serial = [{{ name = "air", port = "{}", fields = {fields} }}, {{ name = "gas", port = "{}" }}]"#,
            air.path.display(),
            gas.path.display()
        );
        format!("{}{serial}\n", config(&[], &[&pair(&peer)]))
    };
    let (before, after) = (ports(r#"["soil"]"#), ports(r#"["leaf"]"#));
    let agent = bench.agent(&before);
    peer.wait_for("both ports open", |message| {
        let opened = |port: usize| message["ports"][port]["counts"]["opened"] == 1;
        opened(0) && opened(1)
    });
    air.write_line("a-1");
    gas.write_line("mq2-300");
    let quantities = |message: &Value| -> Vec<String> {
        let current = message["readings"].as_array().expect("a status has them").iter();
        current.map(|reading| reading["quantity"].as_str().expect("a name").to_owned()).collect()
    };
    let is_status = |message: &Value| message["type"] == "status";
    peer.wait_for("both readings", |message| is_status(message) && quantities(message) == ["soil", "mq2"]);
    bench.reload(&agent, &after);
    peer.wait_for("only the other port's reading", |message| is_status(message) && quantities(message) == ["mq2"]);
    peer.wait_for("the port open again", |message| message["ports"][0]["counts"]["opened"] == 1);
    air.write_line("a-2");
    let status = peer.wait_for("both", |message| is_status(message) && quantities(message) == ["leaf", "mq2"]);
    assert_eq!(status["ports"][1]["counts"]["opened"], 1, "the other port was reopened");
}

/// Announces that the peer acknowledge readings, waits for this one and acknowledge it; returns the message.
fn acknowledge(peer: &Peer, value: f64) -> Value {
    peer.send(&json!({ "type": "hello", "v": 1, "window": 1, "acks": true }));
    let message = peer.wait_for("the reading", |message| {
        message["type"] == "readings" && readings(message).any(|reading| reading["value"] == value)
    });
    for batch in message["batches"].as_array().expect("batches") {
        let first = batch["seq"].as_u64().expect("a number");
        let last = first + batch["values"].as_array().map_or(0, Vec::len) as u64 - 1;
        peer.send(&json!({ "type": "ack", "boot": message["boot"], "first": first, "seq": last }));
    }
    message
}

#[test]
fn returning_link_gets_all_readings_and_others_stay_up() {
    let (bench, one, two, mut board) = (Bench::new(), Peer::new(), Peer::new(), Board::new());
    let both = format!(r#"serial = [{{ port = "{}", fields = ["soil"] }}]"#, board.path.display());
    let first = format!("{}{both}\n", config(&[], &[&pair(&one)]));
    let both = format!("{}{both}\n", config(&[], &[&pair(&two), &pair(&one)]));
    let agent = bench.agent(&first);
    one.wait_for("an open port", |message| message["ports"][0]["counts"]["opened"] == 1);
    let mut measure = |value: f64| board.write_line(&format!("a-{value}"));
    measure(1.0);
    let boot = acknowledge(&one, 1.0)["boot"].clone();

    bench.reload(&agent, &both);
    two.wait_for("a status", |message| message["links"].as_array().is_some_and(|links| links.len() == 2));
    measure(2.0);
    acknowledge(&one, 2.0);
    acknowledge(&two, 2.0);
    bench.reload(&agent, &first);
    agent.wait_for_log(&format!("spool still keeps readings for {}, which is no longer configured", two.address), "");
    measure(3.0);
    acknowledge(&one, 3.0);
    let two = two.restart();
    bench.reload(&agent, &both);
    // Measured while the link was not configured.
    assert_eq!(acknowledge(&two, 3.0)["boot"], boot);
    measure(4.0);
    acknowledge(&two, 4.0);
    let status = one.wait_for("a status", |message| {
        message["type"] == "status" && message["links"][1]["counts"]["readings_sent"] == 4
    });
    assert_eq!(status["boot"], boot);
    assert_eq!(status["links"][1]["cause"], "connected");
}

#[test]
fn new_link_gets_frames_and_changed_link_reopens() {
    let (bench, peer, port) = (Bench::new(), Peer::new(), free_port());
    let agent = bench.agent(&config(&[DOOR], &[&pair(&peer)]));
    peer.wait_for("a frame", is_frame_of("door"));
    let bound = format!(r#"{{ pattern = "pub", bind = "tcp://127.0.0.1:{port}" }}"#);
    bench.reload(&agent, &config(&[DOOR, YARD], &[&pair(&peer), &bound]));
    for camera in ["door", "yard"] {
        let topic = format!("frame/shed/{camera}");
        subscriber(port, &[&topic]).recv_multipart(0).expect("a frame");
    }
    let json = bound.replace("pattern", "format = \"json\", pattern");
    bench.reload(&agent, &config(&[DOOR, YARD], &[&pair(&peer), &json]));
    eventually("a message in the other format", || {
        let parts = subscriber(port, &[""]).recv_multipart(0).expect("a message");
        (parts.len() == 1).then_some(())
    });
}

#[test]
fn changed_name_restarts_the_agent() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let before = config(&[DOOR], &[&pair(&peer)]);
    let agent = bench.agent(&before);
    let shed = peer.wait_for("a frame", is_frame_of("door"));
    bench.reload(&agent, &before.replace("shed", "barn"));
    let barn = peer
        .wait_for("a frame of the other name", |message| is_frame_of("door")(message) && message["agent"] == "barn");
    assert_ne!(shed["boot"], barn["boot"]);
}

#[test]
fn closing_the_terminal_stops_the_agent() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pseudo-terminal");
    grantpt(&terminal).expect("a pseudo-terminal");
    unlockpt(&terminal).expect("a pseudo-terminal");
    let path = ptsname_r(&terminal).expect("a pseudo-terminal's name");
    let screen = std::fs::File::options().read(true).write(true).open(path).expect("a terminal");
    let file = bench.path("agent.toml");
    std::fs::write(&file, config(&[DOOR], &[&pair(&peer)])).expect("a temporary file");
    // Runs as from a prompt, with its output redirected, even if the tests run with `nohup`.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", "setsid", "--ctty", env!("CARGO_BIN_EXE_watchpost"), "run", "--config"]);
    command.arg(&file).stdin(screen);
    let mut agent = Program::start_at(&mut command);
    drop(command);
    peer.wait_for("a frame", is_frame_of("door"));
    std::fs::write(&file, config(&[DOOR, YARD], &[&pair(&peer)])).expect("a temporary file");
    agent.signal(Signal::SIGHUP);
    peer.wait_for("a frame while the terminal is open", is_frame_of("yard"));
    drop(terminal);
    assert!(agent.wait().success(), "not the exit status of Ctrl-C");
}
