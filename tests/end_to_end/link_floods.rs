use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::harness::zmtp::{connect_from, part_head, peer};
use crate::harness::{Bench, Board, Program, Receiver, Shows, eventually, http};

/// The largest part that a link accepts is 8 MiB.
const PART_BYTES: usize = 7_900_000;

/// What the receiver must refuse most of: far more than it may hold when loopback is fast and its look is late.
const ATTACK_BYTES: usize = 2_500_000_000;
const MAX_MEMORY: u64 = 1_000_000_000;

const FLOODER: [u8; 4] = [127, 0, 0, 2];

/// The keys in a link table of each end, or nothing without CURVE.
struct Keys {
    receiver: String,
    /// By the agent's name, which its key must have.
    agents: BTreeMap<&'static str, String>,
}

impl Keys {
    fn new(bench: &Bench, encrypted: bool) -> Keys {
        if !encrypted {
            return Keys { receiver: String::new(), agents: BTreeMap::new() };
        }
        for name in ["shed", "barn"] {
            bench.allow(name);
        }
        Keys {
            receiver: bench.server("hub"),
            agents: ["shed", "barn"].map(|name| (name, format!(", {}", bench.client(name, "hub")))).into(),
        }
    }

    fn receiver(&self, bench: &Bench) -> Receiver {
        bench.receiver(&format!("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n{}", self.receiver))
    }

    /// An agent with a camera.
    fn agent(&self, bench: &Bench, name: &str, receiver: &Receiver) -> Program {
        bench.agent(&format!("name = \"{name}\"\n{}", self.link(name, receiver)))
    }

    fn link(&self, agent: &str, receiver: &Receiver) -> String {
        format!(
            "camera = [{{ name = \"door\", source = \"pattern\", size = \"320x240\" }}]\n\
             link = [{{ pattern = \"dealer\", connect = \"{}\"{} }}]",
            receiver.link,
            self.agents.get(agent).map_or("", String::as_str)
        )
    }
}

fn is_frame_of(agent: &str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "frame" && message["agent"] == agent
}

/// Waits for a good peer's next frame.
#[track_caller]
fn expect_frame(receiver: &Receiver, agent: &str) {
    receiver.program.clear_output();
    receiver.program.wait_for_json("a frame", is_frame_of(agent));
}

/// How often an agent logged the state of its link.
fn connects(agent: &Program) -> usize {
    agent.log().matches("link dealer-1").count()
}

/// Attacks a receiver, which must end the attack, keep its memory small and serve its good peer.
fn survives(keys: &Keys, bench: &Bench, attack: impl FnOnce(&Receiver), refusal: &str) {
    let receiver = keys.receiver(bench);
    let good = keys.agent(bench, "shed", &receiver);
    expect_frame(&receiver, "shed");
    let connects_before = connects(&good);
    attack(&receiver);
    receiver.program.wait_for_log(refusal, "");
    expect_frame(&receiver, "shed");
    assert_eq!(connects(&good), connects_before, "the good peer lost its connection");
    let peak = receiver.program.peak_memory();
    assert!(peak < MAX_MEMORY, "{} MB", peak / 1_000_000);
}

#[test]
fn endless_message_is_cut_off() {
    let large = [&part_head(PART_BYTES)[..], &vec![7; PART_BYTES]].concat();
    // Three bytes each, for which the receiver needs 64.
    let tiny = [1, 1, 7].repeat(100_000);
    for (parts, held) in [(&large, large.len()), (&tiny, tiny.len() / 3 * 64)] {
        let most_writes = ATTACK_BYTES / held;
        let bench = Bench::new();
        let plain = Keys::new(&bench, false);
        let attack = |receiver: &Receiver| {
            let mut endless = peer(FLOODER, &receiver.link, "DEALER");
            let ended = (0..most_writes).any(|_| endless.write_all(parts).is_err());
            assert!(ended, "the receiver took {} MB of one message", most_writes * parts.len() / 1_000_000);
        };
        survives(&plain, &bench, attack, "refused a peer at 127.0.0.2: it sent a message larger than 9 MiB");
    }
}

#[test]
fn endless_message_of_a_permitted_peer_is_cut_off() {
    let bench = Bench::new();
    let encrypted = Keys::new(&bench, true);
    bench.allow("rogue");
    let attack = |receiver: &Receiver| {
        let rogue = bench.raw(zmq::DEALER, &receiver.link, &Shows::Key("rogue", "hub"));
        let part = vec![7; PART_BYTES];
        for _ in 0..40 {
            rogue.send(&part, zmq::SNDMORE).expect("a part");
        }
        rogue.send("the end", 0).expect("a part");
        receiver.program.wait_for_log("it sent a message larger than 9 MiB", "");
    };
    survives(&encrypted, &bench, attack, "refused a peer at 127.0.0.1: it sent a message larger than 9 MiB");
}

#[test]
fn unfinished_messages_of_many_connections_are_cut_off() {
    for encrypted in [false, true] {
        let bench = Bench::new();
        let keys = Keys::new(&bench, encrypted);
        let attack = |receiver: &Receiver| {
            let mut head = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE".to_vec();
            head.resize(64, 0);
            // A command may be as long as a part, so nobody needs a key for this.
            head.extend([6]);
            head.extend((PART_BYTES as u64).to_be_bytes());
            let part = vec![7; PART_BYTES - 1];
            let mut peers = Vec::new();
            for _ in 0..ATTACK_BYTES / PART_BYTES {
                let mut peer = if encrypted {
                    let mut peer = connect_from(FLOODER, &receiver.link).expect("a connection");
                    peer.write_all(&head).expect("a head");
                    peer
                } else {
                    let mut peer = peer(FLOODER, &receiver.link, "DEALER");
                    peer.write_all(&part_head(PART_BYTES)).expect("a head");
                    peer
                };
                // The receiver may close it early.
                let _ = peer.write_all(&part);
                peers.push(peer);
            }
        };
        survives(&keys, &bench, attack, "refused a peer at 127.0.0.2: unfinished messages occupy more than 64 MiB");
    }
}

/// Silent connections, opened one after the other until dropped; the newest 5,000 stay open.
fn flood(link: &str, opened: &AtomicUsize, stop: &AtomicBool) {
    let mut connections = VecDeque::<TcpStream>::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(connection) = connect_from(FLOODER, link) {
            connections.push_back(connection);
            opened.fetch_add(1, Ordering::Relaxed);
        }
        if connections.len() > 5_000 {
            connections.pop_front();
        }
    }
}

#[test]
fn flood_of_connections_leaves_room_for_good_peers() {
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, max.min(8_192), max).expect("a limit");
    for encrypted in [false, true] {
        let bench = Bench::new();
        let keys = Keys::new(&bench, encrypted);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_watchpost")]);
        let link = format!("[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n{}", keys.receiver);
        let receiver = bench.receiver_by(command, &format!("{link}\n[web]\nlisten = \"127.0.0.1:0\"\n"));
        let board = Board::new();
        let port = format!("serial = [{{ name = \"climate\", port = \"{}\" }}]\n", board.path.display());
        let good = bench.agent(&format!("name = \"shed\"\n{port}{}", keys.link("shed", &receiver)));
        good.wait_for_log("climate", "open at");
        let _talker = board.repeats("\nt-5\n", Duration::from_millis(100));
        expect_frame(&receiver, "shed");
        let (connects_before, before) = (connects(&good), receiver.program.descriptors());
        let (opened, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        scope(|scope| {
            let _stop = StopWhenDropped(&stop);
            scope.spawn(|| flood(&receiver.link, &opened, &stop));
            eventually("5,000 connections", || (opened.load(Ordering::Relaxed) > 5_000).then_some(()));
            expect_frame(&receiver, "shed");
            let is_reading = |message: &Value| message["type"] == "readings" && message["agent"] == "shed";
            receiver.program.wait_for_json("readings", is_reading);
            assert_eq!(http::get(&receiver.page, "/api/wall").status, 200);
            let newcomer = keys.agent(&bench, "barn", &receiver);
            receiver.program.wait_for_json("a frame of the newcomer", is_frame_of("barn"));
            drop(newcomer);
            let descriptors = receiver.program.descriptors();
            assert!(descriptors < 900, "{descriptors} descriptors");
        });
        receiver.program.wait_for_log(
            "refused a connection from 127.0.0.2: 512 connections are open, and that address has the most",
            "",
        );
        eventually("as many descriptors as before", || (receiver.program.descriptors() <= before + 2).then_some(()));
        assert_eq!(connects(&good), connects_before, "the good peer lost its connection");
    }
}

/// Ends a thread even if the test fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
