//! Network cameras whose pictures show their capture time, and a viewer that reads it.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use crate::harness::{Program, eventually};

/// The number of bits of a picture's capture time, in milliseconds, as `rtsp_server.py` draws them.
const BITS: usize = 24;

/// An RTSP server on this machine; killed when dropped.
pub struct NetworkCamera {
    program: Program,
    pub address: String,
}

impl NetworkCamera {
    /// Starts a server; port 0 chooses a free port.
    pub fn start(port: u16, size: &str, fps: u32) -> NetworkCamera {
        let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/rtsp_server.py");
        let (width, height) = size.split_once('x').expect("a size");
        // GStreamer's bindings exist for Debian's Python, but not for the one of tests/peers.
        let mut command = Command::new("/usr/bin/python3");
        let program = Program::start(command.args([server, &port.to_string(), width, height, &fps.to_string()]));
        let address = program.wait_for_line("its address", |line| line.starts_with("rtsp://").then(|| line.to_owned()));
        NetworkCamera { program, address }
    }

    pub fn port(&self) -> u16 {
        let port = self.address.split([':', '/']).nth(4).and_then(|port| port.parse().ok());
        port.expect("an address with a port")
    }

    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }
}

#[derive(Default)]
struct Seen {
    delays: BTreeMap<String, Vec<Duration>>,
    status: Value,
}

/// A receiver that reads every message at once.
pub struct Viewer {
    pub link: String,
    seen: Arc<Mutex<Seen>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    pub fn new() -> Viewer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(100).expect("an option");
        socket.bind("tcp://127.0.0.1:*").expect("a free port");
        let link = socket.get_last_endpoint().expect("bound").expect("an address");
        let (seen, end) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (thread_seen, thread_end) = (Arc::clone(&seen), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            let mut reader = Decompressor::new().expect("a decompressor");
            // The bars that encode the time remain readable at this scale.
            reader.set_scaling_factor(ScalingFactor::ONE_EIGHTH).expect("a supported scale");
            while !thread_end.load(Ordering::Relaxed) {
                if let Ok(parts) = socket.recv_multipart(0) {
                    record(&parts, &mut reader, &thread_seen);
                }
            }
        });
        Viewer { link, seen, end, thread: Some(thread) }
    }

    /// The delay of each frame of a camera, from the capture time in its picture to its arrival, in order of arrival.
    pub fn delays(&self, camera: &str) -> Vec<Duration> {
        self.seen.lock().unwrap().delays.get(camera).cloned().unwrap_or_default()
    }

    /// Waits for at least `count` delays.
    #[track_caller]
    pub fn first_delays(&self, camera: &str, count: usize) -> Vec<Duration> {
        eventually(&format!("{count} frames of {camera}"), || {
            Some(self.delays(camera)).filter(|delays| delays.len() >= count)
        })
    }

    /// Waits for a frame that arrives from now on.
    #[track_caller]
    pub fn next_of(&self, camera: &str) {
        let before = self.count(camera);
        eventually(&format!("a frame of {camera}"), || (self.count(camera) > before).then_some(()));
    }

    fn count(&self, camera: &str) -> usize {
        self.seen.lock().unwrap().delays.get(camera).map_or(0, Vec::len)
    }

    /// Waits until the cameras in the newest status match, and returns them.
    #[track_caller]
    pub fn status(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Some(self.seen.lock().unwrap().status["cameras"].clone()).filter(&matches))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("dropped only once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the viewer's thread failed");
    }
}

fn record(parts: &[Vec<u8>], reader: &mut Decompressor, seen: &Mutex<Seen>) {
    let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
    match header["type"].as_str() {
        Some("frame") => {
            let delay = delay(&parts[2], reader);
            let camera = header["camera"].as_str().expect("a name").to_owned();
            seen.lock().unwrap().delays.entry(camera).or_default().push(delay);
        }
        Some("status") => seen.lock().unwrap().status = header,
        _ => {}
    }
}

/// The time since a picture was taken, according to the time it shows.
fn delay(jpeg: &[u8], reader: &mut Decompressor) -> Duration {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock")).as_millis() as u64;
    let size = reader.read_header(jpeg).expect("a JPEG").scaled(ScalingFactor::ONE_EIGHTH);
    let mut pixels = vec![0; size.width * size.height];
    let image = Image {
        pixels: pixels.as_mut_slice(),
        width: size.width,
        pitch: size.width,
        height: size.height,
        format: PixelFormat::GRAY,
    };
    reader.decompress(jpeg, image).expect("a JPEG");
    let line = &pixels[size.height / 2 * size.width..];
    let bit = |index: usize| u64::from(line[(2 * index + 1) * size.width / (2 * BITS)] > 128);
    let taken = (0..BITS).fold(0, |taken, index| taken << 1 | bit(index));
    Duration::from_millis(now.wrapping_sub(taken) % (1 << BITS))
}
