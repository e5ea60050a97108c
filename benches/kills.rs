//! Kills agents and receivers at random moments while boards speak 200 times a second, and says what became of the readings.
//! `--times N` for each, 500 if nothing is said.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;
#[path = "../tests/end_to_end/kills.rs"]
mod kills;

use std::thread::scope;

use kills::{Found, Killed, kill};

/// So many pairs of an agent and a receiver at once.
const PAIRS: u32 = 10;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--times").skip(1);
    let times: u32 = arguments.next().map_or(500, |times| times.parse().expect("--times N"));
    println!("{:<12}{:>8}{:>12}{:>8}{:>8}{:>16}", "killed", "times", "readings", "lost", "twice", "out of order");
    for killed in [Killed::Agent, Killed::Receiver, Killed::Both] {
        let of_each = times.div_ceil(PAIRS);
        let found = scope(|scope| {
            let pairs: Vec<_> =
                (0..PAIRS).map(|pair| scope.spawn(move || kill(killed, of_each, u64::from(pair)))).collect();
            pairs.into_iter().map(|pair| pair.join().expect("it ends")).fold(Found::default(), sum)
        });
        let Found { kept, lost, twice, disordered } = found;
        let name = format!("{killed:?}").to_lowercase();
        println!("{name:<12}{:>8}{kept:>12}{lost:>8}{twice:>8}{disordered:>16}   (wanted: 0)", of_each * PAIRS);
    }
}

fn sum(one: Found, other: Found) -> Found {
    Found {
        kept: one.kept + other.kept,
        lost: one.lost + other.lost,
        twice: one.twice + other.twice,
        disordered: one.disordered + other.disordered,
    }
}
