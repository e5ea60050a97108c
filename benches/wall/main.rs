//! Measures the cost of receiving sixteen cameras, recording all their frames and showing them to four viewers, and the age of
//! frames at the viewers. Compares it with imagezmq's hub, which stores each frame as a file and shows nothing.
//!
//! `--seconds N` sets the time for each of the two; 30 by default.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod senders;
mod viewers;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::installed::peers_python;
use harness::{Bench, Program, free_port};
use senders::{CAMERAS, RATE, Senders};

const VIEWERS: usize = 4;
const MIB: f64 = 1024.0 * 1024.0;

/// Time from the first frames to the first measured frame.
const WARM_UP: Duration = Duration::from_secs(3);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().map_or(30, |seconds| seconds.parse().expect("--seconds N"));
    let time = Duration::from_secs(seconds);
    let pictures = senders::pictures();
    let size = pictures.iter().map(Vec::len).sum::<usize>() / pictures.len();
    println!("{CAMERAS} cameras of 640x480 at {RATE} frames per second of {} KiB, {seconds} s\n", size / 1024);

    let bench = Bench::new();
    let receiver = receiver(&bench);
    let senders = Senders::dealers(&format!("tcp://{}", receiver.wait_for_log("link tcp://", ": open")), &pictures);
    let viewers = viewers::start(&receiver.wait_for_log("the page is at http://", "/"), VIEWERS);
    let own = measure(&receiver, &senders, time);
    let mut ages = viewers.stop();
    drop(senders);
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    println!("watchpost, recording, {VIEWERS} viewers   {own}");
    println!(
        "  frames at a viewer: {:.0} per second; age: median {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        ages.len() as f64 / VIEWERS as f64 / (time + WARM_UP).as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );

    println!("  recorded: {:.0} MiB", size_of(&bench.path("footage")) as f64 / MIB);

    let (bench, port) = (Bench::new(), free_port());
    let hub = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/wall/hub.py");
    let address = format!("tcp://127.0.0.1:{port}");
    let hub = Program::start(peers_python().arg(hub).arg(&address).arg(bench.path("files")));
    hub.wait_for_line("its port", |line| (line == "bound").then_some(()));
    let senders = Senders::hubs(&address, &pictures);
    let python = measure(&hub, &senders, time);
    println!("imagezmq's hub, one file per frame    {python}");

    println!("\nGoals");
    verdict("CPU, of one core", 1.0, own.cpu);
    verdict("memory, MiB", 200.0, own.memory);
    verdict("age at a viewer, p99, ms", 100.0, at(0.99));
    println!("CPU per frame, compared to the hub: {:.2}", own.cpu_per_frame() / python.cpu_per_frame());
}

/// A receiver as users run it, without `--json` and `--save`.
fn receiver(bench: &Bench) -> Program {
    let config = bench.path("receiver.toml");
    let link = "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&config, format!("{link}[record]\ndir = \"{}\"\n", bench.path("footage").display()))
        .expect("a file");
    Program::start(bench.watchpost("receive").arg("--config").arg(config))
}

/// The total size of all files below a directory, in bytes.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { size_of(&path) } else { path.metadata().map_or(0, |file| file.len()) }).sum()
}

fn verdict(what: &str, limit: f64, value: f64) {
    println!("{what}: {value:.2}, goal {limit}: {}", if value <= limit { "reached" } else { "missed" });
}

/// What a program used.
struct Usage {
    /// Share of one core.
    cpu: f64,
    /// Frames per second sent to the program.
    rate: f64,
    /// Memory at the end, in MiB.
    memory: f64,
}

impl Usage {
    /// Milliseconds of CPU per frame.
    fn cpu_per_frame(&self) -> f64 {
        self.cpu * 1e3 / self.rate
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, cpu, memory) = (self.rate, self.cpu, self.memory);
        write!(
            f,
            "{rate:>6.1} frames/s  {:>6.3} ms CPU per frame  {cpu:.2} of a core  {memory:>6.1} MiB",
            self.cpu_per_frame()
        )
    }
}

fn measure(program: &Program, senders: &Senders, time: Duration) -> Usage {
    harness::eventually("its first frames", || (senders.sent() > 0).then_some(()));
    sleep(WARM_UP);
    let (start, sent, cpu) = (Instant::now(), senders.sent(), program.cpu_seconds());
    sleep(time);
    let elapsed = start.elapsed().as_secs_f64();
    Usage {
        cpu: (program.cpu_seconds() - cpu) / elapsed,
        rate: (senders.sent() - sent) as f64 / elapsed,
        memory: program.memory() as f64 / MIB,
    }
}
