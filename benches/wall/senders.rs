//! Simulated agents that send frames: four agents with four cameras each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

pub const CAMERAS: usize = 16;
pub const RATE: u32 = 30;
const AGENTS: usize = 4;

/// How long to wait for a hub's reply, in milliseconds.
const REPLY_TIMEOUT: i32 = 5_000;

/// Pictures as large as those of real cameras: a gradient with noise.
pub fn pictures() -> Arc<Vec<Vec<u8>>> {
    let (width, height) = (640_u32, 480_u32);
    let (mut encoder, mut random) = (Encoder::default(), fastrand::Rng::with_seed(1));
    let picture = |number: u32| {
        let mut data: Vec<u8> =
            (0..width * height).map(|i| (i % width / 4 + number) as u8 / 2 + random.u8(..24)).collect();
        data.resize((width * height * 2) as usize, 128);
        let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
        encoder.encode(frame, Quality::default()).expect("a picture").to_vec()
    };
    Arc::new((0..RATE).map(picture).collect())
}

pub struct Senders {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Sends watchpost's format to a receiver's router.
    pub fn dealers(link: &str, pictures: &Arc<Vec<Vec<u8>>>) -> Senders {
        let link = link.to_owned();
        Senders::start(pictures, move |agent| {
            let socket = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
            socket.set_linger(0).expect("an option");
            socket.connect(&link).expect("an address");
            move |camera, seq, jpeg: &[u8]| {
                // Discard the receiver's messages without waiting; the age of its frames shows whether it is slow.
                while socket.recv_multipart(zmq::DONTWAIT).is_ok() {}
                let header = json!({
                    "type": "frame", "v": 1, "agent": agent, "camera": camera, "boot": "bench", "seq": seq,
                    "captured_at_us": now_us(), "age_us": 0, "width": 640, "height": 480, "readings": [],
                });
                let (topic, header) = (format!("frame/{agent}/{camera}"), header.to_string());
                // The send time follows the picture, where JPEG decoders ignore it.
                let jpeg = [jpeg, &now_us().to_be_bytes()].concat();
                socket.send_multipart([topic.as_bytes(), header.as_bytes(), &jpeg], zmq::DONTWAIT).is_ok()
            }
        })
    }

    /// Sends imagezmq's format to a hub that replies to each frame.
    pub fn hubs(address: &str, pictures: &Arc<Vec<Vec<u8>>>) -> Senders {
        let address = address.to_owned();
        Senders::start(pictures, move |agent| {
            let socket = zmq::Context::new().socket(zmq::REQ).expect("a socket");
            socket.set_linger(0).expect("an option");
            socket.set_rcvtimeo(REPLY_TIMEOUT).expect("an option");
            socket.connect(&address).expect("an address");
            move |camera, _, jpeg: &[u8]| {
                let header = json!({ "msg": format!("{agent} {camera}") }).to_string();
                socket.send_multipart([header.as_bytes(), jpeg], 0).is_ok() && socket.recv_bytes(0).is_ok()
            }
        })
    }

    fn start<F>(pictures: &Arc<Vec<Vec<u8>>>, connect: impl Fn(String) -> F) -> Senders
    where
        F: FnMut(&str, u64, &[u8]) -> bool + Send + 'static,
    {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..AGENTS).map(|agent| {
            let (stop, sent, pictures) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(pictures));
            let mut send_frame = connect(format!("agent-{agent}"));
            spawn(move || {
                let start = Instant::now();
                for seq in 1_u64.. {
                    for camera in 0..CAMERAS / AGENTS {
                        let jpeg = &pictures[(seq as usize + camera) % pictures.len()];
                        sent.fetch_add(
                            u64::from(send_frame(&format!("camera-{camera}"), seq, jpeg)),
                            Ordering::Relaxed,
                        );
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    sleep((Duration::from_secs(1) * seq as u32 / RATE).saturating_sub(start.elapsed()));
                }
            })
        });
        let threads = threads.collect();
        Senders { stop, sent, threads }
    }

    /// The number of frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64
}
