use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// A bench with keys "hub" and "pi", of which the latter may come.
pub fn bench() -> Bench {
    let bench = Bench::new();
    bench.allow("pi");
    bench
}

/// A receiver that binds, encrypted.
pub fn receiver_of(bench: &Bench, pattern: &str) -> crate::harness::Receiver {
    bench.receiver(&format!("pattern = \"{pattern}\"\nbind = \"tcp://127.0.0.1:*\"\n{}", bench.server("hub")))
}

#[test]
fn frames_arrive_on_every_pattern_whichever_end_binds() {
    for (outward, inward) in [("pair", "pair"), ("pub", "sub")] {
        let bench = bench();
        let receiver = receiver_of(&bench, inward);
        let keys = bench.client("pi", "hub");
        let _agent = agent(&bench, &format!("pattern = \"{outward}\", connect = \"{}\", {keys}", receiver.link));
        receiver.program.says_json("a frame", is_frame);
        receiver.program.says_json("a status that says so", |message| {
            message["links"][0]["source"].as_str().is_some_and(|source| source.ends_with(", encrypted"))
        });

        let keys = bench.server("hub");
        let agent = agent(&bench, &format!("pattern = \"{outward}\", bind = \"tcp://127.0.0.1:*\", {keys}"));
        let (address, keys) = (agent.logs("bound at ", ""), bench.client("pi", "hub"));
        let receiver = bench.receiver(&format!("pattern = \"{inward}\"\nconnect = \"{address}\"\n{keys}"));
        receiver.program.says_json("a frame", is_frame);
    }
}

/// The next `count` messages of a socket.
fn receive(socket: &zmq::Socket, count: usize) {
    for _ in 0..count {
        socket.recv_multipart(0).expect("a message");
    }
}

#[test]
fn strangers_hear_nothing_and_the_good_peer_everything() {
    let bench = bench();
    let agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub")));
    let address = agent.logs("bound at ", "");
    let good = bench.raw(zmq::SUB, &address, &Shows::Key("pi", "hub"));
    receive(&good, 1);
    for shows in [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")] {
        let stranger = bench.raw(zmq::SUB, &address, &shows);
        receive(&good, 50);
        assert_eq!(stranger.recv_multipart(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
    }
    agent.logs("refused a peer at 127.0.0.1: its key ", "");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 4096], b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE"]
    {
        let mut stranger = TcpStream::connect(address.trim_start_matches("tcp://")).expect("a connection");
        // It may be cut off before it has said all.
        let _ = stranger.write_all(garbage);
        receive(&good, 20);
    }
    assert!(agent.log().lines().filter(|line| line.contains("refused")).count() <= 5, "{}", agent.log());
}

#[test]
fn strangers_say_nothing_and_keep_no_place() {
    for (outward, inward) in [(zmq::PUB, "sub"), (zmq::PAIR, "pair")] {
        let bench = bench();
        let receiver = receiver_of(&bench, inward);
        let shown = [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")];
        let strangers = shown.map(|shows| bench.raw(outward, &receiver.link, &shows));
        receiver.program.logs("is not among the ", "");
        let pattern = if inward == "sub" { "pub" } else { "pair" };
        let keys = bench.client("pi", "hub");
        let _agent = agent(&bench, &format!("pattern = \"{pattern}\", connect = \"{}\", {keys}", receiver.link));
        for _ in 0..5 {
            for stranger in &strangers {
                let _ = stranger.send("not from an agent", zmq::DONTWAIT);
            }
            receiver.program.forget();
            receiver.program.says_json("a frame", is_frame);
        }
        assert!(!receiver.program.log().contains("malformed"), "{}", receiver.program.log());
    }
}

#[test]
fn a_key_that_is_added_lets_its_peers_in_and_one_that_is_removed_does_not() {
    let bench = bench();
    let receiver = receiver_of(&bench, "sub");
    let link = format!("pattern = \"pub\", connect = \"{}\", {}", receiver.link, bench.client("late", "hub"));
    let late = agent(&bench, &link);
    let key = receiver.program.logs("refused a peer at 127.0.0.1: its key ", " is not among the 1 key in ");
    assert!(fs::read_to_string(bench.key("late", "key")).expect("a file").contains(&key), "{key}");
    let cause = late.logs("the other end aborts the handshake: this end's key ", " is not its key");
    let hub = fs::read_to_string(bench.key("hub", "key")).expect("a file");
    let hub = &hub.split('"').nth(1).expect("a key")[..8];
    assert_eq!(cause, format!("{}… is not in its allowed_keys_dir, `server_key` {hub}…", &key[..8]));
    bench.allow("late");
    let before = receiver.program.says_json("a frame", is_frame);
    drop(late);

    fs::remove_file(bench.path("allowed").join("late.key")).expect("a file");
    receiver.program.forget();
    let late = agent(&bench, &link);
    late.logs("the other end aborts the handshake", "");
    let is_new = |message: &Value| message["boot"] != before["boot"];
    assert_eq!(receiver.program.said_json(is_new), None);
}

/// What libzmq calls a failure for ever would be one for a program that is not ours.
#[test]
fn a_program_that_was_refused_is_let_in_when_its_key_is_added() {
    let bench = bench();
    fs::write(bench.path("allowed/late.key"), "public-key = \"cut").expect("a temporary file");
    let agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub")));
    let subscriber = bench.raw(zmq::SUB, &agent.logs("bound at ", ""), &Shows::Key("late", "hub"));
    agent.logs("is not among the 1 key in ", "allowed/late.key: the public-key is not the 40 characters of a key");
    bench.allow("late");
    receive(&subscriber, 3);
}

#[test]
fn two_ends_of_which_one_is_not_encrypted_say_so_and_meet_when_it_is_mended() {
    let bench = bench();
    let port = free_port();
    let link = format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"\n");
    let plain = bench.receiver(&link);
    let keys = bench.client("pi", "hub");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:{port}\", {keys}"));
    agent.logs("the other end aborts the handshake", "it has no curve table, or it does not speak ZeroMQ");
    plain.program.logs("or uses CURVE, for which this link needs a curve table", "");
    drop(plain);
    let mended = bench.receiver(&format!("{link}{}", bench.server("hub")));
    mended.program.says_json("a frame", is_frame);
    assert!(!mended.program.log().contains("refused"), "{}", mended.program.log());
}

#[test]
fn an_end_that_expects_another_key_is_named_as_one_of_those() {
    let bench = bench();
    let receiver = receiver_of(&bench, "pair");
    let keys = bench.client("pi", "other");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\", {keys}", receiver.link));
    agent.logs("the other end aborts the handshake", "");
    receiver.program.logs("refused a peer whose `server_key` is not this end's key", "");
    assert!(!receiver.program.log().contains("its key "), "{}", receiver.program.log());
}

#[test]
fn a_thousand_connections_that_say_nothing_disturb_nobody_and_are_closed() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(4096), most).expect("a limit");
    let bench = bench();
    let link = format!("[[link]]\npattern = \"sub\"\nbind = \"tcp://127.0.0.1:*\"\n{}", bench.server("hub"));
    let config = bench.path("receiver.toml");
    fs::write(&config, format!("{link}\n[web]\nlisten = \"127.0.0.1:0\"\n")).expect("a temporary file");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 256; exec \"$0\" receive --json --config \"$1\"", env!("CARGO_BIN_EXE_watchpost")]);
    let receiver = Program::start(command.arg(config));
    let address = receiver.logs("link tcp://", ": open");
    let link = format!("pattern = \"pub\", connect = \"tcp://{address}\", {}", bench.client("pi", "hub"));
    let first = agent(&bench, &link);
    let boot = receiver.says_json("a frame", is_frame)["boot"].clone();
    let before = receiver.descriptors();
    let greeting = [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE"[..], &[0; 47]].concat();
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut socket = TcpStream::connect(&address).expect("a connection");
            socket.write_all(&greeting[..number % 2 * greeting.len()]).expect("room for a few bytes");
            socket
        })
        .collect();
    eventually("all are there", || (receiver.descriptors() > before + 900).then_some(()));
    receiver.forget();
    receiver.says_json("a frame meanwhile", is_frame);
    drop(first);
    let _second = agent(&bench, &link);
    receiver.says_json("a frame of who came meanwhile", |message| is_frame(message) && message["boot"] != boot);
    eventually("all are closed", || (receiver.descriptors() <= before + 2).then_some(()));
    // Libzmq's own patience is half a minute.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn what_leaves_the_machine_unencrypted_is_marked() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        "{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}, \
         {{ pattern = \"pub\", bind = \"tcp://*:*\", plaintext = true }}]",
        receiver.link
    ));
    let status = receiver.program.says_json("a status", |message| message["type"] == "status");
    assert_eq!(status["links"][0]["source"], receiver.link);
    assert_eq!(status["links"][1]["source"], "tcp://*:*, not encrypted");
}
