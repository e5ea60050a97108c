//! Measures the receiver's CPU time and memory with and without recording 16 cameras of 640x480 at 30 frames per second, and
//! counts the recorded frames. `cargo bench --bench recorder -- --seconds 30`.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Bench, Program, Receiver};
use serde_json::json;
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};
use watchpost::receiver::recorder::reader::{Block, blocks, cluster, scan};

const CAMERAS: usize = 16;
const RATE: usize = 30;
const SIZE: (u32, u32) = (640, 480);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| *argument != "--seconds").skip(1);
    let seconds = arguments.next().map_or(10, |seconds| seconds.parse().expect("--seconds N"));
    let jpeg = jpeg();
    println!("{CAMERAS} cameras, {RATE} frames per second each, {} bytes per frame", jpeg.len());
    println!("                      CPU % of a core   µs / frame   anonymous MiB   frames in files");
    for (name, record) in [("not recorded", "off = true"), ("recorded", "")] {
        run(name, record, seconds, &jpeg);
    }
}

/// A picture with sensor noise.
fn jpeg() -> Vec<u8> {
    let (width, height) = SIZE;
    let mut data: Vec<u8> = (0..width * height).map(|i| (i % width / 4) as u8 + fastrand::u8(0..24)).collect();
    data.resize((width * height * 2) as usize, 128);
    let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
    Encoder::default().encode(frame, Quality::default()).expect("a picture").to_vec()
}

fn run(name: &str, record: &str, seconds: usize, jpeg: &[u8]) {
    let bench = Bench::new();
    let receiver = bench.receiver(&format!(
        "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\noff = true\n[record]\ndir = \"{}\"\n{record}",
        bench.path("recordings").display()
    ));
    let Receiver { mut program, link, .. } = receiver;
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.connect(&link).expect("an address");
    send(&socket, jpeg, RATE);
    let before = program.cpu_seconds();
    send(&socket, jpeg, seconds * RATE);
    let cpu = program.cpu_seconds() - before;
    let memory = program.memory() as f64 / f64::from(1 << 20);
    let frames = seconds * RATE * CAMERAS;
    stop(&mut program);
    let recorded = recorded_frames(&bench);
    println!(
        "{name:<20}{:>17.1}{:>13.1}{memory:>16.1}{:>18}",
        cpu / seconds as f64 * 100.0,
        cpu / frames as f64 * 1e6,
        format!("{recorded} of {}", frames + RATE * CAMERAS)
    );
}

fn stop(program: &mut Program) {
    let (status, _) = program.terminate();
    assert!(status.success(), "{}", program.log());
}

fn send(socket: &zmq::Socket, jpeg: &[u8], rounds: usize) {
    let start = Instant::now();
    for round in 0..rounds {
        let due = Duration::from_micros((round * 1_000_000 / RATE) as u64);
        sleep(due.saturating_sub(start.elapsed()));
        for camera in 0..CAMERAS {
            let at_us = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
            let header = json!({
                "type": "frame", "v": 1, "agent": "bench", "camera": format!("c{camera}"), "boot": "b",
                "seq": at_us, "captured_at_us": at_us, "age_us": 0, "width": SIZE.0, "height": SIZE.1, "readings": [],
            });
            let parts = [b"frame/bench/c".to_vec(), header.to_string().into_bytes(), jpeg.to_vec()];
            socket.send_multipart(parts, 0).expect("the message is sent");
        }
    }
}

/// Counts the frames in the recorded files.
fn recorded_frames(bench: &Bench) -> usize {
    let dirs = std::fs::read_dir(bench.path("recordings/bench")).into_iter().flatten().flatten();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.path()).into_iter().flatten().flatten());
    let frames = files.map(|file| {
        let file = std::fs::File::open(file.path()).expect("a recording");
        let contents = scan(&file).expect("a readable file").expect("a recording");
        let clusters =
            contents.cue_points.iter().filter_map(|point| cluster(&file, point.position).expect("a readable file"));
        clusters.map(|cluster| blocks(&cluster).filter(Block::is_picture).count()).sum::<usize>()
    });
    frames.sum()
}
