//! A hostile peer: it sends whatever it likes in the name of any agent.

use serde_json::{Value, json};

use super::{Bench, PATIENCE, Shows};

/// A socket that is connected to a receiver's router.
pub struct Intruder {
    pub socket: zmq::Socket,
}

impl Intruder {
    pub fn new(bench: &Bench, link: &str, shows: &Shows) -> Intruder {
        let socket = bench.raw(zmq::DEALER, link, shows);
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        Intruder { socket }
    }

    /// Sends a status of an agent without parts.
    pub fn send_status(&self, agent: &str, boot: &str) {
        self.send("status", agent, boot, json!({ "cameras": [], "ports": [], "links": [], "readings": [] }), None);
    }

    /// Sends batches of readings.
    pub fn send_readings(&self, agent: &str, boot: &str, backlog: bool, batches: &[Value]) {
        self.send("readings", agent, boot, json!({ "backlog": backlog, "batches": batches }), None);
    }

    /// Sends a frame with a number that no camera reaches.
    pub fn send_frame(&self, agent: &str, boot: &str, camera: &str, jpeg: &[u8]) {
        let (width, height) = watchpost::jpeg::size(jpeg).expect("a JPEG");
        let header = json!({
            "camera": camera, "seq": u64::MAX, "captured_at_us": 0, "age_us": 0, "width": width, "height": height,
            "readings": [],
        });
        self.send("frame", agent, boot, header, Some(jpeg));
    }

    fn send(&self, kind: &str, agent: &str, boot: &str, mut header: Value, jpeg: Option<&[u8]>) {
        let keys = json!({ "type": kind, "v": 1, "agent": agent, "boot": boot });
        let header_keys = header.as_object_mut().expect("an object");
        header_keys.extend(keys.as_object().expect("an object").clone());
        let (topic, header) = (format!("{kind}/{agent}"), header.to_string());
        let parts = [topic.as_bytes(), header.as_bytes()].into_iter().chain(jpeg);
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    /// The control messages that have arrived.
    pub fn heard(&self) -> Vec<Value> {
        let parts = std::iter::from_fn(|| self.socket.recv_bytes(zmq::DONTWAIT).ok());
        parts.map(|control| serde_json::from_slice(&control).expect("JSON")).collect()
    }
}
