use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::{Bench, Program, film, free_port, pair, saved, subscriber};

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

fn place_of(jpeg: &[u8], marker: [u8; 2]) -> Option<usize> {
    jpeg.windows(2).position(|two| two == marker)
}

#[test]
fn a_cameras_own_jpegs_arrive_byte_for_byte_and_in_order() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 20);
    bench.plug_camera(2, &path);
    let (socket, address) = pair();
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "usb", source = "/dev/video2", size = "480x320", fps = 25 }}]
        link = [{{ pattern = "pair", connect = "{address}", format = "base64" }}]
        "#
    ));
    let mut last = None;
    for _ in 0..60 {
        let text = socket.recv_bytes(0).expect("a frame");
        let jpeg = STANDARD.decode(text).expect("base64");
        let place = jpegs.iter().position(|own| *own == jpeg).expect("one of the camera's own frames, unchanged");
        // Forward, by one or by the few that a busy machine drops, round the film's end.
        let step = last.map_or(1, |last| (place + jpegs.len() - last) % jpegs.len());
        assert!((1..10).contains(&step), "frame {place} after {last:?}");
        last = Some(place);
    }
}

#[test]
fn a_camera_that_is_missing_joins_and_one_that_is_unplugged_comes_back() {
    let bench = Bench::new();
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    let (path, _) = film(&bench, "film", 5);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let usb_is = |up: bool, cause: &'static str| {
        move |message: &Value| {
            let usb = &message["cameras"][0];
            usb["up"] == up && usb["cause"].as_str().is_some_and(|said| said.contains(cause))
        }
    };
    let other_goes_on = || {
        receiver.program.forget();
        receiver.program.says_json("the other camera goes on", |message| message["camera"] == "other");
    };
    receiver.program.says_json("the cause", usb_is(false, "no such device"));
    other_goes_on();
    let mut boots = HashSet::new();
    for _ in 0..2 {
        bench.plug_camera(0, &path);
        receiver.program.says_json("the camera is up", usb_is(true, "480x320 MJPG"));
        boots
            .insert(receiver.program.says_json("its frames", |message| message["camera"] == "usb")["boot"].to_string());
        fs::remove_file(bench.camera(0, "camera")).expect("it is plugged in");
        receiver.program.forget();
        receiver.program.says_json("the cause", usb_is(false, ""));
        other_goes_on();
    }
    assert_eq!(boots.len(), 1, "the agent was the same all the time");
}

#[test]
fn a_camera_that_stalls_is_named_so_and_comes_back() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    receiver.program.says_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "stall"), "").expect("a temporary file");
    receiver.program.says_json("the cause", |message| message["cameras"][0]["cause"] == "gives no frames");
    fs::remove_file(bench.camera(0, "stall")).expect("it stalls");
    receiver.program.forget();
    receiver.program.says_json("its frames", |message| message["camera"] == "usb");
}

#[test]
fn cut_frames_are_dropped_and_counted() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    fs::write(bench.camera(0, "cut"), "").expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    receiver.program.says_json("the count", |message| message["cameras"][0]["counts"]["cut_frames"].as_u64() > Some(5));
    let cause = "gives only broken frames: the end is missing";
    receiver.program.says_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    assert!(!receiver.program.out().contains("\"camera\":\"usb\""), "a broken frame was sent");
}

#[test]
fn broken_frames_are_counted_by_their_cause_and_only_whole_ones_are_sent() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 1);
    let jpeg = &jpegs[0];
    let mut damaged = jpeg.clone();
    let frame = place_of(&damaged, SOF0).expect("a frame header");
    damaged[frame + 2..frame + 4].fill(0);
    let cut = &jpeg[..jpeg.len() - 2];
    fs::write(&path, [b"rubbish\xff\xd9", jpeg.as_slice(), &damaged, cut].concat()).expect("a temporary file");
    bench.plug_camera(0, &path);
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let status = receiver.program.says_json("the counts", |message| {
        ["frames", "non_jpeg_frames", "damaged_frames", "cut_frames"]
            .iter()
            .all(|name| message["cameras"][0]["counts"][name].as_u64() >= Some(5))
    });
    assert_eq!(status["cameras"][0]["up"], true);
    assert!(saved(&bench, status["agent"].as_str().expect("a name"), "usb") == *jpeg);
}

#[test]
fn a_camera_without_huffman_tables_arrives_with_them_and_with_the_size_that_its_pictures_have() {
    let bench = Bench::new();
    let (path, jpegs) = film(&bench, "film", 1);
    let mut bare = jpegs[0].clone();
    while let Some(place) = place_of(&bare, DHT) {
        let length = u16::from_be_bytes([bare[place + 2], bare[place + 3]]);
        bare.drain(place..place + 2 + usize::from(length));
    }
    fs::write(&path, bare).expect("a temporary file");
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    // The driver says something else than the camera does.
    let camera = format!("MJPG 640x480 25 {}\n", path.display());
    fs::write(bench.camera(0, "camera"), camera).expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let frame = receiver.program.says_json("its frames", |message| message["camera"] == "usb");
    assert_eq!((frame["width"].as_u64(), frame["height"].as_u64()), (Some(480), Some(320)));
    let jpeg = saved(&bench, frame["agent"].as_str().expect("a name"), "usb");
    assert!(place_of(&jpeg, DHT).is_some_and(|table| Some(table) < place_of(&jpeg, SOS)), "no table");
    let pixels = |jpeg: &[u8]| turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).expect("a JPEG").pixels;
    assert!(pixels(&jpeg) == pixels(&jpegs[0]), "another picture");
}

#[test]
fn a_yuyv_camera_is_encoded() {
    let bench = Bench::new();
    fs::create_dir(bench.path("cameras")).expect("a temporary directory");
    // Grey, darker from line to line.
    let frame: Vec<u8> = (0..240).flat_map(|line: u32| [(line as u8), 128].repeat(320)).collect();
    fs::write(bench.path("film"), &frame).expect("a temporary file");
    let camera = format!("YUYV 320x240 30 {}\n", bench.path("film").display());
    fs::write(bench.camera(0, "camera"), camera).expect("a temporary file");
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &receiver.link);
    let frame = receiver.program.says_json("its frames", |message| message["camera"] == "usb");
    // The driver has but one size, and the frame says which.
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
fn a_camera_whose_driver_hangs_is_named_so_and_comes_back_while_the_other_goes_on() {
    let bench = Bench::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let receiver = bench.pair_receiver();
    let mut agent = agent(&bench, &receiver.link);
    receiver.program.says_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "hang"), "").expect("a temporary file");
    let cause = "hangs in its driver or stream";
    receiver.program.says_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    receiver.program.forget();
    receiver.program.says_json("the other's frames", |message| message["camera"] == "other");
    fs::remove_file(bench.camera(0, "hang")).expect("it hangs");
    receiver.program.says_json("its frames", |message| message["camera"] == "usb");
    fs::write(bench.camera(0, "hang"), "").expect("a temporary file");
    receiver.program.forget();
    receiver.program.says_json("the cause", |message| message["cameras"][0]["cause"] == cause);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert!(agent.log().contains("abandoning its thread"), "{}", agent.log());
}

#[test]
fn what_no_link_takes_is_not_captured_and_a_camera_on_demand_not_even_opened() {
    let bench = Bench::new();
    let (film, _) = film(&bench, "film", 5);
    // So slow that a status comes before its next frame.
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
    let rests = |camera: &Value| camera["cause"] == "at rest: no link takes its frames";
    cameras(&|usb, rare| {
        assert_eq!((&usb["counts"]["frames"], &rare["counts"]["opened"]), (&Value::Null, &Value::Null));
        usb["up"] == true && rests(rare)
    });
    socket.set_subscribe(b"frame/a/rare").expect("a topic");
    cameras(&|usb, rare| {
        assert_eq!(usb["counts"]["frames"], Value::Null);
        rare["up"] == true && rare["counts"]["frames"].as_u64() >= Some(3)
    });
    socket.set_unsubscribe(b"frame/a/rare").expect("a topic");
    cameras(&|_, rare| rests(rare));
    // What it saw when somebody looked last is not shown to who looks next.
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
    assert!(frame(&other)["age_us"].as_u64() < Some(500_000));
}
