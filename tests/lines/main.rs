//! Compares the parser of a board's lines with a second, simple one, and with a script that splits at dashes.
//!
//! Every change of the grammar in `src/agent/line` needs the same change in `reference.rs`.

mod agree;
mod lines;
mod reference;

use std::fs;

use fastrand::Rng;
use watchpost::agent::line::Parser;

#[test]
fn parser_and_reference_agree_on_a_million_lines() {
    let mut rng = Rng::new();
    let mut both = agree::Both::new();
    let (mut values, mut refused) = (0, 0);
    for number in 0..1_000_000 {
        if number % agree::LINES_PER_PARSER == 0 {
            both = agree::Both::new();
        }
        let (line_values, line_refused) = both.read(&lines::line(&mut rng));
        values += line_values;
        refused += line_refused;
    }
    // Both results must be common.
    assert!(values > 500_000 && refused > 200_000, "{values} values, {refused} refusals");
}

#[test]
fn parser_agrees_with_scripts_that_split_at_dashes() {
    let mut rng = Rng::new();
    let names = ["q0", "q1", "q2", "q3"].map(str::to_owned);
    let mut agreed = 0;
    for _ in 0..200_000 {
        let line = lines::positional(&mut rng);
        let parts: Vec<&str> = line.split('-').collect();
        for count in 1..=names.len() {
            let script: Option<Vec<f64>> = (0..count).map(|n| parts.get(2 * n + 1)?.trim().parse().ok()).collect();
            let Some(script) = script.filter(|values| values.iter().all(|value| value.is_finite())) else { continue };
            let mut parser = Parser::new(&names[..count], &[]);
            let ours = agree::parse(&mut parser, line.as_bytes()).values;
            let ours: Vec<f64> = ours.into_iter().map(|(.., value)| value).collect();
            assert_eq!(ours, script, "{line:?}");
            agreed += 1;
        }
    }
    assert!(agreed > 200_000, "{agreed}");
}

#[test]
fn framing_does_not_depend_on_chunk_sizes() {
    let mut rng = Rng::new();
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..rng.usize(..6) {
            bytes.extend(lines::line(&mut rng));
            bytes.extend(vec![b'x'; if rng.u8(..8) == 0 { rng.usize(..600) } else { 0 }]);
            bytes.extend_from_slice([b"\n".as_slice(), b"\r\n", b""][rng.usize(..3)]);
        }
        let max_chunk = rng.usize(1..600);
        agree::on_bytes(&bytes, std::iter::repeat_with(|| rng.usize(1..=max_chunk)));
    }
}

/// Checks the fuzzer's corpus; `cargo +nightly fuzz run lines` extends it.
#[test]
fn parser_and_reference_agree_on_the_fuzzer_corpus() {
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
