//! What it costs to receive sixteen cameras, to record all of their frames and to show them to four viewers, and how old
//! frames are when a viewer has them; beside imagezmq's hub that stores each frame as a file and shows nothing.
//!
//! `--seconds N` for each, 30 if nothing is said.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
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

/// From the first frames to the first that counts.
const WARM_UP: Duration = Duration::from_secs(3);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().map_or(30, |seconds| seconds.parse().expect("--seconds N"));
    let time = Duration::from_secs(seconds);
    let pictures = senders::pictures();
    let size = pictures.iter().map(Vec::len).sum::<usize>() / pictures.len();
    println!("{CAMERAS} cameras of 640x480 at {RATE} frames a second of {} KiB, {seconds} s\n", size / 1024);

    let bench = Bench::new();
    let receiver = receiver(&bench);
    let senders = Senders::dealers(&format!("tcp://{}", receiver.logs("link tcp://", ": open")), &pictures);
    let viewers = viewers::start(&receiver.logs("the page is at http://", "/"), VIEWERS);
    let own = measure(&receiver, &senders, time);
    let mut ages = viewers.stop();
    drop(senders);
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    println!("watchpost, recording, {VIEWERS} viewers   {own}");
    println!(
        "  a viewer's frames: {:.0} a second, age half {:.1} ms, 99 % {:.1} ms, all {:.1} ms",
        ages.len() as f64 / VIEWERS as f64 / (time + WARM_UP).as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );

    println!("  recorded: {:.0} MiB", size_of(&bench.path("footage")) as f64 / MIB);

    let (place, port) = (Bench::new(), free_port());
    let hub = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/wall/hub.py");
    let address = format!("tcp://127.0.0.1:{port}");
    let hub = Program::start(peers_python().arg(hub).arg(&address).arg(place.path("files")));
    hub.says("its port", |line| (line == "bound").then_some(()));
    let senders = Senders::hubs(&address, &pictures);
    let python = measure(&hub, &senders, time);
    println!("imagezmq's hub, a file a frame        {python}");

    println!("\nWanted");
    verdict("CPU, of one core", 1.0, own.cpu);
    verdict("memory, MiB", 200.0, own.memory);
    verdict("age at a viewer, 99 %, ms", 100.0, at(0.99));
    println!("CPU a frame, of the hub's: {:.2}", own.a_frame() / python.a_frame());
}

/// As its users have it: no lines, no single files.
fn receiver(bench: &Bench) -> Program {
    let config = bench.path("receiver.toml");
    let link = "[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&config, format!("{link}[record]\ndir = \"{}\"\n", bench.path("footage").display()))
        .expect("a file");
    Program::start(bench.watchpost("receive").arg("--config").arg(config))
}

/// Bytes of all files below a directory.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { size_of(&path) } else { path.metadata().map_or(0, |file| file.len()) }).sum()
}

fn verdict(what: &str, most: f64, is: f64) {
    println!("{what}: {is:.2}, wanted {most}: {}", if is <= most { "reached" } else { "missed" });
}

/// What a program used.
struct Used {
    /// Of one core.
    cpu: f64,
    /// Frames a second that were sent to it.
    rate: f64,
    /// MiB at the end.
    memory: f64,
}

impl Used {
    /// Milliseconds of CPU.
    fn a_frame(&self) -> f64 {
        self.cpu * 1e3 / self.rate
    }
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, cpu, memory) = (self.rate, self.cpu, self.memory);
        write!(f, "{rate:>6.1} frames/s  {:>6.3} ms CPU a frame  {cpu:.2} of a core  {memory:>6.1} MiB", self.a_frame())
    }
}

fn measure(program: &Program, senders: &Senders, time: Duration) -> Used {
    harness::eventually("its first frames", || (senders.sent() > 0).then_some(()));
    sleep(WARM_UP);
    let (start, sent, cpu) = (Instant::now(), senders.sent(), program.cpu_seconds());
    sleep(time);
    let took = start.elapsed().as_secs_f64();
    Used {
        cpu: (program.cpu_seconds() - cpu) / took,
        rate: (senders.sent() - sent) as f64 / took,
        memory: program.memory() as f64 / MIB,
    }
}
