//! The faults of a USB camera, each many times in a row: how soon the status names the cause, how soon the camera is
//! back when it is over, what the three others lose meanwhile, and whether the agent's memory, descriptors and threads
//! stay what they were. `cargo bench --bench faults -- --times 100`, perhaps with the names of some faults.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::film::film_of;
use harness::{Bench, PATIENCE, Program, eventually};
use serde_json::Value;

/// Four cameras; the first has the faults.
const NAMES: [&str; 4] = ["faulty", "second", "third", "fourth"];
const KIND: &str = "MJPG 640x480 30";

/// What counts as the fault's name in the status, how it comes about and how it ends.
struct Fault {
    name: &'static str,
    causes: &'static [&'static str],
    inject: fn(&mut Lab),
    heal: fn(&mut Lab),
}

const GONE: &[&str] = &["unplugged", "no such device"];
const FAULTS: [Fault; 6] = [
    Fault {
        name: "stall",
        causes: &["gives no frames"],
        inject: |lab| lab.set("stall"),
        heal: |lab| lab.clear("stall"),
    },
    Fault {
        name: "hang",
        causes: &["hangs in its driver"],
        inject: |lab| lab.set("hang"),
        heal: |lab| lab.clear("hang"),
    },
    Fault { name: "cut", causes: &["gives only broken"], inject: |lab| lab.set("cut"), heal: |lab| lab.clear("cut") },
    Fault { name: "vanish", causes: GONE, inject: Lab::unplug, heal: Lab::plug },
    Fault {
        name: "renumber",
        causes: GONE,
        inject: Lab::unplug,
        heal: |lab| {
            // The others have 1 to 3.
            lab.node = if lab.node == 0 { 4 } else { 0 };
            lab.plug();
        },
    },
    Fault {
        name: "nospace",
        causes: &["no bandwidth left"],
        // As when its bus is reset, and another camera is quicker.
        inject: |lab| {
            lab.set("nospace");
            lab.plug();
        },
        heal: |lab| lab.clear("nospace"),
    },
];

fn main() {
    let (mut times, mut wanted) = (20, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--times" => times = arguments.next().and_then(|n| n.parse().ok()).expect("--times and a number"),
            _ => wanted.push(argument),
        }
    }
    let mut lab = Lab::new();
    println!("                 seen in, ms          back in, ms          MiB, descriptors, threads");
    println!(
        "fault     times  half, 99 %, all      half, 99 %, all      before        after         frames lost by the others"
    );
    let is_wanted = |name| wanted.is_empty() || wanted.iter().any(|other| other == name);
    if is_wanted("none") {
        lab.report("none", times, |lab| {
            lab.listen(Duration::from_secs(1));
            None
        });
    }
    for fault in FAULTS.iter().filter(|fault| is_wanted(fault.name)) {
        lab.report(fault.name, times, |lab| Some(lab.suffer(fault)));
    }
}

/// An agent with its cameras, and a receiver that counts.
struct Lab {
    bench: Bench,
    agent: Program,
    socket: zmq::Socket,
    film: String,
    /// Where the camera with the faults is plugged in.
    node: u32,
    /// Of each camera, the number of its last frame.
    last: [u64; 4],
    /// The others' frames that came, and those that had a number and did not.
    came: u64,
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
        let mut lab = Lab { bench, agent, socket, film, node: 0, last: [0; 4], came: 0, lost: 0 };
        lab.plug();
        // Everything has happened once before anything is measured.
        for fault in &FAULTS {
            lab.suffer(fault);
        }
        lab
    }

    /// Plugs the camera in, or out and in again.
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

    /// Gives how long it took until the status said the cause, and from the end of the fault to the next frame.
    fn suffer(&mut self, fault: &Fault) -> [Duration; 2] {
        self.until(&format!("frames before {}", fault.name), |message| message["camera"] == NAMES[0]);
        // At any moment of the agent's own turns.
        self.listen(Duration::from_millis(fastrand::u64(0..500)));
        let injected = Instant::now();
        (fault.inject)(self);
        self.until(fault.name, |message| {
            let camera = &message["cameras"][0];
            let said = camera["cause"].as_str().unwrap_or_default();
            camera["up"] == false && fault.causes.iter().any(|cause| said.starts_with(cause))
        });
        let seen = injected.elapsed();
        let (healed, taken) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        (fault.heal)(self);
        self.until(&format!("frames after {}", fault.name), |message| {
            message["camera"] == NAMES[0] && message["captured_at_us"].as_u64() >= Some(taken.as_micros() as u64)
        });
        [seen, healed.elapsed()]
    }

    fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.hear(end).is_some() {}
    }

    fn until(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let message =
                self.hear(end).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}\n{}", self.agent.log()));
            if matches(&message) {
                return message;
            }
        }
    }

    /// The next message's header, if one comes before the end.
    fn hear(&mut self, end: Instant) -> Option<Value> {
        let left = end.saturating_duration_since(Instant::now());
        self.socket.set_rcvtimeo(left.as_millis() as i32).expect("an option");
        let parts = self.socket.recv_multipart(0).ok()?;
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        if let Some(camera) = NAMES.iter().position(|name| header["camera"] == *name) {
            let seq = header["seq"].as_u64().expect("a number");
            assert!(seq > self.last[camera], "frame {seq} of {} after {}", NAMES[camera], self.last[camera]);
            if camera > 0 {
                self.came += 1;
                self.lost += seq - self.last[camera] - 1;
            }
            self.last[camera] = seq;
        }
        Some(header)
    }

    /// What the others have lost so far, by cause.
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

    fn held(&self) -> String {
        let memory = self.agent.memory() as f64 / f64::from(1 << 20);
        format!("{memory:.2}, {}, {}", self.agent.descriptors(), self.agent.threads())
    }

    fn report(&mut self, name: &str, times: usize, mut once: impl FnMut(&mut Lab) -> Option<[Duration; 2]>) {
        let (before, losses_before, came_before) = (self.held(), self.losses(), self.came);
        let all: Vec<[Duration; 2]> = (0..times).filter_map(|_| once(self)).collect();
        let (losses, came) = (self.losses(), self.came - came_before);
        // A camera that is back has one thread, and the one before it has ended.
        let threads = |held: &str| held.rsplit_once(' ').map(|(_, threads)| threads.to_owned());
        let after = eventually("no thread more", || Some(self.held()).filter(|held| threads(held) <= threads(&before)));
        let [seen, back] = [0, 1].map(|which| percentiles(all.iter().map(|pair| pair[which]).collect()));
        let lost: Vec<String> = losses
            .iter()
            .map(|(cause, count)| (cause, count - losses_before.get(cause).copied().unwrap_or_default()))
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| format!("{count} {cause}"))
            .collect();
        let lost = if lost.is_empty() { "none".to_owned() } else { lost.join(", ") };
        println!("{name:<9} {times:>5}  {seen:<20} {back:<20} {before:<13} {after:<13} {lost}, of {came}");
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "-".to_owned();
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis();
    format!("{}, {}, {}", at(0.5), at(0.99), at(1.0))
}
