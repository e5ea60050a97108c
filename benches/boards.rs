//! What a flood of lines costs the whole agent, beside a script that reads with pyserial; what it does to another port;
//! and how fast a board is back that comes as another device, 500 times over. `script/setup test` installs the script's
//! packages.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use harness::{Bench, Board, Program, peer};
use serde_json::{Value, json};

/// What boards write, and how many readings that is.
const LINES: [(&str, u64); 2] = [("t-25-h-60\n", 2), ("mq2-312-light-540-mq9-120\n", 3)];
const FLOOD_BYTES_A_SECOND: f64 = 1e6;
const FLOODED: Duration = Duration::from_secs(10);
const TURNS: usize = 500;

fn main() {
    for (line, readings) in LINES {
        println!("1 MB/s of {line:?}");
        let watchpost = flood_watchpost(line, readings);
        let pyserial = flood_pyserial(line);
        println!("  pyserial: {pyserial:.1} µs a line, {:.0} times as much (wanted: 40)", pyserial / watchpost);
    }
    repoint();
}

/// A receiver that takes messages and acknowledges them; gives when each reading of the port "calm" came.
fn sink(socket: &zmq::Socket, end: &AtomicBool, readings: &AtomicU64, calm: &Sender<(u64, Instant)>) {
    socket.set_rcvtimeo(100).expect("an option");
    let mut greeted = None::<Instant>;
    while !end.load(Relaxed) {
        if greeted.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            greeted = Some(Instant::now());
            // Before anybody is there it cannot be said.
            let _ = socket.send(r#"{"type":"hello","v":1,"window":1,"acks":true}"#, zmq::DONTWAIT);
        }
        let Ok(parts) = socket.recv_multipart(0) else { continue };
        if !parts[0].starts_with(b"readings/") {
            continue;
        }
        let count = parts[1].windows(11).filter(|bytes| bytes == b"\"quantity\":").count();
        readings.fetch_add(count as u64, Relaxed);
        let came = Instant::now();
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
                    // Nobody who listens is the end.
                    let _ = calm.send((reading["value"].as_f64().expect("a number") as u64, came));
                }
            }
        }
    }
}

/// Writes lines at 1 MB/s, or as fast as they are read; gives how many.
fn flood(board: &mut Board, line: &str) -> u64 {
    let block = line.repeat(100);
    let (start, mut written) = (Instant::now(), 0);
    while start.elapsed() < FLOODED {
        if (written as f64) < start.elapsed().as_secs_f64() * FLOOD_BYTES_A_SECOND {
            board.write(block.as_bytes());
            written += block.len() as u64;
        } else {
            sleep(Duration::from_millis(1));
        }
    }
    written / line.len() as u64
}

/// Microseconds of CPU a line.
fn flood_watchpost(line: &str, of_line: u64) -> f64 {
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
    agent.logs("flooding", "open at");
    agent.logs("calm", "open at");
    let (end, readings, (came, comes)) = (&AtomicBool::new(false), &AtomicU64::new(0), channel());
    scope(|scope| {
        scope.spawn(move || sink(&socket, end, readings, &came));
        let calm = scope.spawn(move || speak_calmly(&mut calm, end, &comes));
        let before = agent.cpu_seconds();
        let lines = flood(&mut flooding, line);
        harness::eventually("all readings", || (readings.load(Relaxed) > of_line * lines).then_some(()));
        let used = (agent.cpu_seconds() - before) / lines as f64 * 1e6;
        end.store(true, Relaxed);
        let mut late = calm.join().expect("no panic");
        println!("  watchpost: {used:.2} µs a line, {} lines a second", lines / FLOODED.as_secs());
        println!("  another port's readings meanwhile: {} (wanted: all within 200 ms)", percentiles(&mut late));
        used
    })
}

/// Says a line every 50 ms; gives how long each took to come.
fn speak_calmly(board: &mut Board, end: &AtomicBool, comes: &Receiver<(u64, Instant)>) -> Vec<Duration> {
    let mut late = Vec::new();
    let mut number = 0;
    while !end.load(Relaxed) {
        number += 1;
        let said = Instant::now();
        board.say(&format!("x-{number}"));
        match comes.recv_timeout(Duration::from_secs(10)) {
            Ok((value, came)) if value == number => late.push(came - said),
            other => panic!("line {number} did not come: {other:?}"),
        }
        sleep(Duration::from_millis(50));
    }
    late
}

fn flood_pyserial(line: &str) -> f64 {
    let mut board = Board::new();
    let reader = peer("serial_reader.py", &[board.path.to_str().expect("UTF-8")]);
    reader.says("it is open", |line| (line == "open").then_some(()));
    let before = reader.cpu_seconds();
    let lines = flood(&mut board, line);
    (reader.cpu_seconds() - before) / lines as f64 * 1e6
}

fn repoint() {
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
    agent.logs("no such port", "");
    let (start, before, descriptors) = (Instant::now(), agent.cpu_seconds(), agent.descriptors());
    let mut back: Vec<Duration> = (0..TURNS)
        .map(|turn| {
            let plugged = Instant::now();
            let mut board = bench.plug_board("by-id");
            receiver.program.forget();
            harness::eventually("its reading", || {
                board.say(&format!("t-{turn}"));
                receiver.program.out().contains(&format!("\"value\":{turn}.0,")).then_some(())
            });
            plugged.elapsed()
        })
        .collect();
    let used = (agent.cpu_seconds() - before) / start.elapsed().as_secs_f64() * 100.0;
    harness::eventually("the port is closed", || (agent.descriptors() <= descriptors).then_some(()));
    println!("back under its link, {TURNS} times: {} (wanted: 99 % within 2 s)", percentiles(&mut back));
    println!("meanwhile: {used:.1} % of a CPU (wanted: 5), no descriptor more than before");
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("half within {:.1?}, 99 % within {:.1?}, all within {:.1?}", at(0.5), at(0.99), at(1.0))
}
