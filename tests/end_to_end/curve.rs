use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::harness::{Bench, Program, Shows, eventually, free_port};

const CAMERA: &str = "name = \"shed\"\ncamera = [{ name = \"door\", source = \"pattern\", size = \"320x240\" }]\n";

pub fn is_frame(message: &Value) -> bool {
    message["type"] == "frame" && message["agent"] == "shed"
}

pub fn agent(bench: &Bench, link: &str) -> Program {
    bench.agent(&format!("{CAMERA}link = [{{ {link} }}]"))
}

/// A bench with the keys `hub` and `pi`; `pi` is allowed to connect.
pub fn bench() -> Bench {
    let bench = Bench::new();
    bench.allow("pi");
    bench
}

/// The curve table of a receiver that binds and permits the keys `pi` and `late` to send as `shed`.
fn server(bench: &Bench) -> String {
    bench.server("hub").replace(" }", ", agents = { pi = [\"shed\"], late = [\"shed\"] } }")
}

/// Starts a receiver with an encrypted, bound link.
pub fn receiver_of(bench: &Bench, pattern: &str) -> crate::harness::Receiver {
    bench.receiver(&format!("pattern = \"{pattern}\"\nbind = \"tcp://127.0.0.1:*\"\n{}", server(bench)))
}

#[test]
fn encrypted_frames_arrive_whichever_end_binds() {
    for (agent_pattern, receiver_pattern) in [("pair", "pair"), ("pub", "sub")] {
        let bench = bench();
        let receiver = receiver_of(&bench, receiver_pattern);
        let keys = bench.client("pi", "hub");
        let _agent = agent(&bench, &format!("pattern = \"{agent_pattern}\", connect = \"{}\", {keys}", receiver.link));
        receiver.program.wait_for_json("a frame", is_frame);
        receiver.program.wait_for_json("a status that shows encryption", |message| {
            message["links"][0]["source"].as_str().is_some_and(|source| source.ends_with(", encrypted"))
        });

        let keys = bench.server("hub");
        let agent = agent(&bench, &format!("pattern = \"{agent_pattern}\", bind = \"tcp://127.0.0.1:*\", {keys}"));
        let (address, keys) =
            (agent.wait_for_log("bound to ", ""), Bench::permitting(&bench.client("pi", "hub"), "hub", "shed"));
        let receiver = bench.receiver(&format!("pattern = \"{receiver_pattern}\"\nconnect = \"{address}\"\n{keys}"));
        receiver.program.wait_for_json("a frame", is_frame);
    }
}

#[test]
fn receiver_that_connects_checks_the_agents_name() {
    let bench = bench();
    let agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub")));
    let (address, keys) = (agent.wait_for_log("bound to ", ""), bench.client("pi", "hub"));
    let receiver = bench.receiver(&format!("pattern = \"sub\"\nconnect = \"{address}\"\n{keys}"));
    receiver.program.wait_for_log("refused 127.0.0.1 (key hub) as agent shed: its key permits the name hub; ", "");
    assert_eq!(receiver.program.out(), "");
}

/// Receives `count` messages.
fn receive(socket: &zmq::Socket, count: usize) {
    for _ in 0..count {
        socket.recv_multipart(0).expect("a message");
    }
}

#[test]
fn strangers_receive_nothing_and_disturb_no_allowed_peer() {
    let bench = bench();
    let agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub")));
    let address = agent.wait_for_log("bound to ", "");
    let allowed = bench.raw(zmq::SUB, &address, &Shows::Key("pi", "hub"));
    receive(&allowed, 1);
    for shows in [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")] {
        let stranger = bench.raw(zmq::SUB, &address, &shows);
        receive(&allowed, 50);
        assert_eq!(stranger.recv_multipart(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
    }
    agent.wait_for_log("refused a peer at 127.0.0.1: its key ", "");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 4096], b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE"]
    {
        let mut stranger = TcpStream::connect(address.trim_start_matches("tcp://")).expect("a connection");
        // The agent may close the connection early.
        let _ = stranger.write_all(garbage);
        receive(&allowed, 20);
    }
    assert!(agent.log().lines().filter(|line| line.contains("refused")).count() <= 5, "{}", agent.log());
}

#[test]
fn strangers_cannot_send_or_block_an_allowed_agent() {
    for (outward, inward) in [(zmq::PUB, "sub"), (zmq::PAIR, "pair")] {
        let bench = bench();
        let receiver = receiver_of(&bench, inward);
        let shown = [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")];
        let strangers = shown.map(|shows| bench.raw(outward, &receiver.link, &shows));
        receiver.program.wait_for_log("is not among the ", "");
        let pattern = if inward == "sub" { "pub" } else { "pair" };
        let keys = bench.client("pi", "hub");
        let _agent = agent(&bench, &format!("pattern = \"{pattern}\", connect = \"{}\", {keys}", receiver.link));
        for _ in 0..5 {
            for stranger in &strangers {
                let _ = stranger.send("not from an agent", zmq::DONTWAIT);
            }
            receiver.program.clear_output();
            receiver.program.wait_for_json("a frame", is_frame);
        }
        assert!(!receiver.program.log().contains("malformed"), "{}", receiver.program.log());
    }
}

#[test]
fn peers_are_admitted_by_added_keys_and_refused_after_removal() {
    let bench = bench();
    let receiver = receiver_of(&bench, "sub");
    let link = format!("pattern = \"pub\", connect = \"{}\", {}", receiver.link, bench.client("late", "hub"));
    let late = agent(&bench, &link);
    let key = receiver.program.wait_for_log("refused a peer at 127.0.0.1: its key ", " is not among the 1 key in ");
    assert!(fs::read_to_string(bench.key("late", "key")).expect("a file").contains(&key), "{key}");
    let cause = late.wait_for_log("the other end aborts the handshake: this end's key ", " is not its key");
    let hub = fs::read_to_string(bench.key("hub", "key")).expect("a file");
    let hub = &hub.split('"').nth(1).expect("a key")[..8];
    assert_eq!(cause, format!("{}… is not in its allowed_keys_dir, `server_key` {hub}…", &key[..8]));
    bench.allow("late");
    let before = receiver.program.wait_for_json("a frame", is_frame);
    drop(late);

    fs::remove_file(bench.path("allowed").join("late.key")).expect("a file");
    receiver.program.clear_output();
    let late = agent(&bench, &link);
    late.wait_for_log("the other end aborts the handshake", "");
    let is_new = |message: &Value| message["boot"] != before["boot"];
    assert_eq!(receiver.program.find_json(is_new), None);
}

/// A libzmq peer never retries after some handshake failures, so a refusal must not cause one of them.
#[test]
fn refused_peer_connects_once_its_key_is_added() {
    let bench = bench();
    fs::write(bench.path("allowed/late.key"), "public-key = \"cut").expect("a temporary file");
    let agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub")));
    let subscriber = bench.raw(zmq::SUB, &agent.wait_for_log("bound to ", ""), &Shows::Key("late", "hub"));
    agent.wait_for_log(
        "is not among the 1 key in ",
        "allowed/late.key: the public-key is not the 40 characters of a key",
    );
    bench.allow("late");
    receive(&subscriber, 3);
}

#[test]
fn mixed_encryption_is_reported_and_connects_once_fixed() {
    let bench = bench();
    let port = free_port();
    let link = format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"\n");
    let plain = bench.receiver(&link);
    let keys = bench.client("pi", "hub");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:{port}\", {keys}"));
    agent.wait_for_log("the other end aborts the handshake", "it has no curve table, or it does not speak ZeroMQ");
    plain.program.wait_for_log("or uses CURVE, for which this link needs a curve table", "");
    drop(plain);
    let fixed = bench.receiver(&format!("{link}{}", server(&bench)));
    fixed.program.wait_for_json("a frame", is_frame);
    assert!(!fixed.program.log().contains("refused"), "{}", fixed.program.log());
}

#[test]
fn peer_with_wrong_server_key_is_reported() {
    let bench = bench();
    let receiver = receiver_of(&bench, "pair");
    let keys = bench.client("pi", "other");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\", {keys}", receiver.link));
    agent.wait_for_log("the other end aborts the handshake", "");
    receiver.program.wait_for_log("refused a peer whose `server_key` is not this end's key", "");
    assert!(!receiver.program.log().contains("its key "), "{}", receiver.program.log());
}

#[test]
fn thousand_silent_connections_are_closed_and_harm_nobody() {
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, max.min(4096), max).expect("a limit");
    let bench = bench();
    let link = format!("[[link]]\npattern = \"sub\"\nbind = \"tcp://127.0.0.1:*\"\n{}", server(&bench));
    let config = bench.path("receiver.toml");
    fs::write(&config, format!("{link}\n[web]\nlisten = \"127.0.0.1:0\"\n")).expect("a temporary file");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 256; exec \"$0\" receive --json --config \"$1\"", env!("CARGO_BIN_EXE_watchpost")]);
    let receiver = Program::start(command.arg(config));
    let address = receiver.wait_for_log("link tcp://", ": open");
    let link = format!("pattern = \"pub\", connect = \"tcp://{address}\", {}", bench.client("pi", "hub"));
    let first = agent(&bench, &link);
    let boot = receiver.wait_for_json("a frame", is_frame)["boot"].clone();
    let before = receiver.descriptors();
    let greeting = [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE"[..], &[0; 47]].concat();
    let mut stopwatch = receiver.stopwatch();
    let silent: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut socket = TcpStream::connect(&address).expect("a connection");
            socket.write_all(&greeting[..number % 2 * greeting.len()]).expect("a write of a few bytes");
            socket
        })
        .collect();
    eventually("the silent connections", || (receiver.descriptors() > before + 900).then_some(()));
    receiver.clear_output();
    receiver.wait_for_json("a frame during the flood", is_frame);
    drop(first);
    let _second = agent(&bench, &link);
    receiver.wait_for_json("a frame of the second agent", |message| is_frame(message) && message["boot"] != boot);
    eventually("the silent connections are closed", || (receiver.descriptors() <= before + 2).then_some(()));
    // libzmq's own handshake timeout is 30 s.
    let took = stopwatch.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    drop(silent);
}

#[test]
fn unencrypted_remote_links_are_marked_in_status() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        "{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}, \
         {{ pattern = \"pub\", bind = \"tcp://*:*\", plaintext = true }}]",
        receiver.link
    ));
    let status = receiver.program.wait_for_json("a status", |message| message["type"] == "status");
    assert_eq!(status["links"][0]["source"], receiver.link);
    assert_eq!(status["links"][1]["source"], "tcp://*:*, not encrypted");
}
