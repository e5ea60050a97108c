//! Kills agents and receivers at random moments while boards send 200 lines a second, and counts what happened to the
//! readings.

use std::thread::scope;

use crate::kills::{Found, Killed, kill};

/// Pairs of an agent and a receiver that run at the same time.
const PAIRS: u32 = 10;

/// Runs `times` kills of the agent, of the receiver and of both.
pub fn run(times: u32) {
    println!("{:<12}{:>8}{:>12}{:>8}{:>8}{:>16}", "killed", "times", "readings", "lost", "twice", "out of order");
    let kills_per_pair = times.div_ceil(PAIRS);
    for killed in [Killed::Agent, Killed::Receiver, Killed::Both] {
        let found = scope(|scope| {
            let pairs: Vec<_> =
                (0..PAIRS).map(|pair| scope.spawn(move || kill(killed, kills_per_pair, u64::from(pair)))).collect();
            pairs.into_iter().map(|pair| pair.join().expect("a pair finishes")).fold(Found::default(), sum)
        });
        let Found { kept, lost, twice, disordered } = found;
        let name = format!("{killed:?}").to_lowercase();
        println!("{name:<12}{:>8}{kept:>12}{lost:>8}{twice:>8}{disordered:>16}   (goal: 0)", kills_per_pair * PAIRS);
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
