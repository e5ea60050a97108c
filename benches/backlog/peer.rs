//! A receiver that writes messages to a plain file and acknowledges them once they are synced to the disk.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Bench, PATIENCE};

/// How long live readings wait so that one sync covers several.
const SYNC_DELAY: Duration = Duration::from_millis(250);

/// How the readings arrived.
pub struct Received {
    /// From the start to the first reading of the backlog.
    pub first: Duration,
    /// From the first reading of the backlog to the last.
    pub all: Duration,
    /// The ages of the live readings, sorted.
    pub ages: Vec<Duration>,
}

pub struct Peer {
    socket: zmq::Socket,
    /// Messages for the thread that writes to the disk, so that a slow disk does not delay arrival times.
    unsynced: Sender<Vec<u8>>,
    /// Acknowledgements of synced messages.
    synced: Receiver<Value>,
    _disk: JoinHandle<()>,
}

impl Peer {
    pub fn bind(address: &str, bench: &Bench) -> Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(1).expect("a timeout");
        socket.bind(address).expect("a port");
        let file = File::create(bench.path("kept")).expect("a temporary file");
        let (unsynced, messages) = channel();
        let (acks, synced) = channel();
        Peer { socket, unsynced, synced, _disk: thread::spawn(move || write(file, &messages, &acks)) }
    }

    /// Receives `wanted` readings of a backlog, and the live readings that arrive meanwhile.
    pub fn receive(self, wanted: u64, start: Instant) -> Received {
        let (mut first, mut backlog, mut ages, mut greeted) = (None, 0, Vec::new(), None::<Instant>);
        let end = Instant::now() + 4 * PATIENCE;
        while backlog < wanted {
            assert!(Instant::now() < end, "{backlog} of {wanted} readings arrived");
            if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                self.send(&json!({ "type": "hello", "v": 1, "window": 1, "acks": true }));
                greeted = Some(Instant::now());
            }
            self.synced.try_iter().for_each(|ack| self.send(&ack));
            let Ok(mut parts) = self.socket.recv_multipart(0) else { continue };
            let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
            for batch in header["batches"].as_array().into_iter().flatten() {
                if header["backlog"] == true {
                    first.get_or_insert_with(Instant::now);
                    backlog += count(batch);
                } else {
                    ages.push(age(batch));
                }
            }
            self.unsynced.send(parts.swap_remove(1)).expect("the writer runs");
        }
        ages.sort();
        let first: Instant = first.expect("at least one reading");
        Received { first: first - start, all: first.elapsed(), ages }
    }

    fn send(&self, control: &Value) {
        // Fails until the agent has connected; it is sent again later.
        let _ = self.socket.send(control.to_string().as_bytes(), zmq::DONTWAIT);
    }
}

/// Writes messages and acknowledges them after a sync. Syncs a backlog at once, because the agent waits for it, and live
/// readings in groups.
fn write(mut file: File, messages: &Receiver<Vec<u8>>, acks: &Sender<Value>) {
    let (mut pending, mut due) = (Vec::new(), None::<Instant>);
    loop {
        let wait = due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
        match messages.recv_timeout(wait) {
            Ok(message) => {
                let header: Value = serde_json::from_slice(&message).expect("JSON");
                file.write_all(&message).expect("a writable file");
                let batches = header["batches"].as_array().into_iter().flatten();
                pending.extend(batches.map(|batch| ack(&header["boot"], batch)));
                let wait = if header["backlog"] == true { Duration::ZERO } else { SYNC_DELAY };
                due = Some(due.unwrap_or(Instant::now() + SYNC_DELAY).min(Instant::now() + wait));
            }
            Err(RecvTimeoutError::Timeout) => {
                file.sync_data().expect("a disk");
                due = None;
                // Fails once the whole backlog has arrived and nothing reads the channel any more.
                let _ = pending.drain(..).try_for_each(|ack| acks.send(ack));
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
