use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Bench, Peer, Program, eventually, film};

/// How long to suspend the agent; longer than frames count as current.
const SUSPENSION: Duration = Duration::from_millis(1_500);

const LINK: &str = "usb-camera-video-index0";

/// Starts an agent with a USB camera, found by its link, and one camera without faults.
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
    peer.wait_for(&format!("a frame of {camera}"), |message| message["camera"] == camera)
}

/// Waits for a status in which the USB camera is down for this cause.
#[track_caller]
fn goes_down(peer: &Peer, cause: &str) -> Value {
    peer.wait_for(cause, |message| {
        let usb = &message["cameras"][0];
        usb["up"] == false && usb["cause"].as_str().is_some_and(|text| text.starts_with(cause))
    })
}

fn plug(bench: &Bench, node: u32) {
    bench.link_camera(LINK, node);
    bench.plug_camera(node, &bench.path("film"));
}

fn unplug(bench: &Bench, node: u32) {
    clear(bench, node, "camera");
    fs::remove_file(bench.path("cameras/by-id").join(LINK)).expect("a plugged-in camera");
}

fn set(bench: &Bench, node: u32, control: &str) {
    fs::create_dir_all(bench.path("cameras")).expect("a temporary directory");
    fs::write(bench.camera(node, control), "").expect("a temporary file");
}

fn clear(bench: &Bench, node: u32, control: &str) {
    fs::remove_file(bench.camera(node, control)).expect("an active fault");
}

#[test]
fn camera_is_found_by_link_under_a_new_device_number() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let mut last = sees(&peer, "usb");
    for (before, after) in [(0, 2), (2, 0)] {
        unplug(&bench, before);
        goes_down(&peer, "no such device");
        sees(&peer, "other");
        plug(&bench, after);
        let next = sees(&peer, "usb");
        assert!(next["seq"].as_u64() > last["seq"].as_u64() && next["boot"] == last["boot"], "{last}, then {next}");
        last = next;
    }
}

#[test]
fn replacement_camera_uses_its_own_format() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    fs::write(bench.path("raw"), [90, 128].repeat(640 * 480)).expect("a temporary file");
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let size = |width: u32, height: u32| {
        move |message: &Value| message["camera"] == "usb" && message["width"] == width && message["height"] == height
    };
    let mode = |mode: &'static str| {
        move |message: &Value| message["cameras"][0]["cause"].as_str().is_some_and(|text| text.starts_with(mode))
    };
    for _ in 0..2 {
        peer.wait_for("its own JPEGs", size(480, 320));
        bench.plug_camera_of(0, &format!("YUYV 640x480 15 {}", bench.path("raw").display()));
        peer.wait_for("the new mode", mode("640x480 YUYV, 15 frames"));
        peer.wait_for("encoded frames", size(640, 480));
        bench.plug_camera(0, &bench.path("film"));
        peer.wait_for("the new mode", mode("480x320 MJPG, 25 frames"));
    }
}

#[test]
fn camera_without_bandwidth_is_reported_and_recovers() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "nospace");
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    for _ in 0..2 {
        goes_down(&peer, "no bandwidth left on its USB bus; use a smaller size");
        sees(&peer, "other");
        clear(&bench, 0, "nospace");
        sees(&peer, "usb");
        // Replugged, while another camera has taken the bandwidth.
        set(&bench, 0, "nospace");
        plug(&bench, 0);
    }
}

#[test]
fn skipped_frames_do_not_make_a_broken_camera_look_fine() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "cut");
    plug(&bench, 0);
    // At 10 of 25 frames per second, the agent checks one of two or three frames.
    let _agent = two_cameras(&peer, &bench, 10);
    let status = goes_down(&peer, "sends only broken frames");
    let opened = |message: &Value| message["cameras"][0]["counts"]["opened"].as_u64();
    peer.wait_for("another try", |message| {
        assert_ne!(message["cameras"][0]["up"], true, "{message}");
        opened(message) > opened(&status).map(|times| times + 1)
    });
    clear(&bench, 0, "cut");
    sees(&peer, "usb");
}

#[test]
fn camera_hanging_on_open_is_reported_and_abandoned() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    set(&bench, 0, "hang");
    plug(&bench, 0);
    let mut agent = two_cameras(&peer, &bench, 25);
    goes_down(&peer, "is slow to open");
    sees(&peer, "other");
    goes_down(&peer, "hangs in its driver");
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    let mut agent = two_cameras(&peer, &bench, 25);
    goes_down(&peer, "is slow to open");
    clear(&bench, 0, "hang");
    sees(&peer, "usb");
    let (status, _) = agent.terminate();
    assert!(status.success() && !agent.log().contains("abandoning"), "{}", agent.log());
}

#[test]
fn camera_hanging_after_open_is_reported_quickly() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    let mut stopwatch = agent.stopwatch();
    set(&bench, 0, "hang");
    goes_down(&peer, "hangs in its driver");
    // The limit is 2 s on an idle machine; for opening it would be 8 s.
    let took = stopwatch.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn camera_changes_send_a_status_at_once() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let _agent = two_cameras(&peer, &bench, 25);
    let mut ages = Vec::new();
    for _ in 0..5 {
        for up in [true, false] {
            let status = peer.wait_for("the change", |message| message["cameras"][0]["up"] == up);
            ages.push(status["cameras"][0]["for_ms"].as_u64().expect("a number"));
            if up { unplug(&bench, 0) } else { plug(&bench, 0) }
        }
    }
    // With only one status per second, half of the ages would exceed half a second. A busy machine delays some.
    ages.sort_unstable();
    assert!(ages[ages.len() / 2] < 250, "{ages:?}");
}

#[test]
fn camera_faults_leak_no_descriptors_or_threads() {
    let (bench, peer) = (Bench::new(), Peer::new());
    film(&bench, "film", 5);
    plug(&bench, 0);
    let agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    let resources = || (agent.descriptors(), agent.threads());
    // Everything runs before it is counted.
    sees(&peer, "other");
    peer.wait_for("an open spool", |message| message["spool"]["up"] == true);
    let before = resources();
    for _ in 0..3 {
        for (control, cause) in [("hang", "hangs in its driver"), ("nospace", "no bandwidth left")] {
            set(&bench, 0, control);
            if control == "nospace" {
                plug(&bench, 0);
            }
            goes_down(&peer, cause);
            clear(&bench, 0, control);
            peer.wait_for("it is up", |message| message["cameras"][0]["up"] == true);
        }
    }
    eventually("as many descriptors and threads as before", || (resources() == before).then_some(()));
}

#[test]
fn frames_buffered_while_suspended_are_not_sent_as_new() {
    let bench = Bench::new();
    let peer = Peer::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    bench.link_camera(LINK, 0);
    let agent = two_cameras(&peer, &bench, 25);
    sees(&peer, "usb");
    agent.signal(Signal::SIGSTOP);
    std::thread::sleep(SUSPENSION);
    agent.signal(Signal::SIGCONT);
    peer.wait_for("a count of frames that were too old", |message| {
        message["cameras"][0]["counts"]["frames_too_old"].as_u64() > Some(0)
    });
    assert!(sees(&peer, "usb")["age_us"].as_u64() < Some(1_000_000));
}
