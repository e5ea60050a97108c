//! Parses arbitrary bytes in arbitrary chunks: no panic, and the same readings as the tests' reference parser.

#![no_main]

#[path = "../../tests/lines/agree.rs"]
mod agree;
#[path = "../../tests/lines/reference.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;
use watchpost::agent::line::Parser;

fuzz_target!(|bytes: &[u8]| {
    let sizes = bytes.iter().map(|byte| usize::from(*byte));
    agree::on_bytes(bytes, sizes);
    agree::on_bytes(bytes, None);
    let fields = ["temperature", "x", "mq2"].map(str::to_owned);
    Parser::new(&fields, &[]).parse(bytes, &mut Vec::new());
});
