//! How fast a network camera is back that is killed and started again, 50 times, beside three others; and how old the
//! pictures are after an hour's worth of them, when the encoder is slower than the stream.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/network_camera.rs"]
mod network_camera;

use std::time::{Duration, Instant};

use harness::{Bench, Program};
use network_camera::{NetworkCamera, Viewer};
use serde_json::Value;

const TURNS: usize = 50;

/// 30 a second.
const AN_HOURS_FRAMES: u64 = 30 * 3600;

/// The most that a camera's `fps` can be, so that each picture is taken, and counted.
const FPS: u32 = 240;

fn main() {
    come_back();
    fall_behind();
}

fn agent(bench: &Bench, viewer: &Viewer, cameras: &str) -> Program {
    let link = &viewer.link;
    bench.agent(&format!("camera = [{cameras}]\nlink = [{{ pattern = \"pair\", connect = \"{link}\" }}]\n"))
}

fn come_back() {
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
    let mut back: Vec<Duration> = (0..TURNS)
        .map(|_| {
            let killed = cameras.pop().expect("four");
            let port = killed.port();
            drop(killed);
            viewer.status("its end", |cameras| cameras[3]["up"] == false);
            cameras.push(NetworkCamera::start(port, "480x320", 25));
            let there = Instant::now();
            viewer.next_of("camera-3");
            there.elapsed()
        })
        .collect();
    println!(
        "a stream killed and started again, {TURNS} times: back {} (wanted: all within 5 s)",
        percentiles(&mut back)
    );
    let (seconds, files, kib) =
        (start.elapsed().as_secs(), agent.descriptors(), agent.memory().saturating_sub(memory) / 1024);
    println!("  descriptors {descriptors} before and {files} after, {kib} KiB more");
    for number in 0..3 {
        let frames = viewer.delays(&format!("camera-{number}")).len() as u64;
        println!("  camera-{number} meanwhile: {frames} frames in {seconds} s");
    }
}

fn fall_behind() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "160x120", FPS);
    let size = "size = \"1920x1080\", quality = 100";
    let source = format!("{{ name = \"door\", source = \"{}\", {size}, fps = {FPS} }}", camera.address);
    let _agent = agent(&bench, &viewer, &source);
    let start = Instant::now();
    let count = |cameras: &Value, what: &str| cameras[0]["counts"][what].as_u64().unwrap_or_default();
    let (mut encoded, mut replaced) = (0, 0);
    while encoded + replaced < AN_HOURS_FRAMES {
        viewer.next_of("door");
        let cameras = viewer.status("a status", Value::is_array);
        (encoded, replaced) = (count(&cameras, "frames"), count(&cameras, "frames_replaced"));
    }
    let mut delays = viewer.delays("door");
    let a_minutes = delays.len() * 60 / start.elapsed().as_secs() as usize;
    let rate = (encoded + replaced) / start.elapsed().as_secs();
    println!("an encoder that is slower than its stream: {} pictures, {rate} a second", encoded + replaced);
    println!("  {encoded} encoded, {replaced} replaced by a newer one");
    let last = delays.len() - a_minutes;
    println!("  delay in the first minute: {}", percentiles(&mut delays[..a_minutes].to_vec()));
    println!("  delay in the last minute: {}", percentiles(&mut delays[last..].to_vec()));
    println!("  delay: {} (wanted: 500 ms)", percentiles(&mut delays));
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("half within {:.1?}, 99 % within {:.1?}, all within {:.1?}", at(0.5), at(0.99), at(1.0))
}
