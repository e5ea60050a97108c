//! Measures how late frames reach the peer of an encrypted link while unauthorized peers disturb its port.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::harness::{Bench, Shows};
use crate::percentile;

/// How long one turn of a disturbance lasts: 1,000 frames.
const TURN: Duration = Duration::from_secs(10);

const SILENT_CONNECTIONS: usize = 1000;
const GARBAGE_INTERVAL: Duration = Duration::from_millis(10);

/// Open files that the connections need.
const OPEN_FILES: u64 = 4096;

/// The name of a disturbance, and a function that disturbs until the flag is set.
type Disturber<'a> = (&'a str, &'a (dyn Fn(&AtomicBool) + Sync));

/// Runs each disturbance for `turns` turns, alternating between them, and prints the delays.
pub fn run(turns: u32) {
    let (_, hard_limit) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard_limit.min(OPEN_FILES), hard_limit).expect("a limit");
    let bench = Bench::new();
    bench.allow("pi");
    let agent = bench.agent(&format!(
        "camera = [{{ name = \"door\", source = \"pattern\", fps = 100 }}]\n\
         link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {} }}]",
        bench.server("hub")
    ));
    let address = agent.wait_for_log("bound to ", "");
    let good = bench.raw(zmq::SUB, &address, &Shows::Key("pi", "hub"));
    let disturbers: [Disturber; 4] = [
        ("no other peer", &|_| {}),
        ("1,000 silent connections", &|stop| stay_silent(&address, stop)),
        ("garbage, 100 times a second", &|stop| send_garbage(&address, stop)),
        ("30 peers with a wrong, unlisted or no key", &|stop| show_wrong_keys(&bench, &address, stop)),
    ];
    let mut delays = disturbers.map(|_| Vec::new());
    for _ in 0..turns {
        for ((_, disturb), delays) in disturbers.iter().zip(&mut delays) {
            let stop = AtomicBool::new(false);
            scope(|scope| {
                scope.spawn(|| disturb(&stop));
                delays.extend(listen(&good));
                stop.store(true, Ordering::Relaxed);
            });
        }
    }
    println!("frames of 640x480, 100 a second, encrypted, to one authorized peer; also connected:");
    for delays in &mut delays {
        delays.sort();
    }
    let undisturbed = percentile(&delays[0], 0.99);
    for ((name, _), delays) in disturbers.iter().zip(&delays) {
        let (median, p99) = (percentile(delays, 0.5), percentile(delays, 0.99));
        let ratio = p99.as_secs_f64() / undisturbed.as_secs_f64();
        println!("  {name:<46} median {median:>6.2?}, p99 {p99:>6.2?}, ratio {ratio:.2} (goal: at most 2)");
    }
}

/// Returns the delays of the frames of one turn.
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

/// Keeps silent connections open, and replaces those that the agent closes.
fn stay_silent(address: &str, stop: &AtomicBool) {
    let open = || {
        let socket = connect(address);
        socket.set_nonblocking(true).expect("an option");
        socket
    };
    // The agent's ZeroMQ greeting arrives first, in pieces.
    let is_closed = |mut socket: &TcpStream| match socket.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    let mut sockets: Vec<TcpStream> = (0..SILENT_CONNECTIONS).map(|_| open()).collect();
    while !stop.load(Ordering::Relaxed) {
        sockets.retain(|socket| !is_closed(socket));
        sockets.resize_with(SILENT_CONNECTIONS, open);
        sleep(Duration::from_millis(50));
    }
}

fn send_garbage(address: &str, stop: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(1);
    while !stop.load(Ordering::Relaxed) {
        let garbage: Vec<u8> = (0..4096).map(|_| random.u8(..)).collect();
        // The agent may close the connection before everything is sent.
        let _ = connect(address).write_all(&garbage);
        sleep(GARBAGE_INTERVAL);
    }
}

/// Connects peers without permission; libzmq keeps retrying their handshakes.
fn show_wrong_keys(bench: &Bench, address: &str, stop: &AtomicBool) {
    let shown = [Shows::Nothing, Shows::Strange("hub"), Shows::Key("pi", "other")];
    let sockets: Vec<zmq::Socket> =
        (0..30).map(|number| bench.raw(zmq::SUB, address, &shown[number % shown.len()])).collect();
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50));
    }
    for socket in &sockets {
        assert_eq!(socket.recv_multipart(zmq::DONTWAIT), Err(zmq::Error::EAGAIN), "an unauthorized peer got a message");
    }
}
