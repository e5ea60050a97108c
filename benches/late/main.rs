//! How old frames are when they arrive: at a receiver that takes five a second of a camera's thirty, at one that takes all,
//! and at one that was stopped meanwhile, on pair and dealer links; beside a receiver that does not say what it has seen,
//! whose frames wait in sockets.
//!
//! `--seconds N` for each, 60 if nothing is said, and as long as twice that for the one that is stopped. For root there is
//! a receiver at the end of a narrow network, too.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;
#[path = "../../tests/endurance/network.rs"]
mod network;

mod narrow;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::film::film_of;
use harness::{Bench, Program};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const RATE: u32 = 30;

/// What a slow receiver does between two frames.
const SLOW: Duration = Duration::from_millis(200);

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().map_or(60, |seconds| seconds.parse().expect("--seconds N"));
    let time = Duration::from_secs(seconds);
    println!("A camera of 640x480 at {RATE} frames a second; the age of its frames at receipt, milliseconds\n");
    println!("{:<44}{:>8}{:>10}{:>10}{:>10}", "", "frames", "half", "99 %", "all");
    for pattern in ["pair", "dealer"] {
        let most = 1e3 / f64::from(RATE) + 15.0;
        row(&format!("{pattern}, takes 5 a second"), &End::of(pattern).ages(time, SLOW, true), [f64::MAX, most]);
    }
    for pattern in ["pair", "dealer"] {
        row(&format!("{pattern}, takes all"), &End::of(pattern).ages(time, Duration::ZERO, true), [1.0, 5.0]);
    }
    let silent = End::of("pair").ages(time.min(Duration::from_secs(20)), SLOW, false);
    row("pair, takes 5 a second and does not say so", &silent, [f64::MAX; 2]);
    narrow::narrow(time);
    stopped(time * 2);
}

/// The end of a link that the agent of a bench is connected to.
struct End {
    socket: zmq::Socket,
    is_router: bool,
    _agent: Program,
    _bench: Bench,
}

impl End {
    fn of(pattern: &str) -> End {
        let is_router = pattern == "dealer";
        let socket = zmq::Context::new().socket(if is_router { zmq::ROUTER } else { zmq::PAIR }).expect("a socket");
        socket.bind("tcp://127.0.0.1:*").expect("a port");
        let address = socket.get_last_endpoint().expect("an address").expect("as text");
        let bench = with_camera();
        let agent = bench
            .agent(&format!("name = \"a\"\n{CAMERA}link = [{{ pattern = \"{pattern}\", connect = \"{address}\" }}]\n"));
        End { socket, is_router, _agent: agent, _bench: bench }
    }

    /// The ages of the frames that it takes in `time`, once they flow, where each keeps it busy for so long.
    fn ages(&self, time: Duration, busy: Duration, says: bool) -> Vec<f64> {
        let (mut ages, mut end, mut greeted) = (Vec::new(), None, None);
        while end.is_none_or(|end| Instant::now() < end) {
            let mut parts = self.socket.recv_multipart(0).expect("a message");
            let peer = if self.is_router { parts.remove(0) } else { Vec::new() };
            let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
            if says && greeted.is_none_or(|greeted: Instant| greeted.elapsed() > Duration::from_secs(1)) {
                greeted = Some(Instant::now());
                self.say(&peer, &json!({ "type": "hello", "v": 1, "window": 1 }));
            }
            if header["type"] == "frame" {
                ages.push(age(&header));
                end.get_or_insert_with(|| Instant::now() + time);
                sleep(busy);
                if says {
                    let (camera, boot, seq) = (&header["camera"], &header["boot"], &header["seq"]);
                    self.say(&peer, &json!({ "type": "seen", "camera": camera, "boot": boot, "seq": seq }));
                }
            }
        }
        // The first second's are those of a connection that begins.
        let first = ages.len() / time.as_secs().max(2) as usize;
        ages.split_off(first)
    }

    fn say(&self, peer: &[u8], control: &Value) {
        let control = control.to_string();
        let parts = if self.is_router { vec![peer, control.as_bytes()] } else { vec![control.as_bytes()] };
        self.socket.send_multipart(parts, 0).expect("it is sent");
    }
}

const CAMERA: &str = "camera = [{ name = \"c\", source = \"/dev/video0\", size = \"640x480\", fps = 30 }]\n";

fn with_camera() -> Bench {
    let bench = Bench::new();
    let (film, _) = film_of(&bench, "film", 30, (640, 480));
    bench.plug_camera_of(0, &format!("MJPG 640x480 {RATE} {}", film.display()));
    bench
}

/// Milliseconds. Both ends have one clock.
fn age(header: &Value) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_micros() as f64;
    (now - header["captured_at_us"].as_f64().expect("a number")) / 1e3
}

fn row(what: &str, ages: &[f64], [half, most]: [f64; 2]) {
    let mut ages = ages.to_vec();
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    let verdict = match (half, most) {
        (f64::MAX, f64::MAX) => String::new(),
        (f64::MAX, most) => format!("   wanted: 99 % {most:.1}, {}", is(at(0.99) <= most)),
        (half, most) => {
            format!("   wanted: half {half:.1}, 99 % {most:.1}, {}", is(at(0.5) <= half && at(0.99) <= most))
        }
    };
    println!("{what:<44}{:>8}{:>10.2}{:>10.2}{:>10.2}{verdict}", ages.len(), at(0.5), at(0.99), at(1.0));
}

fn is(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

/// One of an agent's two receivers is stopped for some time.
fn stopped(time: Duration) {
    let (bench, receivers) = (with_camera(), [Bench::new(), Bench::new()]);
    let [slow, other] = receivers.each_ref().map(Bench::pair_receiver);
    let agent = bench.agent(&format!(
        "name = \"a\"\n{CAMERA}link = [{{ pattern = \"pair\", connect = \"{}\" }}, {{ pattern = \"pair\", connect = \"{}\" }}]\n",
        slow.link, other.link
    ));
    let is_frame = |message: &Value| message["type"] == "frame";
    let seq = |receiver: &Program| {
        receiver.forget();
        receiver.says_json("a frame", is_frame)["seq"].as_u64().expect("a number")
    };
    for _ in 0..RATE {
        seq(&slow.program);
    }
    let (memory, start, first) = (agent.memory(), Instant::now(), seq(&other.program));
    slow.program.signal(Signal::SIGSTOP);
    sleep(time);
    let rate = (seq(&other.program) - first) as f64 / start.elapsed().as_secs_f64();
    let more = agent.memory().saturating_sub(memory) as f64 / MIB;
    slow.program.forget();
    slow.program.signal(Signal::SIGCONT);
    let awake = Instant::now();
    let mut ages = Vec::new();
    while awake.elapsed() < Duration::from_secs(10) {
        let header = slow.program.says_json("a frame", is_frame);
        slow.program.forget();
        ages.push((awake.elapsed(), age(&header)));
    }
    let fresh = ages.iter().rposition(|(_, age)| *age > 100.0).map_or(Duration::ZERO, |last| ages[last].0);
    println!(
        "\nA receiver that is stopped for {} s: the agent grew by {more:.2} MiB (wanted: below 4), the other link had {rate:.1}\n\
         frames a second; going on, no frame was older than 100 ms after {:.2} s (wanted: 2)",
        time.as_secs(),
        fresh.as_secs_f64()
    );
}
