//! A board's lines against a second, plain parser, and against what a script that splits at dashes reads.

mod agree;
mod lines;
mod reference;

use std::fs;

use fastrand::Rng;
use watchpost::agent::line::Parser;

#[test]
fn a_million_lines_say_what_the_reference_says() {
    let mut rng = Rng::new();
    let mut both = agree::Both::new();
    let (mut values, mut refused) = (0, 0);
    for number in 0..1_000_000 {
        if number % agree::LINES == 0 {
            both = agree::Both::new();
        }
        let (of_line, not) = both.read(&lines::line(&mut rng));
        values += of_line;
        refused += not;
    }
    // Neither kind is rare.
    assert!(values > 500_000 && refused > 200_000, "{values} values, {refused} refusals");
}

#[test]
fn what_a_script_that_splits_at_dashes_reads_right_is_read_right() {
    let mut rng = Rng::new();
    let names = ["q0", "q1", "q2", "q3"].map(str::to_owned);
    let mut right = 0;
    for _ in 0..200_000 {
        let line = lines::positional(&mut rng);
        let parts: Vec<&str> = line.split('-').collect();
        for count in 1..=names.len() {
            let script: Option<Vec<f64>> = (0..count).map(|n| parts.get(2 * n + 1)?.trim().parse().ok()).collect();
            let Some(script) = script.filter(|values| values.iter().all(|value| value.is_finite())) else { continue };
            let mut parser = Parser::new(&names[..count], &[]);
            let ours = agree::said(&mut parser, line.as_bytes()).values;
            let ours: Vec<f64> = ours.into_iter().map(|(.., value)| value).collect();
            assert_eq!(ours, script, "{line:?}");
            right += 1;
        }
    }
    assert!(right > 200_000, "{right}");
}

#[test]
fn lines_are_the_same_in_any_chunking() {
    let mut rng = Rng::new();
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..rng.usize(..6) {
            bytes.extend(lines::line(&mut rng));
            bytes.extend(vec![b'x'; if rng.u8(..8) == 0 { rng.usize(..600) } else { 0 }]);
            bytes.extend_from_slice([b"\n".as_slice(), b"\r\n", b""][rng.usize(..3)]);
        }
        let most = rng.usize(1..600);
        agree::on_bytes(&bytes, std::iter::repeat_with(|| rng.usize(1..=most)));
    }
}

/// What the fuzzer found worth keeping; `cargo +nightly fuzz run lines` looks for more.
#[test]
fn the_fuzzers_findings_are_read_alike() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/lines");
    let files: Vec<_> = fs::read_dir(corpus).expect("the corpus").map(|file| file.expect("a file").path()).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).expect("a file");
        for size in [1, 7, usize::MAX] {
            agree::on_bytes(&bytes, std::iter::repeat(size));
        }
    }
}
