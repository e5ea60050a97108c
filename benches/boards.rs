//! Measures the CPU cost of a flood of lines, compared with a pyserial script, and the delay of another port's readings
//! meanwhile. Then measures how fast a board's readings return when it reappears as another device, 500 times.
//! `script/setup test` installs pyserial.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use harness::{Bench, Board, Program, peer};
use serde_json::{Value, json};

/// Lines that boards send, and the number of readings in each.
const LINES: [(&str, u64); 2] = [("t-25-h-60\n", 2), ("mq2-312-light-540-mq9-120\n", 3)];
const FLOOD_BYTES_PER_SECOND: f64 = 1e6;
const FLOOD_DURATION: Duration = Duration::from_secs(10);
const REPLUGS: usize = 500;

fn main() {
    for (line, readings) in LINES {
        println!("1 MB/s of {line:?}");
        let watchpost = flood_watchpost(line, readings);
        let pyserial = flood_pyserial(line);
        println!("  pyserial: {pyserial:.1} µs per line, {:.0} times as much (goal: 40)", pyserial / watchpost);
    }
    replug();
}

/// Receives and acknowledges messages; sends each reading of the port "calm" and its arrival time to `calm`.
fn receive(socket: &zmq::Socket, end: &AtomicBool, readings: &AtomicU64, calm: &Sender<(u64, Instant)>) {
    socket.set_rcvtimeo(100).expect("an option");
    let mut greeted = None::<Instant>;
    while !end.load(Relaxed) {
        if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            greeted = Some(Instant::now());
            // Fails until the agent has connected.
            let _ = socket.send(r#"{"type":"hello","v":1,"window":1,"acks":true}"#, zmq::DONTWAIT);
        }
        let Ok(parts) = socket.recv_multipart(0) else { continue };
        if !parts[0].starts_with(b"readings/") {
            continue;
        }
        let count = parts[1].windows(11).filter(|bytes| bytes == b"\"quantity\":").count();
        readings.fetch_add(count as u64, Relaxed);
        let arrival = Instant::now();
        let message: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        for batch in message["batches"].as_array().expect("a list") {
            let first = batch["seq"].as_u64().expect("a number");
            let last = first + batch["values"].as_array().expect("a list").len() as u64 - 1;
            let ack = json!({ "type": "ack", "boot": message["boot"], "first": first, "seq": last });
            socket.send(&*ack.to_string(), 0).expect("the agent takes it");
        }
        if parts[1].windows(6).any(|bytes| bytes == b"\"calm\"") {
            for reading in harness::readings(&message) {
                if reading["port"] == "calm" {
                    // Fails only at the end, when nothing reads the channel any more.
                    let _ = calm.send((reading["value"].as_f64().expect("a number") as u64, arrival));
                }
            }
        }
    }
}

/// Writes lines at 1 MB/s, or as fast as the reader takes them; returns the number of lines.
fn flood(board: &mut Board, line: &str) -> u64 {
    let block = line.repeat(100);
    let (start, mut written) = (Instant::now(), 0);
    while start.elapsed() < FLOOD_DURATION {
        if (written as f64) < start.elapsed().as_secs_f64() * FLOOD_BYTES_PER_SECOND {
            board.write(block.as_bytes());
            written += block.len() as u64;
        } else {
            sleep(Duration::from_millis(1));
        }
    }
    written / line.len() as u64
}

/// Returns microseconds of CPU per line.
fn flood_watchpost(line: &str, readings_per_line: u64) -> f64 {
    let bench = Bench::new();
    let (mut flooding, mut calm) = (Board::new(), Board::new());
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.bind("tcp://127.0.0.1:*").expect("a free port");
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ name = "flooding", port = "{}" }}, {{ name = "calm", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        flooding.path.display(),
        calm.path.display(),
        socket.get_last_endpoint().expect("bound").expect("an address")
    ));
    agent.wait_for_log("flooding", "open at");
    agent.wait_for_log("calm", "open at");
    let (end, readings, (sender, arrivals)) = (&AtomicBool::new(false), &AtomicU64::new(0), channel());
    scope(|scope| {
        scope.spawn(move || receive(&socket, end, readings, &sender));
        let calm = scope.spawn(move || send_calmly(&mut calm, end, &arrivals));
        let before = agent.cpu_seconds();
        let lines = flood(&mut flooding, line);
        harness::eventually("all readings", || (readings.load(Relaxed) > readings_per_line * lines).then_some(()));
        let used = (agent.cpu_seconds() - before) / lines as f64 * 1e6;
        end.store(true, Relaxed);
        let mut delays = calm.join().expect("no panic");
        println!("  watchpost: {used:.2} µs per line, {} lines per second", lines / FLOOD_DURATION.as_secs());
        println!("  delay of another port's readings: {} (goal: max 200 ms)", percentiles(&mut delays));
        used
    })
}

/// Sends a line every 50 ms; returns how long each took to arrive.
fn send_calmly(board: &mut Board, end: &AtomicBool, arrivals: &Receiver<(u64, Instant)>) -> Vec<Duration> {
    let mut delays = Vec::new();
    let mut number = 0;
    while !end.load(Relaxed) {
        number += 1;
        let sent = Instant::now();
        board.write_line(&format!("x-{number}"));
        match arrivals.recv_timeout(Duration::from_secs(10)) {
            Ok((value, arrival)) if value == number => delays.push(arrival - sent),
            other => panic!("line {number} did not arrive: {other:?}"),
        }
        sleep(Duration::from_millis(50));
    }
    delays
}

/// Returns microseconds of CPU per line.
fn flood_pyserial(line: &str) -> f64 {
    let mut board = Board::new();
    let reader = peer("serial_reader.py", &[board.path.to_str().expect("UTF-8")]);
    reader.wait_for_line("the port is open", |line| (line == "open").then_some(()));
    let before = reader.cpu_seconds();
    let lines = flood(&mut board, line);
    (reader.cpu_seconds() - before) / lines as f64 * 1e6
}

/// Unplugs the board and plugs it in as another device, again and again.
fn replug() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent: Program = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        bench.path("by-id").display(),
        receiver.link
    ));
    agent.wait_for_log("no such port", "");
    let (start, before, descriptors) = (Instant::now(), agent.cpu_seconds(), agent.descriptors());
    let mut recoveries: Vec<Duration> = (0..REPLUGS)
        .map(|value| {
            let plugged = Instant::now();
            let mut board = bench.plug_board("by-id");
            receiver.program.clear_output();
            harness::eventually("its reading", || {
                board.write_line(&format!("t-{value}"));
                receiver.program.out().contains(&format!("\"value\":{value}.0,")).then_some(())
            });
            plugged.elapsed()
        })
        .collect();
    let used = (agent.cpu_seconds() - before) / start.elapsed().as_secs_f64() * 100.0;
    harness::eventually("the port is closed", || (agent.descriptors() <= descriptors).then_some(()));
    println!("readings after a replug, {REPLUGS} times: {} (goal: p99 2 s)", percentiles(&mut recoveries));
    println!("meanwhile: {used:.1} % of a CPU (goal: 5), no additional descriptor");
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("median {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(1.0))
}
