//! How late frames are at the peer of an encrypted link while others, who may not come, do what they can at its port.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Bench, Shows};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

/// Each is looked at so often, in turns, and for so long each time: 6,000 frames in all.
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(10);

const SILENT: usize = 1000;
const GARBAGE: Duration = Duration::from_millis(10);

/// What it is called, and what it does until it is to stop.
type Disturber<'a> = (&'a str, &'a (dyn Fn(&AtomicBool) + Sync));

fn main() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(4096), most).expect("a limit");
    let bench = Bench::new();
    bench.allow("pi");
    let agent = bench.agent(&format!(
        "camera = [{{ name = \"door\", source = \"pattern\", fps = 100 }}]\n\
         link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {} }}]",
        bench.server("hub")
    ));
    let address = agent.logs("bound at ", "");
    let good = bench.raw(zmq::SUB, &address, &Shows::Key("pi", "hub"));
    let disturbers: [Disturber; 4] = [
        ("nobody else", &|_| {}),
        ("1,000 connections that say nothing", &|stop| say_nothing(&address, stop)),
        ("garbage, 100 times a second", &|stop| say_garbage(&address, stop)),
        ("30 with a wrong key, an unlisted one or none", &|stop| show_wrong_keys(&bench, &address, stop)),
    ];
    let mut delays = disturbers.map(|_| Vec::new());
    for _ in 0..TURNS {
        for ((_, disturb), delays) in disturbers.iter().zip(&mut delays) {
            let stop = AtomicBool::new(false);
            scope(|scope| {
                scope.spawn(|| disturb(&stop));
                delays.extend(listen(&good));
                stop.store(true, Ordering::Relaxed);
            });
        }
    }
    println!("frames of 640x480, 100 a second, encrypted, to one good peer, and beside it:");
    let alone = percentile(&mut delays[0], 0.99);
    for ((name, _), delays) in disturbers.iter().zip(&mut delays) {
        let (half, most) = (percentile(delays, 0.5), percentile(delays, 0.99));
        let ratio = most.as_secs_f64() / alone.as_secs_f64();
        println!("  {name:<46} half within {half:>6.2?}, 99 % within {most:>6.2?}: {ratio:.2} (wanted: at most 2)");
    }
}

/// How late the frames of a turn are.
fn listen(good: &zmq::Socket) -> Vec<Duration> {
    let end = Instant::now() + TURN;
    let mut delays = Vec::new();
    while Instant::now() < end {
        let parts = good.recv_multipart(0).expect("a message");
        if !parts[0].starts_with(b"frame/") {
            continue;
        }
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        let captured = Duration::from_micros(header["captured_at_us"].as_u64().expect("a time"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        delays.push(now.saturating_sub(captured));
    }
    delays
}

fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.trim_start_matches("tcp://")).expect("a connection")
}

/// As many as there are to be, at any time: those that were closed are opened again.
fn say_nothing(address: &str, stop: &AtomicBool) {
    let open = || {
        let socket = connect(address);
        socket.set_nonblocking(true).expect("an option");
        socket
    };
    // The greeting of the agent's side comes first, in pieces.
    let is_closed = |mut socket: &TcpStream| match socket.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    let mut sockets: Vec<TcpStream> = (0..SILENT).map(|_| open()).collect();
    while !stop.load(Ordering::Relaxed) {
        sockets.retain(|socket| !is_closed(socket));
        sockets.resize_with(SILENT, open);
        sleep(Duration::from_millis(50));
    }
}

fn say_garbage(address: &str, stop: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(1);
    while !stop.load(Ordering::Relaxed) {
        let garbage: Vec<u8> = (0..4096).map(|_| random.u8(..)).collect();
        // It may be cut off before it has said all.
        let _ = connect(address).write_all(&garbage);
        sleep(GARBAGE);
    }
}

/// They try again and again by themselves.
fn show_wrong_keys(bench: &Bench, address: &str, stop: &AtomicBool) {
    let shown = [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")];
    let sockets: Vec<zmq::Socket> =
        (0..30).map(|number| bench.raw(zmq::SUB, address, &shown[number % shown.len()])).collect();
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50));
    }
    for socket in &sockets {
        assert_eq!(socket.recv_multipart(zmq::DONTWAIT), Err(zmq::Error::EAGAIN), "a stranger got a message");
    }
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize]
}
