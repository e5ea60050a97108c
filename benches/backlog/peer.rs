//! A receiver that keeps what comes in a plain file, and acknowledges it when it is on the disk.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::Bench;

/// How long live readings wait for others to be synced with.
const GATHER: Duration = Duration::from_millis(250);

/// What it took.
pub struct Took {
    /// From the start to the first of the backlog.
    pub first: Duration,
    /// From then to the last.
    pub all: Duration,
    /// Of the others, sorted.
    pub ages: Vec<Duration>,
}

pub struct Peer {
    socket: zmq::Socket,
    file: File,
}

impl Peer {
    pub fn bind(address: &str, bench: &Bench) -> Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(20).expect("a timeout");
        socket.bind(address).expect("a port");
        Peer { socket, file: File::create(bench.path("kept")).expect("a temporary file") }
    }

    /// Takes so many readings of a backlog, and all others that come meanwhile.
    pub fn take(mut self, wanted: u64, start: Instant) -> Took {
        let (mut first, mut late, mut ages) = (None, 0, Vec::new());
        let (mut unsynced, mut synced, mut greeted) = (Vec::new(), Instant::now(), None::<Instant>);
        let end = Instant::now() + 4 * crate::harness::PATIENCE;
        while late < wanted {
            assert!(Instant::now() < end, "{late} of {wanted} came");
            if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                self.says(&json!({ "type": "hello", "v": 1, "window": 1, "acks": true }));
                greeted = Some(Instant::now());
            }
            let mut is_urgent = false;
            while let Ok(parts) = self.socket.recv_multipart(if unsynced.is_empty() { 0 } else { zmq::DONTWAIT }) {
                let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
                self.file.write_all(&parts[1]).expect("it is written");
                let batches = header["batches"].as_array().cloned().unwrap_or_default();
                for batch in &batches {
                    let count = batch["values"].as_array().expect("a list").len() as u64;
                    is_urgent |= header["backlog"] == true;
                    if header["backlog"] == true {
                        first.get_or_insert_with(Instant::now);
                        late += count;
                    } else {
                        ages.push(age(batch));
                    }
                    let seq = batch["seq"].as_u64().expect("a number");
                    unsynced
                        .push(json!({ "type": "ack", "boot": header["boot"], "first": seq, "seq": seq + count - 1 }));
                }
                if unsynced.len() > 1_000 {
                    break;
                }
            }
            if is_urgent || synced.elapsed() > GATHER {
                self.file.sync_data().expect("a disk");
                for ack in unsynced.drain(..) {
                    self.says(&ack);
                }
                synced = Instant::now();
            } else if !unsynced.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        ages.sort();
        let first: Instant = first.expect("something came");
        Took { first: first - start, all: first.elapsed(), ages }
    }

    fn says(&self, control: &Value) {
        // While nobody is there it is said again.
        let _ = self.socket.send(control.to_string().as_bytes(), zmq::DONTWAIT);
    }
}

fn age(batch: &Value) -> Duration {
    let captured = Duration::from_micros(batch["captured_at_us"].as_u64().expect("a time"));
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").saturating_sub(captured)
}
