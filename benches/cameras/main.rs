//! Measures the cost of sending four cameras with watchpost, in each format. Compares it with a minimal program, a minimal
//! program over ZeroMQ, ustreamer and imagezmq's sender, on the same virtual cameras. `script/bench` installs the other
//! programs and starts this.
//!
//! A contender is one or more processes. Once frames arrive, their CPU clocks are read every second, and the median second
//! counts. The contenders take turns, so other load on the machine affects all of them. Frames are counted at the receivers.
//! The CPU time of the virtual cameras, which copy frames on threads inside the contender, is subtracted.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod contenders;
mod receivers;
mod usage;
mod video;

use std::thread::sleep;
use std::time::{Duration, Instant};

use contenders::{CONTENDERS, FLOOR, IMAGEZMQ, Running, USTREAMER, WATCHPOST, ZEROMQ, alone};
use harness::{Bench, eventually};
use usage::Cpu;
use video::{HEIGHT, Videos, WIDTH};

const CAMERAS: u32 = 4;

/// Time from the first frames to the first measured second, for connections and rates to settle.
const WARM_UP: Duration = Duration::from_secs(2);

const MIB: f64 = 1024.0 * 1024.0;

/// How often each contender is started; its measured seconds are divided among the starts.
const TURNS: u64 = 3;

/// What a contender used in all its turns.
struct Usage {
    name: &'static str,
    seconds: Vec<Second>,
    /// Anonymous memory at the end of a turn, in MiB; the maximum of all turns.
    memory: f64,
}

struct Second {
    /// Frames that arrived.
    rate: f64,
    /// Milliseconds of CPU per frame, or per second if nobody receives frames.
    cpu: f64,
    /// The same for the virtual cameras' threads.
    cameras: f64,
}

impl Usage {
    fn new(name: &'static str) -> Usage {
        Usage { name, seconds: Vec::new(), memory: 0.0 }
    }

    fn median(&self, of: impl Fn(&Second) -> f64) -> f64 {
        let mut all: Vec<f64> = self.seconds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    fn cpu(&self) -> f64 {
        self.median(|second| second.cpu)
    }

    /// Measures one more turn.
    fn measure(&mut self, running: &Running, seconds: u64) {
        let Running { programs, receivers } = running;
        if !receivers.is_empty() {
            eventually("its first frames", || (receivers.frames() >= u64::from(CAMERAS)).then_some(()));
        }
        sleep(WARM_UP);
        let (mut start, mut frames, mut before) = (Instant::now(), receivers.frames(), Cpu::of(programs));
        for _ in 0..seconds {
            sleep(Duration::from_secs(1));
            let (end, total, now) = (Instant::now(), receivers.frames(), Cpu::of(programs));
            let (used, new) = (now - before, total - frames);
            let divisor = if receivers.is_empty() { (end - start).as_secs_f64() } else { new.max(1) as f64 };
            self.seconds.push(Second {
                rate: new as f64 / (end - start).as_secs_f64(),
                cpu: used.own.as_secs_f64() * 1e3 / divisor,
                cameras: used.cameras.as_secs_f64() * 1e3 / divisor,
            });
            (start, frames, before) = (end, total, now);
        }
        let memory = programs.iter().map(|program| program.memory() as f64 / MIB).sum();
        self.memory = self.memory.max(memory);
    }
}

fn main() {
    let seconds = seconds();
    let bench = Bench::new();
    let videos = Videos::write(bench.dir.path()).expect("OpenCV reads the sample video");
    println!("{CAMERAS} cameras of {WIDTH}x{HEIGHT} at 30 frames per second, {seconds} s each in {TURNS} turns");
    let mjpg = contest("MJPG", &videos, seconds);
    let yuyv = contest("YUYV", &videos, seconds);
    let [always, on_demand] = without_receiver(&videos, seconds);
    let threads = [&mjpg, &yuyv].map(|usages| usages[0].median(|second| second.cameras));
    println!("\nNot counted: the virtual cameras' threads, {:.3} and {:.3} ms per frame.", threads[0], threads[1]);

    if let Some((zeromq, own)) = cpu(&mjpg, ZEROMQ).zip(cpu(&mjpg, WATCHPOST)) {
        println!(
            "With MJPG, ZeroMQ alone costs {:.2} times the floor, and watchpost {:.2} times that.",
            zeromq / mjpg[0].cpu(),
            own / zeromq
        );
    }

    println!("\nGoals");
    ratio("MJPG: CPU per frame, to the floor", 1.5, &mjpg, FLOOR);
    ratio("MJPG: CPU per frame, to ustreamer", 0.5, &mjpg, USTREAMER);
    ratio("YUYV: CPU per frame, to imagezmq", 0.5, &yuyv, IMAGEZMQ);
    for (fourcc, usages) in [("MJPG", &mjpg), ("YUYV", &yuyv)] {
        let formats = usages.iter().filter(|usage| usage.name == WATCHPOST || usage.name.starts_with("  …"));
        let two_frames = f64::from(2 * CAMERAS) * videos.frame_size(fourcc) as f64 / MIB;
        let memory = formats.map(|usage| usage.memory).fold(0.0, f64::max);
        print_goal(&format!("{fourcc}: anonymous memory, any format"), 8.0 + two_frames, memory, "MiB");
    }
    print_goal("no receiver: CPU of a core", 1.0, always.cpu() / 10.0, "%");
    print_goal("no receiver, on_demand: CPU of a core", 0.1, on_demand.cpu() / 10.0, "%");
}

/// The value of `--seconds N`; ignores the arguments that cargo adds.
fn seconds() -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    arguments.next().map_or(12, |seconds| seconds.parse().ok().filter(|n| *n > 0).expect("--seconds N"))
}

/// Measures the installed contenders, the floor first, on cameras of one format.
fn contest(fourcc: &str, videos: &Videos, seconds: u64) -> Vec<Usage> {
    let mut all: Vec<Usage> = CONTENDERS.iter().map(|(name, _)| Usage::new(name)).collect();
    for turn in 1..=TURNS {
        eprintln!("{fourcc}, turn {turn}");
        for (usage, (_, start)) in all.iter_mut().zip(CONTENDERS) {
            let bench = cameras(fourcc, videos);
            if let Some(running) = start(&bench, fourcc) {
                usage.measure(&running, seconds.div_ceil(TURNS));
            }
        }
    }
    println!("\n{fourcc:<33}frames/s   CPU ms / frame   to the floor   anonymous MiB");
    let (installed, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|usage| !usage.seconds.is_empty());
    for usage in &installed {
        let (rate, cpu) = (usage.median(|second| second.rate), usage.cpu());
        let (to_floor, memory) = (cpu / installed[0].cpu(), usage.memory);
        println!("  {:<28}{rate:>11.1}{cpu:>17.3}{to_floor:>15.2}{memory:>16.1}", usage.name);
    }
    for usage in &missing {
        println!("  {:<28}is not installed; run script/setup bench", usage.name);
    }
    installed
}

/// Measures the agent without a receiver, without and with `on_demand`.
fn without_receiver(videos: &Videos, seconds: u64) -> [Usage; 2] {
    println!("\nNo receiver connected                     CPU % of a core   anonymous MiB");
    [("watchpost", false), ("  … on_demand", true)].map(|(name, on_demand)| {
        let (bench, mut usage) = (cameras("YUYV", videos), Usage::new(name));
        usage.measure(&alone(&bench, on_demand), seconds);
        println!("  {name:<40}{:>15.2}{:>16.1}", usage.cpu() / 10.0, usage.memory);
        usage
    })
}

fn cameras(fourcc: &str, videos: &Videos) -> Bench {
    let bench = Bench::new();
    for node in 0..CAMERAS {
        bench.plug_camera_of(node, &format!("{fourcc} {WIDTH}x{HEIGHT} 30 {}", videos.of(fourcc).display()));
    }
    bench
}

/// The CPU time of a contender, if it is installed.
fn cpu(usages: &[Usage], name: &str) -> Option<f64> {
    usages.iter().find(|usage| usage.name == name).map(Usage::cpu)
}

/// Prints watchpost's CPU time divided by a rival's.
fn ratio(what: &str, limit: f64, usages: &[Usage], rival: &str) {
    match cpu(usages, WATCHPOST).zip(cpu(usages, rival)) {
        Some((own, rival)) => print_goal(what, limit, own / rival, "times"),
        None => println!("  {what:<40}unknown; {rival} is not installed"),
    }
}

fn print_goal(what: &str, limit: f64, value: f64, unit: &str) {
    let verdict = if value <= limit { "reached" } else { "missed" };
    println!("  {what:<40}at most {limit:>5.2} {unit:<7}{value:>6.2}   {verdict}");
}
