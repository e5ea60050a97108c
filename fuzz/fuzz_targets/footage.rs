//! Any bytes as a recorded file: no panic, and nothing that is read of it is larger than it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchpost::receiver::recorder::reader::{blocks, cluster, cues, scan};

fuzz_target!(|bytes: &[u8]| {
    let marks = cues(bytes).expect("bytes are always there").unwrap_or_default();
    let whole = scan(bytes).expect("bytes are always there");
    let scanned = whole.map(|whole| whole.marks).unwrap_or_default();
    for mark in marks.iter().chain(&scanned).take(64) {
        let cluster = cluster(bytes, mark.position).expect("bytes are always there").unwrap_or_default();
        assert!(blocks(&cluster).map(|block| block.body.len()).sum::<usize>() <= bytes.len());
    }
    for block in blocks(bytes) {
        assert!(block.body.len() <= bytes.len());
    }
});
