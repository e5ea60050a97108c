//! Checks arbitrary bytes as a JPEG: no panic, and the decoder accepts every picture that passes the check.

#![no_main]

#[path = "../../tests/jpeg/agree.rs"]
mod agree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    agree::on_bytes(bytes);
});
