//! A network that carries a fifth of the camera's data, shared by frames and readings.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use crate::harness::film::film_of;
use crate::harness::{Bench, Board, Program};
use crate::network::{Network, RECEIVER};
use crate::{age, print_row};

const RATE: &str = "2mbit";
const PORT: &str = "5561";

/// The interval between lines of the board.
const LINE_INTERVAL: Duration = Duration::from_millis(100);

/// Spooled readings when the receiver starts.
const BACKLOG: u32 = 400_000;
const LINE: &str = "t-25-h-60-mq2-312-light-540-mq9-120\n";

pub fn run(time: Duration) {
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        println!("\nThe slow network is skipped; it needs root.");
        return;
    }
    for backlog in [0, BACKLOG] {
        measure(time, backlog);
    }
}

fn measure(time: Duration, backlog: u32) {
    let (network, bench, mut board) = (Network::new(), Bench::new(), Board::new());
    network.limit(RATE);
    let (film, jpegs) = film_of(&bench, "film", 30, (1280, 960));
    bench.plug_camera_of(0, &format!("MJPG 1280x960 30 {}", film.display()));
    let address = format!("tcp://{RECEIVER}:{PORT}");
    let agent = start(
        &bench,
        &network,
        "a",
        &["run"],
        &format!(
            r#"
            camera = [{{ name = "c", source = "/dev/video0", size = "1280x960", fps = 30 }}]
            serial = [{{ name = "b", port = "{}" }}]
            link = [{{ pattern = "pair", connect = "{address}", plaintext = true }}]
            "#,
            board.path.display()
        ),
    );
    agent.wait_for_log("open at", "");
    board.write(b"\n");
    for _ in 0..backlog / 500 {
        board.write(LINE.repeat(100).as_bytes());
    }
    let receiver = start(
        &bench,
        &network,
        "r",
        &["receive", "--json"],
        &format!(
            "link = [{{ pattern = \"pair\", bind = \"{address}\", plaintext = true }}]\nweb.listen = \"127.0.0.1:0\""
        ),
    );
    let (mut frames, mut readings) = (Vec::new(), Vec::new());
    let mut backlog_messages = 0;
    let (mut lines, start) = (0_u32, Instant::now());
    while start.elapsed() < time {
        if start.elapsed() > LINE_INTERVAL * lines {
            lines += 1;
            board.write_line(&format!("n-{lines}"));
        }
        let Some(message) = receiver.find_json(|message| message["type"] != "status") else { continue };
        backlog_messages += receiver.out().matches("\"backlog\":true").count();
        receiver.clear_output();
        if message["type"] == "frame" {
            frames.push(age(&message));
        } else if message["backlog"] != true && start.elapsed() > Duration::from_secs(2) {
            readings.push(age(&message["batches"][0]));
        }
    }
    println!("\nThe same over {RATE}, frames of {} KiB, ten lines per second", jpegs[0].len() / 1024);
    if backlog > 0 {
        println!("and {backlog_messages} messages with spooled readings");
        print_row("pair, frames", &frames, [f64::MAX; 2]);
        print_row("pair, readings", &readings, [f64::MAX; 2]);
    } else {
        print_row("pair, frames", &frames, [f64::MAX, 1_000.0]);
        print_row("pair, readings", &readings, [f64::MAX, 200.0]);
    }
}

fn start(bench: &Bench, network: &Network, name: &str, arguments: &[&str], config: &str) -> Program {
    let path = bench.path(name);
    std::fs::write(&path, config).expect("a temporary file");
    let mut command = network.within(name);
    command
        .arg(env!("CARGO_BIN_EXE_watchpost"))
        .args(arguments)
        .arg("--config")
        .arg(path)
        .env("XDG_STATE_HOME", bench.path("state"));
    Program::start(bench.with_cameras(&mut command))
}
