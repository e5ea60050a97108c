//! Measures charts and an export of a history with five quantities, each recorded once a second for a year.
//!
//! `--days N` sets another length than 365. `--dir DIR` sets where the file is created; a year needs 9 GB.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../tests/end_to_end/history_year.rs"]
mod history_year;

use std::time::Instant;

use harness::Bench;
use history_year::{SPANS, Year};

/// Charts requested per time span.
const CHARTS_PER_SPAN: usize = 20;

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let argument = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let days = argument("--days").map_or(365, |days| days.parse().expect("--days N"));
    let bench =
        argument("--dir").map_or_else(Bench::new, |dir| Bench { dir: tempfile::tempdir_in(dir).expect("a directory") });
    let start = Instant::now();
    let year = Year::make(&bench, days);
    println!("{days} days of five quantities per second, created and opened in {:.0?}", start.elapsed());
    let size = std::fs::metadata(bench.history()).expect("a file").len() as f64;
    println!("  file: {:.2} GB, {:.1} bytes per reading", size / 1e9, size / (days * 86_400 * 5) as f64);
    let random = &mut fastrand::Rng::with_seed(1);
    for (name, seconds) in SPANS.into_iter().filter(|(_, seconds)| *seconds <= days * 86_400) {
        let charts = year.charts(seconds, CHARTS_PER_SPAN, random);
        println!(
            "  chart of {name:<8} median {:>6.1?}, max {:>6.1?}, at least {:>3} points   (goal: 200 ms)",
            charts.median, charts.worst, charts.points
        );
    }
    let exported = year.export(86_400);
    let (before, peak) = exported.memory;
    println!(
        "  one day as CSV: {} readings, {:.1} MB; first byte after {:.1?}, last after {:.1?}",
        exported.readings,
        exported.bytes as f64 / 1e6,
        exported.first_byte,
        exported.all
    );
    println!("  receiver memory: {:.1} MiB before, {:.1} MiB peak", before as f64 / MIB, peak as f64 / MIB);
}
