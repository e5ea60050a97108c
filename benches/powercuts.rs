//! The power goes a thousand times while an agent keeps 200 readings a second: at each cut its spool opens, and has what is
//! older than a second and was not acknowledged, once and unchanged. `cargo bench --bench powercuts -- --points 1000`.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[path = "../tests/end_to_end/power_cuts/mod.rs"]
mod power_cuts;

use std::time::{Duration, Instant};

/// What is younger may not be on the disk yet, in seconds.
const YOUNG: f64 = 1.0;

/// Of the agent's life.
const LENGTH: Duration = Duration::from_mins(1);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| *argument != "--points").skip(1);
    let points = arguments.next().map_or(1000, |points| points.parse().expect("--points N"));
    let story = power_cuts::record(LENGTH, YOUNG);
    println!("{}", story.summary());
    let start = Instant::now();
    let found = power_cuts::cut(&story, points);
    println!(
        "{} cuts in {:.0} s: {} times a reading that had to be there, something set aside at {}, wrong at {}",
        points,
        start.elapsed().as_secs_f64(),
        found.wanted,
        found.set_aside,
        found.wrong.len()
    );
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}
