//! A peer of the same link that sends the largest frames as fast as a gigabit network carries them.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::film::film_of;
use crate::harness::{Bench, Program, now_us};
use crate::{RATE, print_row};

/// Bytes of a large picture: with its header, nearly the largest message.
const LARGE: usize = 7_900_000;

/// What a gigabit network carries.
const BYTES_PER_SECOND: usize = 118_000_000;

/// The receiver's limit, which the flood reaches.
const MEMORY: &str = "200 MB";

pub fn run(time: Duration) {
    let bench = Bench::new();
    let (_, jpegs) = film_of(&bench, "film", 30, (640, 480));
    let config = bench.write(
        "receiver.toml",
        &format!(
            "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\noff = true\n\
             [limits]\nmemory = \"{MEMORY}\"\n"
        ),
    );
    let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let receiver = Program::start(watchpost.arg("receive").arg("--config").arg(config));
    let link = format!("tcp://{}", receiver.wait_for_log("link tcp://", ": open"));
    let mut good = Peer::new(&link, "good");
    let alone = good.times(&jpegs, time);
    let is_over = AtomicBool::new(false);
    let beside = scope(|scope| {
        scope.spawn(|| flood(&link, &jpegs[0], &is_over));
        receiver.wait_for_log("agent flood: no memory for all of its frames", "");
        let beside = good.times(&jpegs, time);
        is_over.store(true, Ordering::Relaxed);
        beside
    });
    let mut sorted = alone.clone();
    sorted.sort_by(f64::total_cmp);
    let goal = 2.0 * sorted[(sorted.len() - 1) * 99 / 100];
    println!("\nThe same camera sent by a program: time until its frame is confirmed; peak memory of the receiver");
    print_row("alone", &alone, [f64::MAX; 2]);
    print_row("beside a flood of large frames", &beside, [f64::MAX, goal]);
    println!("peak {} MB, of which {MEMORY} are for pictures and queues", receiver.peak_memory() / 1_000_000);
}

/// Sends large frames of many cameras at the network's rate.
fn flood(link: &str, jpeg: &[u8], is_over: &AtomicBool) {
    let large = [jpeg, &vec![0; LARGE - jpeg.len()]].concat();
    let mut peer = Peer::new(link, "flood");
    let (start, mut sent) = (Instant::now(), 0);
    while !is_over.load(Ordering::Relaxed) {
        peer.send(&format!("camera{}", peer.seq % 60), &large);
        while peer.socket.recv_bytes(zmq::DONTWAIT).is_ok() {}
        sent += LARGE;
        sleep(Duration::from_secs_f64(sent as f64 / BYTES_PER_SECOND as f64).saturating_sub(start.elapsed()));
    }
}

struct Peer {
    socket: zmq::Socket,
    agent: &'static str,
    seq: u64,
}

impl Peer {
    fn new(link: &str, agent: &'static str) -> Peer {
        let socket = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
        socket.set_sndhwm(4).expect("an option");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        Peer { socket, agent, seq: 0 }
    }

    fn send(&mut self, camera: &str, jpeg: &[u8]) {
        self.seq += 1;
        let header = json!({
            "type": "frame", "v": 1, "agent": self.agent, "camera": camera, "boot": "b1", "seq": self.seq,
            "captured_at_us": now_us(), "age_us": 0, "width": 640, "height": 480, "readings": [],
        });
        let topic = format!("frame/{}/{camera}", self.agent);
        let header = header.to_string();
        self.socket.send_multipart([topic.as_bytes(), header.as_bytes(), jpeg], 0).expect("the message is sent");
    }

    /// Sends a camera's frames; returns how long each took until the receiver confirmed it, in milliseconds.
    fn times(&mut self, jpegs: &[Vec<u8>], time: Duration) -> Vec<f64> {
        let start = Instant::now();
        let mut times = Vec::new();
        for number in 0..time.as_secs() as u32 * RATE {
            sleep((Duration::from_secs(1) * number / RATE).saturating_sub(start.elapsed()));
            let sent = Instant::now();
            self.send("door", &jpegs[number as usize % jpegs.len()]);
            self.wait_until_seen();
            times.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        times
    }

    fn wait_until_seen(&self) {
        loop {
            let control = self.socket.recv_bytes(0).expect("a reply");
            let control: Value = serde_json::from_slice(&control).expect("JSON");
            if control["type"] == "seen" && control["seq"] == self.seq {
                return;
            }
        }
    }
}
