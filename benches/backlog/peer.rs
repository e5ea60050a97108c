//! A receiver that keeps what comes in a plain file, and acknowledges it when it is on the disk.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Bench, PATIENCE};

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
    /// To the disk, which has a thread of its own: a reading is there when it has come, however long the disk takes then.
    unsynced: Sender<Vec<u8>>,
    synced: Receiver<Value>,
    _disk: JoinHandle<()>,
}

impl Peer {
    pub fn bind(address: &str, bench: &Bench) -> Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(1).expect("a timeout");
        socket.bind(address).expect("a port");
        let file = File::create(bench.path("kept")).expect("a temporary file");
        let (unsynced, came) = channel();
        let (acks, synced) = channel();
        Peer { socket, unsynced, synced, _disk: thread::spawn(move || keep(file, &came, &acks)) }
    }

    /// Takes so many readings of a backlog, and all others that come meanwhile.
    pub fn take(self, wanted: u64, start: Instant) -> Took {
        let (mut first, mut late, mut ages, mut greeted) = (None, 0, Vec::new(), None::<Instant>);
        let end = Instant::now() + 4 * PATIENCE;
        while late < wanted {
            assert!(Instant::now() < end, "{late} of {wanted} came");
            if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                self.says(&json!({ "type": "hello", "v": 1, "window": 1, "acks": true }));
                greeted = Some(Instant::now());
            }
            self.synced.try_iter().for_each(|ack| self.says(&ack));
            let Ok(mut parts) = self.socket.recv_multipart(0) else { continue };
            let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
            for batch in header["batches"].as_array().into_iter().flatten() {
                if header["backlog"] == true {
                    first.get_or_insert_with(Instant::now);
                    late += count(batch);
                } else {
                    ages.push(age(batch));
                }
            }
            self.unsynced.send(parts.swap_remove(1)).expect("it listens");
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

/// Writes what comes and says when it is safe: a backlog at once, because who sends it waits, other readings together.
fn keep(mut file: File, came: &Receiver<Vec<u8>>, acks: &Sender<Value>) {
    let (mut unsaid, mut due) = (Vec::new(), None::<Instant>);
    loop {
        let wait = due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
        match came.recv_timeout(wait) {
            Ok(message) => {
                let header: Value = serde_json::from_slice(&message).expect("JSON");
                file.write_all(&message).expect("it is written");
                let batches = header["batches"].as_array().into_iter().flatten();
                unsaid.extend(batches.map(|batch| ack(&header["boot"], batch)));
                let wait = if header["backlog"] == true { Duration::ZERO } else { GATHER };
                due = Some(due.unwrap_or(Instant::now() + GATHER).min(Instant::now() + wait));
            }
            Err(RecvTimeoutError::Timeout) => {
                file.sync_data().expect("a disk");
                due = None;
                // Whoever has all of the backlog waits for no more.
                let _ = unsaid.drain(..).try_for_each(|ack| acks.send(ack));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn ack(boot: &Value, batch: &Value) -> Value {
    let seq = batch["seq"].as_u64().expect("a number");
    json!({ "type": "ack", "boot": boot, "first": seq, "seq": seq + count(batch) - 1 })
}

fn count(batch: &Value) -> u64 {
    batch["values"].as_array().expect("a list").len() as u64
}

fn age(batch: &Value) -> Duration {
    let captured = Duration::from_micros(batch["captured_at_us"].as_u64().expect("a time"));
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").saturating_sub(captured)
}
