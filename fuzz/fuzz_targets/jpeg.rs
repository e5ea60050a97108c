//! Any bytes: no panic, and the decoder takes what passes.

#![no_main]

#[path = "../../tests/jpeg/agree.rs"]
mod agree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    agree::on_bytes(bytes);
});
