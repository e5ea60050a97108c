use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Bench, Peer, Program, eventually, film};

/// Longer than frames stay new.
const HELD_UP: Duration = Duration::from_millis(1_500);

const LINK: &str = "usb-camera-video-index0";

/// The agent with a USB camera, found by its link, and one that has no faults.
fn two_cameras(peer: &Peer, bench: &Bench, fps: u8) -> Program {
    bench.agent(&format!(
        r#"
        camera = [
            {{ name = "usb", source = "/dev/v4l/by-id/{LINK}", size = "480x320", fps = {fps} }},
            {{ name = "other", source = "pattern" }},
        ]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        peer.address
    ))
}

#[track_caller]
fn sees(peer: &Peer, camera: &str) -> Value {
    peer.hears(&format!("a frame of {camera}"), |message| message["camera"] == camera)
}

/// The next status in which the camera is down for this cause.
#[track_caller]
fn is_told(peer: &Peer, cause: &str) -> Value {
    peer.hears(cause, |message| {
        let usb = &message["cameras"][0];
        usb["up"] == false && usb["cause"].as_str().is_some_and(|said| said.starts_with(cause))
    })
}

fn plug(bench: &Bench, node: u32) {
    bench.link_camera(LINK, node);
    bench.plug_camera(node, &bench.path("film"));
}

fn unplug(bench: &Bench, node: u32) {
    clear(bench, node, "camera");
    fs::remove_file(bench.path("cameras/by-id").join(LINK)).expect("it is plugged in");
}

fn set(bench: &Bench, node: u32, control: &str) {
    fs::create_dir_all(bench.path("cameras")).expect("a temporary directory");
    fs::write(bench.camera(node, control), "").expect("a temporary file");
}

fn clear(bench: &Bench, node: u32, control: &str) {
    fs::remove_file(bench.camera(node, control)).expect("it was there");
}

#[test]
fn a_camera_that_comes_back_under_another_number_is_found_by_its_link() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let mut last = sees(&peer, "usb");
    for (before, after) in [(0, 2), (2, 0)] {
        unplug(&bench, before);
        is_told(&peer, "no such device");
        sees(&peer, "other");
        plug(&bench, after);
        let next = sees(&peer, "usb");
        assert!(next["seq"].as_u64() > last["seq"].as_u64() && next["boot"] == last["boot"], "{last}, then {next}");
        last = next;
    }
}

#[test]
fn what_is_plugged_in_instead_is_asked_for_its_own_format() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    fs::write(bench.path("raw"), [90, 128].repeat(640 * 480)).expect("a temporary file");
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let size = |width: u32, height: u32| {
        move |message: &Value| message["camera"] == "usb" && message["width"] == width && message["height"] == height
    };
    let how = |how: &'static str| {
        move |message: &Value| message["cameras"][0]["cause"].as_str().is_some_and(|said| said.starts_with(how))
    };
    for _ in 0..2 {
        peer.hears("its own JPEGs", size(480, 320));
        bench.plug_camera_of(0, &format!("YUYV 640x480 15 {}", bench.path("raw").display()));
        peer.hears("how it is now", how("640x480 YUYV, 15 frames"));
        peer.hears("encoded frames", size(640, 480));
        bench.plug_camera(0, &bench.path("film"));
        peer.hears("how it is now", how("480x320 MJPG, 25 frames"));
    }
}

#[test]
fn a_camera_without_bandwidth_is_named_so_and_comes_when_there_is_some() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "nospace");
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    for _ in 0..2 {
        is_told(&peer, "no bandwidth left on its USB bus; use a smaller size");
        sees(&peer, "other");
        clear(&bench, 0, "nospace");
        sees(&peer, "usb");
        // Plugged out and in again, and meanwhile another camera took what there was.
        set(&bench, 0, "nospace");
        plug(&bench, 0);
    }
}

#[test]
fn frames_that_come_too_soon_to_be_looked_at_do_not_make_a_broken_camera_a_working_one() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "cut");
    plug(&bench, 0);
    // Of two or three frames one is looked at.
    let _agent = two_cameras(&peer, &bench, 10);
    let told = is_told(&peer, "gives only broken frames");
    let opened = |message: &Value| message["cameras"][0]["counts"]["opened"].as_u64();
    peer.hears("another try", |message| {
        assert_ne!(message["cameras"][0]["up"], true, "{message}");
        opened(message) > opened(&told).map(|times| times + 1)
    });
    clear(&bench, 0, "cut");
    sees(&peer, "usb");
}

#[test]
fn a_camera_that_hangs_while_it_is_opened_is_named_so_and_given_up() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "hang");
    plug(&bench, 0);
    let mut agent = two_cameras(&peer, &bench, 25);
    is_told(&peer, "takes long to open");
    sees(&peer, "other");
    is_told(&peer, "hangs in its driver");
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    let mut agent = two_cameras(&peer, &bench, 25);
    is_told(&peer, "takes long to open");
    clear(&bench, 0, "hang");
    sees(&peer, "usb");
    let (status, _) = agent.terminate();
    assert!(status.success() && !agent.log().contains("left behind"), "{}", agent.log());
}

#[test]
fn a_camera_that_hangs_soon_after_it_was_opened_is_named_soon() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    set(&bench, 0, "hang");
    let hangs = Instant::now();
    is_told(&peer, "hangs in its driver");
    // Two seconds, on a machine that has the time; opening would have eight.
    assert!(hangs.elapsed() < Duration::from_secs(5), "{:?}", hangs.elapsed());
}

#[test]
fn a_change_is_in_a_status_of_its_own() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let mut ages = Vec::new();
    for _ in 0..5 {
        for up in [true, false] {
            let status = peer.hears("the change", |message| message["cameras"][0]["up"] == up);
            ages.push(status["cameras"][0]["for_ms"].as_u64().expect("a number"));
            if up { unplug(&bench, 0) } else { plug(&bench, 0) }
        }
    }
    // Where a status comes each second, half of them would be older than half a second.
    let old = ages.iter().filter(|age| **age > 250).count();
    assert!(old <= 2, "{ages:?}");
}

#[test]
fn no_fault_leaves_anything_behind() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    let held = || (agent.descriptors(), agent.threads());
    let before = held();
    for _ in 0..3 {
        for (control, cause) in [("hang", "hangs in its driver"), ("nospace", "no bandwidth left")] {
            set(&bench, 0, control);
            if control == "nospace" {
                plug(&bench, 0);
            }
            is_told(&peer, cause);
            clear(&bench, 0, control);
            peer.hears("it is up", |message| message["cameras"][0]["up"] == true);
        }
    }
    eventually("as many descriptors and threads as before", || (held() == before).then_some(()));
}

#[test]
fn what_the_driver_kept_while_the_agent_was_held_up_is_not_sent_as_new() {
    let bench = Bench::new();
    let peer = Peer::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    bench.link_camera(LINK, 0);
    let agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    agent.signal(Signal::SIGSTOP);
    std::thread::sleep(HELD_UP);
    agent.signal(Signal::SIGCONT);
    peer.hears("what was not sent", |message| message["cameras"][0]["counts"]["frames_too_old"].as_u64() > Some(0));
    assert!(sees(&peer, "usb")["age_us"].as_u64() < Some(1_000_000));
}
