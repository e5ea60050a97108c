use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::{Bench, Program, film, free_port, now_us, pair, saved, subscriber};

const SOF0: [u8; 2] = [0xff, 0xc0];
const DHT: [u8; 2] = [0xff, 0xc4];
const SOS: [u8; 2] = [0xff, 0xda];

fn agent(bench: &Bench, link: &str) -> Program {
    bench.agent(&format!(
        r#"
        camera = [
            {{ name = "usb", source = "/dev/video0", size = "480x320" }},
            {{ name = "other", source = "pattern" }},
        ]
        link = [{{ pattern = "pair", connect = "{link}" }}]
        "#
    ))
}

fn position_of(jpeg: &[u8], marker: [u8; 2]) -> Option<usize> {
    jpeg.windows(2).position(|two| two == marker)
}

#[test]
fn camera_jpegs_arrive_unchanged_and_in_order() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 20);
    bench.plug_camera_of(2, &format!("MJPG 480x320 10 {}", path.display()));
    let (socket, address) = pair();
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "usb", source = "/dev/video2", size = "480x320", fps = 10 }}]
        link = [{{ pattern = "pair", connect = "{address}", format = "base64" }}]
        "#
    ));
    let mut last = None;
    for _ in 0..40 {
        let text = socket.recv_bytes(0).expect("a frame");
        let jpeg = STANDARD.decode(text).expect("base64");
        let index = jpegs.iter().position(|own| *own == jpeg).expect("an unchanged frame of the camera");
        // Forward, and around the file's end; a busy machine may drop some frames, but hardly those of a second.
        let step = last.map_or(1, |last| (index + jpegs.len() - last) % jpegs.len());
        assert!((1..=jpegs.len() / 2).contains(&step), "frame {index} after {last:?}");
        last = Some(index);
    }
}

#[test]
fn camera_joins_when_plugged_in_and_rejoins_when_replugged() {
    let bench = Bench::new();
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    let (path, _) = film(&bench, "film", 5);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let usb_is = |up: bool, cause: &'static str| {
        move |message: &Value| {
            let usb = &message["cameras"][0];
            usb["up"] == up && usb["cause"].as_str().is_some_and(|text| text.contains(cause))
        }
    };
    let other_keeps_running = || {
        receiver.program.clear_output();
        receiver.program.wait_for_json("a frame of the other camera", |message| message["camera"] == "other");
    };
    receiver.program.wait_for_json("the cause", usb_is(false, "no such device"));
    other_keeps_running();
    let mut boots = HashSet::new();
    for _ in 0..2 {
        bench.plug_camera(0, &path);
        receiver.program.wait_for_json("the camera is up", usb_is(true, "480x320 MJPG"));
        boots.insert(
            receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb")["boot"].to_string(),
        );
        fs::remove_file(bench.camera(0, "camera")).expect("a plugged-in camera");
        receiver.program.clear_output();
        receiver.program.wait_for_json("the cause", usb_is(false, ""));
        other_keeps_running();
    }
    assert_eq!(boots.len(), 1, "the agent restarted");
}

#[test]
fn stalled_camera_is_reported_and_recovers() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "stall"), "").expect("a temporary file");
    receiver.program.wait_for_json("the cause", |message| message["cameras"][0]["cause"] == "sends no frames");
    fs::remove_file(bench.camera(0, "stall")).expect("a stalling camera");
    receiver.program.clear_output();
    receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
}

#[test]
fn cut_frames_are_dropped_and_counted() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    fs::write(bench.camera(0, "cut"), "").expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    receiver
        .program
        .wait_for_json("the count", |message| message["cameras"][0]["counts"]["cut_frames"].as_u64() > Some(5));
    let cause = "sends only broken frames: the end is missing";
    receiver.program.wait_for_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    assert!(!receiver.program.out().contains("\"camera\":\"usb\""), "a broken frame was sent");
}

#[test]
fn broken_frames_are_counted_by_cause_and_never_sent() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 1);
    let jpeg = &jpegs[0];
    let mut damaged = jpeg.clone();
    let frame = position_of(&damaged, SOF0).expect("a frame header");
    damaged[frame + 2..frame + 4].fill(0);
    let cut = &jpeg[..jpeg.len() - 2];
    fs::write(&path, [b"rubbish\xff\xd9", jpeg.as_slice(), &damaged, cut].concat()).expect("a temporary file");
    bench.plug_camera(0, &path);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let status = receiver.program.wait_for_json("the counts", |message| {
        ["frames", "non_jpeg_frames", "damaged_frames", "cut_frames"]
            .iter()
            .all(|name| message["cameras"][0]["counts"][name].as_u64() >= Some(5))
    });
    assert_eq!(status["cameras"][0]["up"], true);
    assert!(saved(&bench, status["agent"].as_str().expect("a name"), "usb") == *jpeg);
}

#[test]
fn missing_huffman_tables_are_added_and_real_size_is_sent() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 1);
    let mut bare = jpegs[0].clone();
    while let Some(table) = position_of(&bare, DHT) {
        let length = u16::from_be_bytes([bare[table + 2], bare[table + 3]]);
        bare.drain(table..table + 2 + usize::from(length));
    }
    fs::write(&path, bare).expect("a temporary file");
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    // The driver reports another size than the camera sends.
    let camera = format!("MJPG 640x480 25 {}\n", path.display());
    fs::write(bench.camera(0, "camera"), camera).expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let frame = receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
    assert_eq!((frame["width"].as_u64(), frame["height"].as_u64()), (Some(480), Some(320)));
    let jpeg = saved(&bench, frame["agent"].as_str().expect("a name"), "usb");
    assert!(
        position_of(&jpeg, DHT).is_some_and(|table| Some(table) < position_of(&jpeg, SOS)),
        "no Huffman table before the scan"
    );
    let pixels = |jpeg: &[u8]| turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).expect("a JPEG").pixels;
    assert!(pixels(&jpeg) == pixels(&jpegs[0]), "the picture differs");
}

#[test]
fn yuyv_frames_are_encoded_as_jpeg() {
    let bench = Bench::new();
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    // A grey gradient: the luma of each line is its number.
    let frame: Vec<u8> = (0..240).flat_map(|line: u32| [(line as u8), 128].repeat(320)).collect();
    fs::write(bench.path("film"), &frame).expect("a temporary file");
    let camera = format!("YUYV 320x240 30 {}\n", bench.path("film").display());
    fs::write(bench.camera(0, "camera"), camera).expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let frame = receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
    // The driver supports one size only; the frame reports it.
    assert_eq!((frame["width"].as_u64(), frame["height"].as_u64()), (Some(320), Some(240)));
    let agent = frame["agent"].as_str().expect("a name");
    let jpeg = saved(&bench, agent, "usb");
    let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::GRAY).expect("a JPEG");
    assert_eq!((image.width, image.height), (320, 240));
    for line in [10, 120, 230] {
        let luma = i32::from(image.pixels[line * image.pitch + 160]);
        assert!((luma - line as i32).abs() < 12, "line {line} has luma {luma}");
    }
}

#[test]
fn hanging_driver_is_reported_and_spares_other_cameras() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let receiver = bench.pair_receiver();
    let mut agent = agent(&bench, &receiver.link);
    receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "hang"), "").expect("a temporary file");
    let cause = "hangs in its driver or stream";
    receiver.program.wait_for_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    receiver.program.clear_output();
    receiver.program.wait_for_json("the other's frames", |message| message["camera"] == "other");
    fs::remove_file(bench.camera(0, "hang")).expect("a hanging camera");
    receiver.program.wait_for_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "hang"), "").expect("a temporary file");
    receiver.program.clear_output();
    receiver.program.wait_for_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert!(agent.log().contains("abandoning its thread"), "{}", agent.log());
}

#[test]
fn idle_cameras_capture_nothing_and_on_demand_ones_stay_closed() {
    let bench = Bench::new();
    let (film, _) = film(&bench, "film", 5);
    // At 1 frame per second, a status arrives before the camera's next frame.
    bench.plug_camera_of(0, &format!("MJPG 480x320 1 {}", film.display()));
    bench.plug_camera(1, &film);
    let free = [free_port(), free_port()];
    let _agent = bench.agent(&format!(
        r#"
        name = "a"
        camera = [
            {{ name = "usb", source = "/dev/video0", size = "480x320" }},
            {{ name = "rare", source = "/dev/video1", size = "480x320", on_demand = true }},
            {{ name = "off", source = "pattern", on = false }},
        ]
        link = [
            {{ pattern = "pub", bind = "tcp://127.0.0.1:{}" }},
            {{ pattern = "pub", bind = "tcp://127.0.0.1:{}" }},
        ]
        "#,
        free[0], free[1]
    ));
    let (socket, other) = (subscriber(free[0], &["status/"]), subscriber(free[1], &[]));
    let cameras = |ready: &dyn Fn(&Value, &Value) -> bool| loop {
        let parts = socket.recv_multipart(0).expect("a status");
        let Some(header) = parts.get(1).filter(|_| parts[0].starts_with(b"status/")) else { continue };
        let status: Value = serde_json::from_slice(header).expect("JSON");
        let is_off = status["cameras"][2]["cause"] == "switched off";
        if is_off && ready(&status["cameras"][0], &status["cameras"][1]) {
            break;
        }
    };
    let is_idle = |camera: &Value| camera["cause"] == "idle: no link needs its frames";
    cameras(&|usb, rare| {
        assert_eq!((&usb["counts"]["frames"], &rare["counts"]["opened"]), (&Value::Null, &Value::Null));
        usb["up"] == true && is_idle(rare)
    });
    socket.set_subscribe(b"frame/a/rare").expect("a topic");
    cameras(&|usb, rare| {
        assert_eq!(usb["counts"]["frames"], Value::Null);
        rare["up"] == true && rare["counts"]["frames"].as_u64() >= Some(3)
    });
    socket.set_unsubscribe(b"frame/a/rare").expect("a topic");
    cameras(&|_, rare| is_idle(rare));
    // A new subscriber does not get the old frame of an earlier subscriber.
    let frame = |socket: &zmq::Socket| {
        socket.set_subscribe(b"frame/a/usb").expect("a topic");
        let parts = loop {
            let parts = socket.recv_multipart(0).expect("a frame");
            if parts.len() == 3 {
                break parts;
            }
        };
        socket.set_unsubscribe(b"frame/a/usb").expect("a topic");
        serde_json::from_slice::<Value>(&parts[1]).expect("JSON")
    };
    assert_eq!(frame(&socket)["camera"], "usb");
    (0..3).for_each(|_| cameras(&|_, _| true));
    // Three statuses ago, one second apart, nobody was subscribed any more.
    let subscribed_us = now_us();
    assert!(frame(&other)["captured_at_us"].as_i64() > Some(subscribed_us - 1_000_000));
}
