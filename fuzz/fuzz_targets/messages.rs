//! Decodes arbitrary parts as a message of every format and as a control message: no panic, and every decoded message
//! survives encoding and decoding.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use watchpost::config::{Format, ShownAs};
use watchpost::wire::{Control, Message, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<Bytes> = bytes.split(|byte| *byte == 0xfe).map(Bytes::copy_from_slice).collect();
    for format in [Format::Watchpost, Format::Json, Format::Base64, Format::Imagezmq] {
        let Ok(message) = decode(format, &ShownAs::default(), &parts) else { continue };
        let encoded = encode(Format::Watchpost, &message).expect("this format carries every message");
        let decoded = decode(Format::Watchpost, &ShownAs::default(), &encoded.parts);
        // A message that omits optional fields may exceed the size limit when all of them are written.
        if let Ok(decoded) = decoded.as_ref().map(Message::to_json)
            && encoded.readings_left_out == 0
        {
            assert_eq!(decoded, message.to_json());
        }
    }
    if let Ok(control) = Control::decode(&parts) {
        assert_eq!(Control::decode(&[control.encode()]).expect("an encoded control message"), control);
    }
});
