use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use watchpost::name::Name;

use crate::harness::http::get;
use crate::harness::recordings::{files, frames_of, jpegs, recording, recording_by};
use crate::harness::{Bench, PATIENCE, Receiver, Sender, eventually, now_us, saved};

/// The headers of a picture of 1x1. The receiver reads no more.
const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 1, 0xff, 0xd9];

/// Bytes of a large picture: with its header, nearly the largest message.
const LARGE: usize = 7_900_000;

/// The bound of the receiver's memory in these tests.
const LIMIT: u64 = 200_000_000;

/// What the receiver uses beyond that: the program, and the messages in ZeroMQ's queues.
const BESIDE: u64 = 150_000_000;

/// An agent of the tests, on a connection of its own.
struct Peer {
    socket: zmq::Socket,
    agent: String,
    seq: u64,
}

impl Peer {
    fn new(link: &str, agent: &str) -> Peer {
        let socket = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_sndhwm(4).expect("an option");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        Peer { socket, agent: agent.to_owned(), seq: 0 }
    }

    /// Sends a frame of a camera that was captured now.
    fn send(&mut self, camera: &str, jpeg: &[u8]) {
        self.seq += 1;
        let header = json!({
            "type": "frame", "v": 1, "agent": self.agent, "camera": camera, "boot": "b1", "seq": self.seq,
            "captured_at_us": now_us(), "age_us": 0, "width": 1, "height": 1, "readings": [],
        });
        let parts = [format!("frame/{}/{camera}", self.agent).into_bytes(), header.to_string().into_bytes()];
        let parts = parts.into_iter().chain([jpeg.to_vec()]);
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    fn send_status(&self, agent: &str, ports: &[Value], readings: &Value) {
        let header = json!({
            "type": "status", "v": 1, "agent": agent, "boot": "b1", "cameras": [], "ports": ports, "links": [],
            "readings": readings,
        });
        let message = [format!("status/{agent}").into_bytes(), header.to_string().into_bytes()];
        self.socket.send_multipart(message, 0).expect("the message is sent");
    }

    /// Waits until the receiver has confirmed the last frame.
    #[track_caller]
    fn wait_until_seen(&self) {
        eventually("the frame is seen", || {
            let control: Value = serde_json::from_slice(&self.socket.recv_bytes(0).expect("a reply")).expect("JSON");
            (control["type"] == "seen" && control["seq"] == self.seq).then_some(())
        });
    }

    /// Discards the replies so far.
    fn discard_replies(&self) {
        while self.socket.recv_bytes(zmq::DONTWAIT).is_ok() {}
    }
}

/// Stops a flood when dropped, also if the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A part of a status that is down for this reason.
fn part(name: &str, cause: &str) -> Value {
    json!({ "name": name, "source": "", "up": false, "cause": cause, "for_ms": 1, "counts": {} })
}

/// Starts a receiver with a router link, and these tables.
fn receiver(bench: &Bench, tables: &str) -> Receiver {
    let link = "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    bench.receiver_of(&format!("{link}[history]\noff = true\n{tables}"))
}

/// The cameras of an agent on the wall.
fn cameras(receiver: &Receiver, agent: &str) -> Vec<Value> {
    let wall = get(&receiver.page, "/api/wall").json();
    let agents = wall["agents"].as_array().cloned().unwrap_or_default();
    let agent = agents.into_iter().find(|one| one["name"] == agent).unwrap_or_default();
    agent["cameras"].as_array().cloned().unwrap_or_default()
}

fn agents(receiver: &Receiver) -> usize {
    get(&receiver.page, "/api/wall").json()["agents"].as_array().map_or(0, Vec::len)
}

/// The time from sending a frame until the receiver has confirmed it: the 99th percentile at 25 frames a second.
fn p99(peer: &mut Peer) -> Duration {
    let start = Instant::now();
    let mut times: Vec<Duration> = (0..150)
        .map(|number| {
            sleep((Duration::from_millis(40) * number).saturating_sub(start.elapsed()));
            let sent = Instant::now();
            peer.send("door", JPEG);
            peer.wait_until_seen();
            sent.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn large_frames_stay_within_the_memory_limit() {
    let bench = Bench::in_memory();
    let dir = bench.path("recordings").display().to_string();
    let recorded = "[\"door\", \"camera0\", \"camera1\", \"camera2\", \"camera3\"]";
    let record = format!("[record]\ndir = \"{dir}\"\nmax_size = \"50 MB\"\nfps = 1\ncameras = {recorded}\n");
    let receiver = receiver(&bench, &format!("[limits]\nmemory = \"{} MB\"\n{record}", LIMIT / 1_000_000));
    let mut good = Peer::new(&receiver.link, "good");
    let alone = p99(&mut good);
    let large = [JPEG, &vec![0; LARGE - JPEG.len()]].concat();
    let (mut flood, stop) = (Peer::new(&receiver.link, "flood"), AtomicBool::new(false));
    let beside = thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            // Each name twice, so that frames are replaced, too.
            while flood.seq < 2 * 69 || !stop.load(Ordering::Relaxed) {
                flood.send(&format!("camera{}", flood.seq % 69), &large);
                flood.discard_replies();
            }
            flood.wait_until_seen();
        });
        let running = Stop(&stop);
        receiver.program.wait_for_log("agent flood: no memory for all of its frames", "");
        let beside = p99(&mut good);
        drop(running);
        flooding.join().expect("the receiver confirms each frame");
        beside
    });
    let peak = receiver.program.peak_memory();
    println!("peak {} MB, p99 {alone:?} alone and {beside:?} beside the flood", peak / 1_000_000);
    assert!(peak < LIMIT + BESIDE, "{} MB", peak / 1_000_000);
    // Generous, because several copies of this test may share two cores and copy gigabytes a second.
    assert!(beside < 2 * alone + Duration::from_secs(1), "{beside:?} instead of {alone:?}");
    let is_up = |camera: &&Value| camera["up"] == true;
    assert_eq!(cameras(&receiver, "good").iter().filter(is_up).count(), 1);
    let flooded = cameras(&receiver, "flood");
    let up = flooded.iter().filter(is_up).count();
    assert!((10..LIMIT as usize / LARGE).contains(&up), "{up}");
    assert!(
        flooded
            .iter()
            .all(|one| one["up"] == true || one["cause"].as_str().is_some_and(|cause| cause.contains("memory limit")))
    );
    assert!(!receiver.program.log().contains("agent good: "), "{}", receiver.program.log());
    let removed = flooded.iter().find(|camera| camera["up"] == false).expect("a camera without a picture");
    let path = format!("/api/cameras/flood/{}/frame.jpg", removed["name"].as_str().expect("a name"));
    assert_eq!(get(&receiver.page, &path).status, 404);
}

#[test]
fn many_cameras_leave_files_for_one_that_comes_later() {
    let bench = Bench::in_memory();
    let config = format!("[record]\ndir = \"{}\"\n", bench.path("recordings").display());
    let link = "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    // The receiver keeps a quarter of these for recordings.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_watchpost")]);
    let mut receiver = bench.receiver_by(shell, &format!("{link}[history]\noff = true\n{config}"));
    let mut floods: Vec<_> = (0..5).map(|number| Peer::new(&receiver.link, &format!("flood{number}"))).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let cameras = (0..64).map(|number| format!("camera{number}"));
                cameras.for_each(|camera| floods.iter_mut().for_each(|flood| flood.send(&camera, JPEG)));
                floods.iter().for_each(Peer::discard_replies);
                sleep(Duration::from_millis(300));
            }
        });
        let running = Stop(&stop);
        eventually("the receiver runs out of files", || {
            receiver.program.log().contains("frames not recorded: too many cameras").then_some(())
        });
        let mut good = Peer::new(&receiver.link, "shed");
        for _ in 0..200 {
            good.send("door", JPEG);
            good.wait_until_seen();
        }
        drop(running);
        flooding.join().expect("the flood ends");
    });
    receiver.program.terminate();
    assert_eq!(frames_of(&bench, "door"), 200, "{}", receiver.program.log());
}

#[test]
fn impossible_capture_time_dates_no_recording() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let cameras = [("door", i64::MIN, 0), ("yard", i64::MAX, 0), ("gate", 0, i64::MAX)];
    let start = now_us();
    for (camera, captured_at_us, age_us) in cameras {
        (sender.camera, sender.seq) = (camera, 0);
        (0..10).for_each(|_| sender.send_as(&jpegs[0], captured_at_us, age_us, "b1"));
    }
    for (camera, ..) in cameras {
        let path = format!("/api/cameras/shed/{camera}/frame.jpg");
        eventually("the frame on the page", || {
            let captured_at_us = get(&receiver.page, &path).number("x-captured-at-us")?;
            assert!((start..=now_us()).contains(&captured_at_us), "{camera}: {captured_at_us}");
            Some(())
        });
    }
    eventually("the frames are counted", || {
        let metrics = get(&receiver.page, "/metrics").text();
        metrics.contains("watchpost_recorder_implausible_times_total 30\n").then_some(())
    });
    receiver.program.terminate();
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    for (camera, ..) in cameras {
        let files = files(&bench, camera);
        let is_of_today =
            |file: &std::path::PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&year));
        assert!(files.len() == 1 && files.iter().all(is_of_today), "{files:?}");
        assert_eq!(frames_of(&bench, camera), 10);
    }
}

#[test]
fn recordings_are_for_their_owner_only() {
    let bench = Bench::in_memory();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 022; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_watchpost")]);
    let mut receiver = recording_by(shell, &bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send_all(&jpegs(&bench, 1), 50);
    eventually("a recording", || (frames_of(&bench, "door") > 0).then_some(()));
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&files(&bench, "door")[0]), 0o600);
    receiver.program.terminate();
    assert_eq!(mode(&files(&bench, "door")[0]), 0o600);
    for dir in ["recordings", "recordings/shed", "recordings/shed/door"] {
        assert_eq!(mode(&bench.path(dir)), 0o700, "{dir}");
    }
}

#[test]
fn longest_camera_name_can_be_recorded_and_saved() {
    let bench = Bench::in_memory();
    let longest = (1..=64).rev().find_map(|count| Name::try_from("\u{10300}".repeat(count)).ok()).expect("a name");
    let record = format!("[record]\ndir = \"{}\"\n", bench.path("recordings").display());
    let mut receiver = receiver(&bench, &record);
    let mut peer = Peer::new(&receiver.link, "shed");
    peer.send(&longest, JPEG);
    peer.wait_until_seen();
    assert_eq!(saved(&bench, "shed", &longest), JPEG);
    receiver.program.terminate();
    assert_eq!(frames_of(&bench, &longest), 1, "{}", receiver.program.log());
}

#[test]
fn seventy_agents_are_shown() {
    let bench = Bench::new();
    let receiver = receiver(&bench, "");
    let mut peers: Vec<_> = (0..70).map(|number| Peer::new(&receiver.link, &format!("agent{number}"))).collect();
    for peer in &mut peers {
        peer.send("door", JPEG);
    }
    eventually("all agents on the wall", || (agents(&receiver) == 70).then_some(()));
}

#[test]
fn silent_agent_makes_room_and_a_connected_one_does_not() {
    let bench = Bench::new();
    let receiver = receiver(&bench, "[limits]\nagents = 3\n");
    let mut peers: Vec<_> = (0..4).map(|number| Peer::new(&receiver.link, &format!("agent{number}"))).collect();
    for peer in &mut peers[..3] {
        peer.send("door", JPEG);
        peer.wait_until_seen();
    }
    peers[3].send("door", JPEG);
    receiver.program.wait_for_log("agent agent3: ignored: the limit of 3 agents is reached", "");
    assert_eq!(cameras(&receiver, "agent3").len(), 0);
    // From now on one agent is silent.
    eventually("the newcomer on the wall", || {
        peers[1..].iter_mut().for_each(|peer| peer.send("door", JPEG));
        (cameras(&receiver, "agent3").len() == 1).then_some(())
    });
    assert_eq!(["agent0", "agent1", "agent2"].map(|agent| cameras(&receiver, agent).len()), [0, 1, 1]);
}

#[test]
fn texts_of_many_agents_stay_within_the_memory_limit() {
    let bench = Bench::new();
    let receiver = receiver(&bench, "[limits]\nmemory = \"128 MB\"\n");
    let before = receiver.program.memory();
    let mut good = Peer::new(&receiver.link, "good");
    let reading = json!({
        "seq": 1, "port": "board", "quantity": "temperature", "value": 1.0, "unit": "", "captured_at_us": 0, "age_ms": 0,
        "stale_after_ms": 60_000, "stale": false,
    });
    let cause = "x".repeat(60_000);
    let parts: Vec<_> = (0..3).map(|number| part(&format!("port{number}"), &cause)).collect();
    let hostile: Vec<_> = (0..120)
        .map(|number| {
            let agent = format!("flood{number}");
            let peer = Peer::new(&receiver.link, &agent);
            peer.send_status(&agent, &parts, &json!([]));
            peer
        })
        .collect();
    receiver.program.wait_for_log(": no memory for its readings and status", "");
    let more = receiver.program.memory().saturating_sub(before);
    assert!(more < 100_000_000, "{} MB more", more / 1_000_000);
    good.send_status("good", &[], &json!([reading]));
    good.send("door", JPEG);
    eventually("the good agent's reading", || {
        let wall = get(&receiver.page, "/api/wall").json();
        let agents = wall["agents"].as_array().expect("a list");
        let good = agents.iter().find(|agent| agent["name"] == "good")?;
        (good["readings"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    drop(hostile);
}

#[test]
fn parts_beyond_an_agents_limit_are_reported() {
    let bench = Bench::new();
    let receiver = receiver(&bench, "");
    let mut peer = Peer::new(&receiver.link, "shed");
    (0..65).for_each(|number| peer.send(&format!("camera{number}"), JPEG));
    peer.wait_until_seen();
    assert_eq!(cameras(&receiver, "shed").len(), 64);
    receiver.program.wait_for_log("agent shed: more than 64 cameras; the others are not shown", "");
}

#[test]
fn ended_connections_leave_room_for_replies() {
    let bench = Bench::new();
    let receiver = receiver(&bench, "[limits]\nagents = 2\n");
    let mut witness = Peer::new(&receiver.link, "witness");
    witness.send("door", JPEG);
    witness.wait_until_seen();
    for number in 0..5 {
        let mut short = Peer::new(&receiver.link, &format!("short{number}"));
        // The receiver may notice the end of the earlier connection after this frame.
        let mut hellos = 0;
        eventually("a reply", || {
            short.send("door", JPEG);
            let reply = short.socket.recv_bytes(zmq::DONTWAIT).ok();
            let control = witness.socket.recv_bytes(0).expect("a hello every second");
            hellos += usize::from(control.windows(5).any(|word| word == b"hello"));
            assert!(hellos < 6, "no reply to {} while others got theirs", short.agent);
            reply.map(drop)
        });
    }
}
