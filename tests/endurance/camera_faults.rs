//! Repeats each fault of a USB camera many times. Measures how soon the status names the cause, how soon frames return
//! after the fault, and which frames the three other cameras lose. Compares the agent's memory, descriptors and threads
//! before and after.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::film::film_of;
use crate::harness::{Bench, PATIENCE, Program, eventually};
use crate::percentile;

/// The four cameras; only the first one fails.
const NAMES: [&str; 4] = ["faulty", "second", "third", "fourth"];
const KIND: &str = "MJPG 640x480 30";

/// A fault of a camera.
struct Fault {
    name: &'static str,
    /// Starts of the causes that the status may name.
    causes: &'static [&'static str],
    inject: fn(&mut Lab),
    heal: fn(&mut Lab),
}

const GONE: &[&str] = &["unplugged", "no such device"];
const FAULTS: [Fault; 6] = [
    Fault {
        name: "stall",
        causes: &["sends no frames"],
        inject: |lab| lab.set("stall"),
        heal: |lab| lab.clear("stall"),
    },
    Fault {
        name: "hang",
        causes: &["hangs in its driver"],
        inject: |lab| lab.set("hang"),
        heal: |lab| lab.clear("hang"),
    },
    Fault { name: "cut", causes: &["sends only broken"], inject: |lab| lab.set("cut"), heal: |lab| lab.clear("cut") },
    Fault { name: "vanish", causes: GONE, inject: Lab::unplug, heal: Lab::plug },
    Fault {
        name: "renumber",
        causes: GONE,
        inject: Lab::unplug,
        heal: |lab| {
            // The other cameras are at 1 to 3.
            lab.node = if lab.node == 0 { 4 } else { 0 };
            lab.plug();
        },
    },
    Fault {
        name: "nospace",
        causes: &["no bandwidth left"],
        // Like a bus reset after which another camera takes the bandwidth first.
        inject: |lab| {
            lab.set("nospace");
            lab.plug();
        },
        heal: |lab| lab.clear("nospace"),
    },
];

/// The run without a fault, to compare with.
const NO_FAULT: &str = "none";

/// The faults that can be requested.
pub fn names() -> Vec<&'static str> {
    [NO_FAULT].into_iter().chain(FAULTS.iter().map(|fault| fault.name)).collect()
}

/// Injects each of the faults `only`, or every fault if it is empty, `times` times and prints a line for each.
pub fn run(times: u32, only: &[&str]) {
    let mut lab = Lab::new();
    println!("                 detected in, ms      recovered in, ms     MiB, descriptors, threads");
    println!(
        "fault     times  median, p99, max     median, p99, max     before        after         frames lost by the others"
    );
    let is_requested = |name| only.is_empty() || only.contains(&name);
    if is_requested(NO_FAULT) {
        lab.report(NO_FAULT, times, |lab| {
            lab.listen(Duration::from_secs(1));
            None
        });
    }
    for fault in FAULTS.iter().filter(|fault| is_requested(fault.name)) {
        lab.report(fault.name, times, |lab| Some(lab.detection_and_recovery(fault)));
    }
}

/// An agent with its cameras, and a receiver that counts frames.
struct Lab {
    bench: Bench,
    agent: Program,
    socket: zmq::Socket,
    film: String,
    /// The device number of the failing camera.
    node: u32,
    /// The sequence number of each camera's last frame.
    last: [u64; 4],
    /// Frames of the other cameras that arrived, and sequence numbers that did not.
    arrived: u64,
    lost: u64,
}

impl Lab {
    fn new() -> Lab {
        let bench = Bench::new();
        let film = film_of(&bench, "film", 20, (640, 480)).0.display().to_string();
        (1..4).for_each(|node| bench.plug_camera_of(node, &format!("{KIND} {film}")));
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.bind("tcp://127.0.0.1:*").expect("a free port");
        let [faulty, others @ ..] = NAMES;
        let others =
            [1, 2, 3].map(|node| format!("{{ name = {:?}, source = \"/dev/video{node}\" }}", others[node - 1]));
        let agent = bench.agent(&format!(
            r#"
            camera = [{{ name = "{faulty}", source = "/dev/v4l/by-id/usb-faulty" }}, {}]
            link = [{{ pattern = "pair", connect = "{}" }}]
            "#,
            others.join(", "),
            socket.get_last_endpoint().expect("bound").expect("an address"),
        ));
        let mut lab = Lab { bench, agent, socket, film, node: 0, last: [0; 4], arrived: 0, lost: 0 };
        lab.plug();
        // Warm up: each fault happens once before anything is measured.
        for fault in &FAULTS {
            lab.detection_and_recovery(fault);
        }
        lab
    }

    /// Plugs the camera in, or unplugs it and plugs it in again.
    fn plug(&mut self) {
        self.bench.link_camera("usb-faulty", self.node);
        self.bench.plug_camera_of(self.node, &format!("{KIND} {}", self.film));
    }

    fn unplug(&mut self) {
        self.clear("camera");
        fs::remove_file(self.bench.path("cameras/by-id/usb-faulty")).expect("it is plugged in");
    }

    fn set(&mut self, control: &str) {
        fs::write(self.bench.camera(self.node, control), "").expect("a temporary file");
    }

    fn clear(&mut self, control: &str) {
        fs::remove_file(self.bench.camera(self.node, control)).expect("it was there");
    }

    /// Injects the fault and ends it. Returns the time until the status named the cause, and the time from the end of
    /// the fault to the next frame.
    fn detection_and_recovery(&mut self, fault: &Fault) -> [Duration; 2] {
        self.until(&format!("frames before {}", fault.name), |message| message["camera"] == NAMES[0]);
        // A random phase relative to the agent's own intervals.
        self.listen(Duration::from_millis(fastrand::u64(0..500)));
        let injected = Instant::now();
        (fault.inject)(self);
        self.until(fault.name, |message| {
            let camera = &message["cameras"][0];
            let named = camera["cause"].as_str().unwrap_or_default();
            camera["up"] == false && fault.causes.iter().any(|cause| named.starts_with(cause))
        });
        let detection = injected.elapsed();
        let (healed, healed_at) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        (fault.heal)(self);
        self.until(&format!("frames after {}", fault.name), |message| {
            message["camera"] == NAMES[0] && message["captured_at_us"].as_u64() >= Some(healed_at.as_micros() as u64)
        });
        [detection, healed.elapsed()]
    }

    fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.receive(end).is_some() {}
    }

    fn until(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let message =
                self.receive(end).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}\n{}", self.agent.log()));
            if matches(&message) {
                return message;
            }
        }
    }

    /// Returns the next message's header if one arrives before `end`.
    fn receive(&mut self, end: Instant) -> Option<Value> {
        let left = end.saturating_duration_since(Instant::now());
        self.socket.set_rcvtimeo(left.as_millis() as i32).expect("an option");
        let parts = self.socket.recv_multipart(0).ok()?;
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        if let Some(camera) = NAMES.iter().position(|name| header["camera"] == *name) {
            let seq = header["seq"].as_u64().expect("a number");
            assert!(seq > self.last[camera], "frame {seq} of {} after {}", NAMES[camera], self.last[camera]);
            if camera > 0 {
                self.arrived += 1;
                self.lost += seq - self.last[camera] - 1;
            }
            self.last[camera] = seq;
        }
        Some(header)
    }

    /// Frames that the other cameras have lost so far, by cause.
    fn losses(&mut self) -> BTreeMap<String, u64> {
        let status = self.until("a status", |message| message["type"] == "status");
        let mut losses = BTreeMap::from([("between camera and link".to_owned(), self.lost)]);
        for (cause, count) in (1..4).filter_map(|camera| status["cameras"][camera]["counts"].as_object()).flatten() {
            if !["frames", "opened"].contains(&cause.as_str()) {
                *losses.entry(cause.clone()).or_default() += count.as_u64().expect("a number");
            }
        }
        losses
    }

    /// The agent's memory, descriptors and threads.
    fn resources(&self) -> String {
        let memory = self.agent.memory() as f64 / f64::from(1 << 20);
        format!("{memory:.2}, {}, {}", self.agent.descriptors(), self.agent.threads())
    }

    fn report(&mut self, name: &str, times: u32, mut once: impl FnMut(&mut Lab) -> Option<[Duration; 2]>) {
        let (before, losses_before, arrived_before) = (self.resources(), self.losses(), self.arrived);
        let all: Vec<[Duration; 2]> = (0..times).filter_map(|_| once(self)).collect();
        let (losses, arrived) = (self.losses(), self.arrived - arrived_before);
        // The thread of the failed camera may still be shutting down.
        let threads = |resources: &str| resources.rsplit_once(' ').map(|(_, threads)| threads.to_owned());
        let after = eventually("no more threads than before", || {
            Some(self.resources()).filter(|after| threads(after) <= threads(&before))
        });
        let [detection, recovery] = [0, 1].map(|which| percentiles(all.iter().map(|pair| pair[which]).collect()));
        let lost: Vec<String> = losses
            .iter()
            .map(|(cause, count)| (cause, count - losses_before.get(cause).copied().unwrap_or_default()))
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| format!("{count} {cause}"))
            .collect();
        let lost = if lost.is_empty() { "none".to_owned() } else { lost.join(", ") };
        println!("{name:<9} {times:>5}  {detection:<20} {recovery:<20} {before:<13} {after:<13} {lost}, of {arrived}");
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "-".to_owned();
    }
    times.sort();
    let at = |share| percentile(&times, share).as_millis();
    format!("{}, {}, {}", at(0.5), at(0.99), at(1.0))
}
