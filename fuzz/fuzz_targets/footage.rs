//! Any bytes as a recorded file: no panic, and nothing that is read of it is larger than it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchpost::receiver::recorder::reader::{blocks, cluster, cues, scan};

fuzz_target!(|bytes: &[u8]| {
    let found = cues(bytes).expect("bytes are always there").unwrap_or_default();
    let clusters = scan(bytes).expect("bytes are always there");
    let scanned = clusters.map(|clusters| clusters.cue_points).unwrap_or_default();
    for cue_point in found.iter().chain(&scanned).take(64) {
        let cluster = cluster(bytes, cue_point.position).expect("bytes are always there").unwrap_or_default();
        assert!(blocks(&cluster).map(|block| block.body.len()).sum::<usize>() <= bytes.len());
    }
    for block in blocks(bytes) {
        assert!(block.body.len() <= bytes.len());
    }
});
