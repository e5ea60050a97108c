//! Any parts as a message of any format, and as what a receiver says: no panic, and what is read can be written and read
//! once more.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use watchpost::config::{Format, ShownAs};
use watchpost::wire::{Control, Message, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<Bytes> = bytes.split(|byte| *byte == 0xfe).map(Bytes::copy_from_slice).collect();
    for format in [Format::Watchpost, Format::Json, Format::Base64, Format::Imagezmq] {
        let Ok(message) = decode(format, &ShownAs::default(), &parts) else { continue };
        let written = encode(Format::Watchpost, &message).expect("it carries everything");
        let again = decode(Format::Watchpost, &ShownAs::default(), &written);
        // A message that says much in few bytes may be too long when all of it is said.
        if let Ok(again) = again.as_ref().map(Message::to_json) {
            assert_eq!(again, message.to_json());
        }
    }
    if let Ok(control) = Control::decode(&parts) {
        assert_eq!(Control::decode(&[control.encode()]).expect("ours"), control);
    }
});
