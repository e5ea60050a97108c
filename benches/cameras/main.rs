//! What it costs to send four cameras: watchpost in each format, beside the least that any program can do, the least that
//! any can do over ZeroMQ, ustreamer and imagezmq's sender, one after the other on the same virtual cameras.
//! `script/bench` installs the others and starts this.
//!
//! A contender is a process or several, measured by their CPU clocks once frames arrive: each second by itself, and the
//! middle one of all seconds counts. They take turns, so that what else the machine does meanwhile meets all of them.
//! Frames are counted where they arrive. The virtual cameras copy each frame on threads of the contender's own, which are
//! taken off.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;

mod contenders;
mod ends;
mod film;
mod usage;

use std::thread::sleep;
use std::time::{Duration, Instant};

use contenders::{CONTENDERS, FLOOR, IMAGEZMQ, Running, USTREAMER, WATCHPOST, ZEROMQ, alone};
use film::{Films, HEIGHT, WIDTH};
use harness::{Bench, eventually};
use usage::Cpu;

const CAMERAS: u32 = 4;

/// From the first frames to the first measured second: connections and rates have settled.
const WARM_UP: Duration = Duration::from_secs(2);

const MIB: f64 = 1024.0 * 1024.0;

/// How often each contender is started, which shares its seconds evenly.
const TURNS: u64 = 3;

/// What a contender used in all its turns.
struct Figures {
    name: &'static str,
    seconds: Vec<Second>,
    /// Anonymous memory at the end of a turn, MiB; the most of all turns.
    memory: f64,
}

struct Second {
    /// Frames that arrived.
    rate: f64,
    /// Milliseconds of CPU: a frame, or a second where there are none.
    cpu: f64,
    /// The same of the virtual cameras' threads.
    cameras: f64,
}

impl Figures {
    fn new(name: &'static str) -> Figures {
        Figures { name, seconds: Vec::new(), memory: 0.0 }
    }

    fn middle(&self, of: impl Fn(&Second) -> f64) -> f64 {
        let mut all: Vec<f64> = self.seconds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    fn cpu(&self) -> f64 {
        self.middle(|second| second.cpu)
    }

    /// One more turn.
    fn measure(&mut self, running: &Running, seconds: u64) {
        let Running { programs, ends } = running;
        if !ends.is_empty() {
            eventually("its first frames", || (ends.frames() >= u64::from(CAMERAS)).then_some(()));
        }
        sleep(WARM_UP);
        let (mut start, mut frames, mut before) = (Instant::now(), ends.frames(), Cpu::of(programs));
        for _ in 0..seconds {
            sleep(Duration::from_secs(1));
            let (end, came, now) = (Instant::now(), ends.frames(), Cpu::of(programs));
            let (used, new) = (now - before, came - frames);
            let of = if ends.is_empty() { (end - start).as_secs_f64() } else { new.max(1) as f64 };
            self.seconds.push(Second {
                rate: new as f64 / (end - start).as_secs_f64(),
                cpu: used.own.as_secs_f64() * 1e3 / of,
                cameras: used.cameras.as_secs_f64() * 1e3 / of,
            });
            (start, frames, before) = (end, came, now);
        }
        let memory = programs.iter().map(|program| program.memory() as f64 / MIB).sum();
        self.memory = self.memory.max(memory);
    }
}

fn main() {
    let seconds = seconds();
    let place = Bench::new();
    let films = Films::write(place.dir.path()).expect("Debian's film");
    println!("{CAMERAS} cameras of {WIDTH}x{HEIGHT} at 30 frames a second, {seconds} s each in {TURNS} turns");
    let mjpg = contest("MJPG", &films, seconds);
    let yuyv = contest("YUYV", &films, seconds);
    let [always, on_demand] = unheard(&films, seconds);
    let threads = [&mjpg, &yuyv].map(|figures| figures[0].middle(|second| second.cameras));
    println!("\nNot counted: the virtual cameras' threads, {:.3} and {:.3} ms a frame.", threads[0], threads[1]);

    if let Some((zeromq, own)) = cpu(&mjpg, ZEROMQ).zip(cpu(&mjpg, WATCHPOST)) {
        println!(
            "ZeroMQ alone is {:.2} times the floor with MJPG, and watchpost {:.2} times that.",
            zeromq / mjpg[0].cpu(),
            own / zeromq
        );
    }

    println!("\nWanted");
    ratio("MJPG: CPU a frame, of the floor's", 1.5, &mjpg, FLOOR);
    ratio("MJPG: CPU a frame, of ustreamer's", 0.5, &mjpg, USTREAMER);
    ratio("YUYV: CPU a frame, of imagezmq's", 0.5, &yuyv, IMAGEZMQ);
    for (fourcc, figures) in [("MJPG", &mjpg), ("YUYV", &yuyv)] {
        let formats = figures.iter().filter(|figures| figures.name == WATCHPOST || figures.name.starts_with("  …"));
        let two_frames = f64::from(2 * CAMERAS) * films.frame_size(fourcc) as f64 / MIB;
        let memory = formats.map(|figures| figures.memory).fold(0.0, f64::max);
        wanted(&format!("{fourcc}: anonymous memory, any format"), 8.0 + two_frames, memory, "MiB");
    }
    wanted("no receiver: CPU of a core", 1.0, always.cpu() / 10.0, "%");
    wanted("no receiver, on_demand: CPU of a core", 0.1, on_demand.cpu() / 10.0, "%");
}

/// `--seconds N`; cargo's own arguments are passed over.
fn seconds() -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    arguments.next().map_or(12, |seconds| seconds.parse().ok().filter(|n| *n > 0).expect("--seconds N"))
}

/// All contenders that are installed, the floor first, on cameras of one format.
fn contest(fourcc: &str, films: &Films, seconds: u64) -> Vec<Figures> {
    let mut all: Vec<Figures> = CONTENDERS.iter().map(|(name, _)| Figures::new(name)).collect();
    for turn in 1..=TURNS {
        eprintln!("{fourcc}, turn {turn}");
        for (figures, (_, start)) in all.iter_mut().zip(CONTENDERS) {
            let bench = cameras(fourcc, films);
            if let Some(running) = start(&bench, fourcc) {
                figures.measure(&running, seconds.div_ceil(TURNS));
            }
        }
    }
    println!("\n{fourcc:<33}frames/s   CPU ms a frame   of the floor   anonymous MiB");
    let (installed, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|figures| !figures.seconds.is_empty());
    for figures in &installed {
        let (rate, cpu) = (figures.middle(|second| second.rate), figures.cpu());
        let (of_floor, memory) = (cpu / installed[0].cpu(), figures.memory);
        println!("  {:<28}{rate:>11.1}{cpu:>17.3}{of_floor:>15.2}{memory:>16.1}", figures.name);
    }
    for figures in &missing {
        println!("  {:<28}is not installed (script/setup bench)", figures.name);
    }
    installed
}

/// The agent when nobody receives, without and with `on_demand`.
fn unheard(films: &Films, seconds: u64) -> [Figures; 2] {
    println!("\nNo receiver connected                     CPU % of a core   anonymous MiB");
    [("watchpost", false), ("  … on_demand", true)].map(|(name, on_demand)| {
        let (bench, mut figures) = (cameras("YUYV", films), Figures::new(name));
        figures.measure(&alone(&bench, on_demand), seconds);
        println!("  {name:<40}{:>15.2}{:>16.1}", figures.cpu() / 10.0, figures.memory);
        figures
    })
}

fn cameras(fourcc: &str, films: &Films) -> Bench {
    let bench = Bench::new();
    for node in 0..CAMERAS {
        bench.plug_camera_of(node, &format!("{fourcc} {WIDTH}x{HEIGHT} 30 {}", films.of(fourcc).display()));
    }
    bench
}

/// A contender's, if it is installed.
fn cpu(figures: &[Figures], name: &str) -> Option<f64> {
    figures.iter().find(|figures| figures.name == name).map(Figures::cpu)
}

/// watchpost's CPU by a rival's.
fn ratio(what: &str, most: f64, figures: &[Figures], rival: &str) {
    match cpu(figures, WATCHPOST).zip(cpu(figures, rival)) {
        Some((own, rival)) => wanted(what, most, own / rival, "times"),
        None => println!("  {what:<40}not known without it"),
    }
}

fn wanted(what: &str, most: f64, is: f64, unit: &str) {
    let verdict = if is <= most { "reached" } else { "missed" };
    println!("  {what:<40}at most {most:>5.2} {unit:<7}{is:>6.2}   {verdict}");
}
