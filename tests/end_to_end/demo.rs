use std::process::Command;

use crate::harness::Program;

#[test]
fn all_demo_messages_arrive() {
    let mut demo = Program::start(Command::new(env!("CARGO_BIN_EXE_watchpost")).args(["demo", "--seconds", "3"]));
    let status = demo.wait();
    let out = demo.out();
    assert!(status.success(), "{out}\n{}", demo.log());
    assert!(out.contains("http://127.0.0.1:"), "{out}");
    for row in ["frames of bench", "frames of door", "readings of temperature", "readings of mq9"] {
        let counts: Vec<u64> = out
            .lines()
            .find_map(|line| Some(line.strip_prefix(row)?.split_whitespace().filter_map(|n| n.parse().ok()).collect()))
            .unwrap_or_else(|| panic!("no {row} in {out}"));
        assert!(counts[0] > 3 && counts[0] == counts[1], "{row}: {counts:?}");
    }
}
