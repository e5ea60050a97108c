//! Compares the cost of framing and parsing a board's lines with plain splitting at dashes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchpost::agent::line::{Framer, Line, Parser};

const LINES: [(&str, &str); 4] = [
    ("climate", "t-25-h-60\n"),
    ("units", "t--5.5C-h-60%\r\n"),
    ("gas", "mq2-312-light-540-mq9-120\n"),
    ("chinese", "温度-23.5-湿度-61-mq2-88\n"),
];

/// Lines that one read from a serial port returns.
const COUNT: usize = 100;

fn lines(criterion: &mut Criterion) {
    for (name, line) in LINES {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(COUNT as u64));
        let bytes = line.repeat(COUNT).into_bytes();
        let (mut framer, mut parser, mut values) = (Framer::new(false), Parser::new(&[], &[]), Vec::new());
        group.bench_function("watchpost", |bencher| {
            bencher.iter(|| {
                values.clear();
                framer.push(black_box(&bytes), |line| {
                    if let Line::Whole(line) = line {
                        assert!(parser.parse(line, &mut values).is_empty());
                    }
                });
                black_box(&values);
            });
        });
        group.bench_function("split at dashes", |bencher| {
            bencher.iter(|| {
                for line in black_box(&bytes).split(|byte| *byte == b'\n') {
                    black_box(split(line));
                }
            });
        });
        group.finish();
    }
}

/// What a simple script does: takes every second field as a value and ignores names, units and errors.
fn split(line: &[u8]) -> Vec<f64> {
    let line = String::from_utf8_lossy(line);
    let fields: Vec<&str> = line.trim().split('-').collect();
    fields.chunks_exact(2).filter_map(|pair| pair[1].parse().ok()).collect()
}

criterion_group!(benches, lines);
criterion_main!(benches);
