//! Reads arbitrary bytes as a recording: the reader must not panic, and must not return more bytes than the file has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchpost::receiver::recorder::reader::{blocks, cluster, cues, scan};

fuzz_target!(|bytes: &[u8]| {
    let found = cues(bytes).expect("reading from memory never fails").unwrap_or_default();
    let contents = scan(bytes).expect("reading from memory never fails");
    let scanned = contents.map(|contents| contents.cue_points).unwrap_or_default();
    for cue_point in found.iter().chain(&scanned).take(64) {
        let cluster = cluster(bytes, cue_point.position).expect("reading from memory never fails").unwrap_or_default();
        assert!(blocks(&cluster).map(|block| block.body.len()).sum::<usize>() <= bytes.len());
    }
    for block in blocks(bytes) {
        assert!(block.body.len() <= bytes.len());
    }
});
