//! Sends frames with pictures and times that a test chooses.

use serde_json::{Value, json};

use super::{PATIENCE, now_us};

/// A fake agent with one camera.
pub struct Sender {
    socket: zmq::Socket,
    pub camera: &'static str,
    pub seq: u64,
    pub readings: Value,
}

impl Sender {
    pub fn new(link: &str, camera: &'static str) -> Sender {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        Sender { socket, camera, seq: 0, readings: json!([]) }
    }

    /// Sends a frame captured at this time.
    pub fn send(&mut self, jpeg: &[u8], at_us: i64) {
        self.send_as(jpeg, at_us, (now_us() - at_us).max(0), "b1");
    }

    /// Sends a frame with this capture time, age and boot.
    pub fn send_as(&mut self, jpeg: &[u8], captured_at_us: i64, age_us: i64, boot: &str) {
        self.seq += 1;
        let (width, height) = watchpost::jpeg::size(jpeg).expect("a JPEG");
        let header = json!({
            "type": "frame", "v": 1, "agent": "shed", "camera": self.camera, "boot": boot, "seq": self.seq,
            "captured_at_us": captured_at_us, "age_us": age_us, "width": width, "height": height,
            "readings": self.readings,
        });
        let topic = format!("frame/shed/{}", self.camera);
        let parts = [topic.into_bytes(), header.to_string().into_bytes(), jpeg.to_vec()];
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }

    /// Sends `count` frames captured 40 ms apart, the last one about now; returns their times.
    pub fn send_all(&mut self, jpegs: &[Vec<u8>], count: usize) -> Vec<i64> {
        let first_us = now_us() - count as i64 * 40_000;
        let times: Vec<i64> = (0..count).map(|number| first_us + number as i64 * 40_000 + 321).collect();
        for (number, at_us) in times.iter().enumerate() {
            self.send(&jpegs[number % jpegs.len()], *at_us);
        }
        times
    }
}
