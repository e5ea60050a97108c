//! Measures the age of frames at receipt on pair and dealer links. The receivers take five of a camera's thirty frames per
//! second, take all, or stop for a while. For comparison, one receiver sends no `seen`, so its frames wait in sockets.
//! Measures also how a flood of large frames delays another agent's frames at a receiver.
//!
//! `--seconds N` sets the time for each receiver, 60 by default; the stopped receiver takes twice as long. As root, it also
//! measures a receiver on a slow network.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;
#[path = "../../tests/endurance/network.rs"]
mod network;

mod flood;
mod slow_network;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::film::film_of;
use harness::{Bench, Program};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const RATE: u32 = 30;

/// How long a slow receiver processes a frame.
const SLOW_PROCESSING: Duration = Duration::from_millis(200);

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().map_or(60, |seconds| seconds.parse().expect("--seconds N"));
    let time = Duration::from_secs(seconds);
    println!("A camera of 640x480 at {RATE} frames per second; age of its frames at receipt, milliseconds\n");
    println!("{:<44}{:>8}{:>10}{:>10}{:>10}", "", "frames", "median", "p99", "max");
    for pattern in ["pair", "dealer"] {
        let p99 = 1e3 / f64::from(RATE) + 15.0;
        let ages = Endpoint::of(pattern).ages(time, SLOW_PROCESSING, true);
        print_row(&format!("{pattern}, takes 5 per second"), &ages, [f64::MAX, p99]);
    }
    for pattern in ["pair", "dealer"] {
        let ages = Endpoint::of(pattern).ages(time, Duration::ZERO, true);
        print_row(&format!("{pattern}, takes all"), &ages, [1.0, 5.0]);
    }
    let silent = Endpoint::of("pair").ages(time.min(Duration::from_secs(20)), SLOW_PROCESSING, false);
    print_row("pair, takes 5 per second, sends no seen", &silent, [f64::MAX; 2]);
    flood::run(time);
    slow_network::run(time);
    pause_receiver(time * 2);
}

/// The receiving endpoint of an agent's link.
struct Endpoint {
    socket: zmq::Socket,
    is_router: bool,
    _agent: Program,
    _bench: Bench,
}

impl Endpoint {
    fn of(pattern: &str) -> Endpoint {
        let is_router = pattern == "dealer";
        let socket = zmq::Context::new().socket(if is_router { zmq::ROUTER } else { zmq::PAIR }).expect("a socket");
        socket.bind("tcp://127.0.0.1:*").expect("a port");
        let address = socket.get_last_endpoint().expect("an address").expect("as text");
        let bench = with_camera();
        let agent = bench
            .agent(&format!("name = \"a\"\n{CAMERA}link = [{{ pattern = \"{pattern}\", connect = \"{address}\" }}]\n"));
        Endpoint { socket, is_router, _agent: agent, _bench: bench }
    }

    /// Returns the ages of the frames received in `time` after the first, with `processing` after each one. With `replies`, it
    /// sends `hello` and `seen`.
    fn ages(&self, time: Duration, processing: Duration, replies: bool) -> Vec<f64> {
        let (mut ages, mut end, mut greeted) = (Vec::new(), None, None);
        while end.is_none_or(|end| Instant::now() < end) {
            let mut parts = self.socket.recv_multipart(0).expect("a message");
            let peer = if self.is_router { parts.remove(0) } else { Vec::new() };
            let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
            if replies && greeted.is_none_or(|greeted: Instant| greeted.elapsed() > Duration::from_secs(1)) {
                greeted = Some(Instant::now());
                self.send(&peer, &json!({ "type": "hello", "v": 1, "window": 1 }));
            }
            if header["type"] == "frame" {
                ages.push(age(&header));
                end.get_or_insert_with(|| Instant::now() + time);
                sleep(processing);
                if replies {
                    let (camera, boot, seq) = (&header["camera"], &header["boot"], &header["seq"]);
                    self.send(&peer, &json!({ "type": "seen", "camera": camera, "boot": boot, "seq": seq }));
                }
            }
        }
        // Skip the first second, in which the connection settles.
        let first = ages.len() / time.as_secs().max(2) as usize;
        ages.split_off(first)
    }

    fn send(&self, peer: &[u8], control: &Value) {
        let control = control.to_string();
        let parts = if self.is_router { vec![peer, control.as_bytes()] } else { vec![control.as_bytes()] };
        self.socket.send_multipart(parts, 0).expect("the message is sent");
    }
}

const CAMERA: &str = "camera = [{ name = \"c\", source = \"/dev/video0\", size = \"640x480\", fps = 30 }]\n";

fn with_camera() -> Bench {
    let bench = Bench::new();
    let (film, _) = film_of(&bench, "film", 30, (640, 480));
    bench.plug_camera_of(0, &format!("MJPG 640x480 {RATE} {}", film.display()));
    bench
}

/// Returns the age of a frame in milliseconds. Both ends share one clock.
fn age(header: &Value) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_micros() as f64;
    (now - header["captured_at_us"].as_f64().expect("a number")) / 1e3
}

/// Prints the ages and compares them with the goals for median and p99, in milliseconds; `f64::MAX` stands for no goal.
fn print_row(name: &str, ages: &[f64], [median, p99]: [f64; 2]) {
    let mut ages = ages.to_vec();
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    let verdict = match (median, p99) {
        (f64::MAX, f64::MAX) => String::new(),
        (f64::MAX, p99) => format!("   goal: p99 {p99:.1}, {}", verdict(at(0.99) <= p99)),
        (median, p99) => {
            let is_reached = at(0.5) <= median && at(0.99) <= p99;
            format!("   goal: median {median:.1}, p99 {p99:.1}, {}", verdict(is_reached))
        }
    };
    println!("{name:<44}{:>8}{:>10.2}{:>10.2}{:>10.2}{verdict}", ages.len(), at(0.5), at(0.99), at(1.0));
}

fn verdict(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "missed" }
}

/// Pauses one of an agent's two receivers for `time`.
fn pause_receiver(time: Duration) {
    let (bench, receivers) = (with_camera(), [Bench::new(), Bench::new()]);
    let [slow, other] = receivers.each_ref().map(Bench::pair_receiver);
    let agent = bench.agent(&format!(
        "name = \"a\"\n{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}, {{ pattern = \"pair\", connect = \"{}\" }}]\n",
        slow.link, other.link
    ));
    let is_frame = |message: &Value| message["type"] == "frame";
    let seq = |receiver: &Program| {
        receiver.clear_output();
        receiver.wait_for_json("a frame", is_frame)["seq"].as_u64().expect("a number")
    };
    for _ in 0..RATE {
        seq(&slow.program);
    }
    let (memory, start, first) = (agent.memory(), Instant::now(), seq(&other.program));
    slow.program.signal(Signal::SIGSTOP);
    sleep(time);
    let rate = (seq(&other.program) - first) as f64 / start.elapsed().as_secs_f64();
    let more = agent.memory().saturating_sub(memory) as f64 / MIB;
    slow.program.clear_output();
    slow.program.signal(Signal::SIGCONT);
    let resumed = Instant::now();
    let mut ages = Vec::new();
    while resumed.elapsed() < Duration::from_secs(10) {
        let header = slow.program.wait_for_json("a frame", is_frame);
        slow.program.clear_output();
        ages.push((resumed.elapsed(), age(&header)));
    }
    let fresh = ages.iter().rposition(|(_, age)| *age > 100.0).map_or(Duration::ZERO, |last| ages[last].0);
    println!(
        "\nA receiver paused for {} s: the agent grew by {more:.2} MiB (goal: below 4) and the other link carried {rate:.1}\n\
         frames per second. After the pause, frames were younger than 100 ms again within {:.2} s (goal: 2)",
        time.as_secs(),
        fresh.as_secs_f64()
    );
}
