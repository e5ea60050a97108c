use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use turbojpeg::PixelFormat;

use crate::harness::{Bench, film, free_port, pair, subscriber};

/// The next message with a frame or a placeholder; other messages arrive only once a second.
fn frame(socket: &zmq::Socket) -> (Value, Vec<u8>) {
    for _ in 0..10 {
        let message: Value = serde_json::from_slice(&socket.recv_bytes(0).expect("a message")).expect("JSON");
        if let Some(jpeg) = message["jpeg"].as_str() {
            let jpeg = STANDARD.decode(jpeg).expect("base64");
            return (message, jpeg);
        }
    }
    panic!("neither a frame nor a placeholder");
}

/// Asserts that a picture shows light letters on a dark background.
fn assert_is_placeholder(jpeg: &[u8], width: usize, height: usize) {
    let image = turbojpeg::decompress(jpeg, PixelFormat::GRAY).expect("a JPEG");
    assert_eq!((image.width, image.height), (width, height));
    let light = image.pixels.iter().filter(|luma| **luma > 128).count();
    let dark = image.pixels.iter().filter(|luma| **luma < 48).count();
    assert!(light > 500 && dark > image.pixels.len() * 3 / 4, "{light} light and {dark} dark pixels");
}

#[test]
fn placeholder_with_cause_replaces_frames_of_a_down_camera() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 5);
    bench.plug_camera(0, &path);
    let ((json, json_link), (base64, base64_link)) = (pair(), pair());
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "door", source = "/dev/video0", size = "480x320" }}]
        link = [
            {{ pattern = "pair", connect = "{json_link}", format = "json" }},
            {{ pattern = "pair", connect = "{base64_link}", format = "base64" }},
        ]
        "#
    ));
    let (mut last, _) = frame(&json);
    fs::remove_file(bench.camera(0, "camera")).expect("a plugged-in camera");
    let mut placeholders = Vec::new();
    while placeholders.len() < 3 {
        let (header, jpeg) = frame(&json);
        if header["no_signal"].is_null() {
            assert!(placeholders.is_empty() && header["seq"].as_u64() > last["seq"].as_u64(), "{header}");
            last = header;
        } else {
            assert!(
                ["unplugged", "no such device"].contains(&header["no_signal"].as_str().expect("a text")),
                "{header}"
            );
            assert_eq!((&header["camera"], header["seq"].as_u64()), (&"door".into(), Some(0)));
            assert_is_placeholder(&jpeg, 480, 320);
            placeholders.push(header["captured_at_us"].as_i64().expect("a time"));
        }
    }
    // Once a second; a busy machine may delay the first.
    assert!(placeholders[2] - placeholders[0] > 1_000_000, "{placeholders:?}");
    let placeholder = loop {
        let jpeg = STANDARD.decode(base64.recv_bytes(0).expect("a frame")).expect("base64");
        if !jpegs.contains(&jpeg) {
            break jpeg;
        }
    };
    assert_is_placeholder(&placeholder, 480, 320);
    bench.plug_camera(0, &path);
    let again = loop {
        let (header, _) = frame(&json);
        if header["no_signal"].is_null() {
            break header;
        }
    };
    assert!(again["seq"].as_u64() > last["seq"].as_u64() && again["age_us"].as_u64() < Some(1_000_000), "{again}");
}

#[test]
fn late_joiner_gets_no_old_frame_of_a_down_camera() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let free = [free_port(), free_port()];
    let _agent = bench.agent(&format!(
        r#"
        name = "a"
        camera = [{{ name = "door", source = "/dev/video0", size = "480x320" }}]
        link = [
            {{ pattern = "pub", bind = "tcp://127.0.0.1:{}" }},
            {{ pattern = "pub", bind = "tcp://127.0.0.1:{}" }},
        ]
        "#,
        free[0], free[1]
    ));
    let is_down = |parts: &[Vec<u8>]| {
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        header["type"] == "status" && header["cameras"][0]["cause"] == "no such device"
    };
    let first = subscriber(free[0], &[""]);
    while first.recv_multipart(0).expect("a frame").len() < 3 {}
    fs::remove_file(bench.camera(0, "camera")).expect("a plugged-in camera");
    while !is_down(&first.recv_multipart(0).expect("a status")) {}
    let late = subscriber(free[1], &[""]);
    for _ in 0..3 {
        let parts = late.recv_multipart(0).expect("a status");
        assert!(is_down(&parts), "{}", String::from_utf8_lossy(&parts[0]));
    }
}
