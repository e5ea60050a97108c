//! How soon charts of a year of five quantities each once a second are there, how an export of a day streams, and how large
//! the file is. `--days N` for another length than 365; `--dir DIR` for where it is made: a year needs 9 GB.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "its tests need more of it")]
#[path = "../tests/end_to_end/history_year.rs"]
mod history_year;

use std::time::Instant;

use harness::Bench;
use history_year::{SPANS, Year};

/// Charts of each length.
const TIMES: usize = 20;

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let argument = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let days = argument("--days").map_or(365, |days| days.parse().expect("--days N"));
    let bench =
        argument("--dir").map_or_else(Bench::new, |dir| Bench { dir: tempfile::tempdir_in(dir).expect("a directory") });
    let start = Instant::now();
    let year = Year::make(&bench, days);
    println!("{days} days of five quantities a second, made and opened in {:.0?}", start.elapsed());
    let size = std::fs::metadata(bench.history()).expect("a file").len() as f64;
    println!("  the file: {:.2} GB, {:.1} bytes a reading", size / 1e9, size / (days * 86_400 * 5) as f64);
    let random = &mut fastrand::Rng::with_seed(1);
    for (name, seconds) in SPANS.into_iter().filter(|(_, seconds)| *seconds <= days * 86_400) {
        let charts = year.charts(seconds, TIMES, random);
        println!(
            "  a chart of {name:<8} median {:>6.1?}, worst {:>6.1?}, {:>3} points at least   (wanted: 200 ms)",
            charts.median, charts.worst, charts.points
        );
    }
    let exported = year.export(86_400);
    let (before, most) = exported.memory;
    println!(
        "  a day as CSV: {} readings, {:.1} MB; the first byte after {:.1?}, the last after {:.1?}",
        exported.readings,
        exported.bytes as f64 / 1e6,
        exported.first_byte,
        exported.all
    );
    println!("  the receiver's memory: {:.1} MiB before, {:.1} MiB at most", before as f64 / MIB, most as f64 / MIB);
}
