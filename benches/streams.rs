//! Measures how fast frames of a restarted network camera return, 50 times, while three other cameras run. Then measures the
//! age of frames when the encoder is slower than the stream, over an hour's worth of frames.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/network_camera.rs"]
mod network_camera;

use std::time::{Duration, Instant};

use harness::{Bench, Program};
use network_camera::{NetworkCamera, Viewer};
use serde_json::Value;

const RESTARTS: usize = 50;

/// Frames of one hour at 30 per second.
const HOUR_OF_FRAMES: u64 = 30 * 3600;

/// The maximum `fps` of a camera, so that the agent takes and counts every picture.
const FPS: u32 = 240;

fn main() {
    restart_camera();
    overload_encoder();
}

fn agent(bench: &Bench, viewer: &Viewer, cameras: &str) -> Program {
    let link = &viewer.link;
    bench.agent(&format!("camera = [{cameras}]\nlink = [{{ pattern = \"pair\", connect = \"{link}\" }}]\n"))
}

fn restart_camera() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let mut cameras: Vec<NetworkCamera> = (0..4).map(|_| NetworkCamera::start(0, "480x320", 25)).collect();
    let table = |(number, camera): (usize, &NetworkCamera)| {
        format!("{{ name = \"camera-{number}\", source = \"{}\" }}", camera.address)
    };
    let agent = agent(&bench, &viewer, &cameras.iter().enumerate().map(table).collect::<Vec<_>>().join(", "));
    for number in 0..4 {
        viewer.next_of(&format!("camera-{number}"));
    }
    let (start, descriptors, memory) = (Instant::now(), agent.descriptors(), agent.memory());
    let mut recoveries: Vec<Duration> = (0..RESTARTS)
        .map(|_| {
            let killed = cameras.pop().expect("four");
            let port = killed.port();
            drop(killed);
            viewer.status("the camera is down", |cameras| cameras[3]["up"] == false);
            cameras.push(NetworkCamera::start(port, "480x320", 25));
            let started = Instant::now();
            viewer.next_of("camera-3");
            started.elapsed()
        })
        .collect();
    println!("frames after a camera restart, {RESTARTS} times: {} (goal: max 5 s)", percentiles(&mut recoveries));
    let (seconds, files, kib) =
        (start.elapsed().as_secs(), agent.descriptors(), agent.memory().saturating_sub(memory) / 1024);
    println!("  descriptors: {descriptors} before, {files} after; memory: {kib} KiB more");
    for number in 0..3 {
        let frames = viewer.delays(&format!("camera-{number}")).len() as u64;
        println!("  camera-{number} meanwhile: {frames} frames in {seconds} s");
    }
}

fn overload_encoder() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "160x120", FPS);
    let size = "size = \"1920x1080\", quality = 100";
    let source = format!("{{ name = \"door\", source = \"{}\", {size}, fps = {FPS} }}", camera.address);
    let _agent = agent(&bench, &viewer, &source);
    let start = Instant::now();
    let count = |cameras: &Value, what: &str| cameras[0]["counts"][what].as_u64().unwrap_or_default();
    let (mut encoded, mut replaced) = (0, 0);
    while encoded + replaced < HOUR_OF_FRAMES {
        viewer.next_of("door");
        let cameras = viewer.status("a status", Value::is_array);
        (encoded, replaced) = (count(&cameras, "frames"), count(&cameras, "frames_replaced"));
    }
    let mut delays = viewer.delays("door");
    let frames_per_minute = delays.len() * 60 / start.elapsed().as_secs() as usize;
    let rate = (encoded + replaced) / start.elapsed().as_secs();
    println!("encoder slower than its stream: {} pictures, {rate} per second", encoded + replaced);
    println!("  {encoded} encoded, {replaced} replaced by a newer frame");
    let last = delays.len() - frames_per_minute;
    println!("  delay in the first minute: {}", percentiles(&mut delays[..frames_per_minute].to_vec()));
    println!("  delay in the last minute: {}", percentiles(&mut delays[last..].to_vec()));
    println!("  delay: {} (goal: 500 ms)", percentiles(&mut delays));
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("median {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(1.0))
}
