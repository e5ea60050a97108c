//! Cuts the power at many moments while an agent spools 200 readings a second. After each cut the spool must open and hold,
//! once and unchanged, every unacknowledged reading that is older than a second.

use std::time::{Duration, Instant};

use crate::power_cuts;

/// Readings younger than this many seconds may not be on the disk yet.
const COMMIT_SECONDS: f64 = 1.0;

/// How long the agent runs.
const RUN_TIME: Duration = Duration::from_mins(1);

/// Records one run of an agent and examines its disk after each of `cuts` power cuts.
pub fn run(cuts: u32) {
    let story = power_cuts::record(RUN_TIME, COMMIT_SECONDS);
    println!("{}", story.summary());
    let start = Instant::now();
    let found = power_cuts::cut(&story, cuts as usize);
    println!(
        "{cuts} cuts in {:.0} s: {} required readings checked, files set aside at {} cuts, errors at {}",
        start.elapsed().as_secs_f64(),
        found.wanted,
        found.set_aside,
        found.wrong.len()
    );
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}
