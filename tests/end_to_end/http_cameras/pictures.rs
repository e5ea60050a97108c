//! Cameras over time: single JPEGs, slow streams, other sizes, more pictures than are wanted.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::ways::{Arrived, INTERVAL, MJPEG, PART, jpegs};
use super::{DIGEST, DIGEST_RESPONSE};
use crate::harness::ffmpeg::pictures;
use crate::harness::film::{film_of, numbered};
use crate::harness::http_camera::{HttpCamera, reply, stream_of};
use crate::harness::recordings::{files, frames_in, recording};
use crate::harness::{Bench, Peer, Program, eventually};

/// An agent with one camera, `door`, whose table has these keys after its source.
fn agent(bench: &Bench, peer: &Peer, camera: &HttpCamera, keys: &str) -> Program {
    agent_at(bench, &peer.address, camera, keys)
}

fn agent_at(bench: &Bench, link: &str, camera: &HttpCamera, keys: &str) -> Program {
    bench.agent(&format!(
        "name = \"shed\"\ncamera = [{{ name = \"door\", source = \"http://me:you@127.0.0.1:{}/\"{keys} }}]\n\
         link = [{{ pattern = \"pair\", connect = \"{}\" }}]\n",
        camera.port, link
    ))
}

/// A camera that answers each request with one JPEG and these headers.
fn single_jpegs(headers: &'static str) -> HttpCamera {
    let count = AtomicUsize::new(0);
    HttpCamera::start(move |_, to| {
        let jpeg = numbered(count.fetch_add(1, Ordering::Relaxed) as u8);
        reply("HTTP/1.1 200 OK", headers, &jpeg, to)?;
        if headers.contains("close") { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    })
}

/// Checks that each time the camera was opened, one connection sufficed; returns how often it was opened. On a busy machine, it
/// can be silent for too long.
#[track_caller]
fn assert_one_connection(arrived: &mut Arrived, peer: &Peer, camera: &HttpCamera) -> usize {
    let connections = camera.connections();
    arrived.status.clear();
    arrived.until("a new status", peer, |arrived| arrived.status.contains_key("door"));
    let opened = arrived.status["door"]["counts"]["opened"].as_u64().expect("a count") as usize;
    assert!(connections <= opened, "{connections} connections for {opened} times");
    opened
}

#[test]
fn single_jpegs_are_requested_at_the_rate_over_one_connection() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let camera = single_jpegs("Content-Type: image/jpeg\r\n");
    let start = Instant::now();
    let _agent = agent(&bench, &peer, &camera, ", fps = 5");
    let mut arrived = Arrived::default();
    arrived.until("pictures", &peer, |arrived| arrived.count("door") >= 10);
    let most = (start.elapsed().as_secs_f64() * 5.0) as usize + 2;
    assert!(camera.requests().len() <= most, "{} requests instead of {most}", camera.requests().len());
    assert_one_connection(&mut arrived, &peer, &camera);
    let film: Vec<Vec<u8>> = (0..=255).map(numbered).collect();
    let number = |frame| film.iter().position(|other| other == frame).expect("the camera's own bytes");
    let shown: Vec<usize> = arrived.frames["door"].iter().map(number).collect();
    assert!(shown.is_sorted_by(|one, next| one < next), "not each picture once: {shown:?}");
    arrived.until("its status", &peer, |arrived| arrived.cause("door") == "single JPEGs over HTTP");
    // A new rate applies at once.
    peer.send(&json!({ "type": "set", "camera": "door", "fps": 100.0 }));
    let before = camera.requests().len();
    arrived.until("more pictures", &peer, |arrived| arrived.count("door") >= before + 50);
}

#[test]
fn single_jpegs_are_requested_even_if_each_closes_the_connection() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let camera = single_jpegs("Content-Type: image/jpg\r\nConnection: close\r\n");
    let _agent = agent(&bench, &peer, &camera, "");
    let mut arrived = Arrived::default();
    arrived.until("pictures", &peer, |arrived| arrived.count("door") >= 10);
    let connections = camera.connections() as u64;
    arrived.until("a status", &peer, |arrived| arrived.status.contains_key("door"));
    let opened = arrived.status["door"]["counts"]["opened"].as_u64().expect("a count");
    assert!(opened * 2 < connections, "opened {opened} times for {connections} pictures");
}

#[test]
fn login_is_kept_for_the_next_single_jpeg() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let camera = HttpCamera::start(|head, to| {
        if !head.contains(DIGEST_RESPONSE) {
            return reply("HTTP/1.1 401 Unauthorized", DIGEST, b"no", to);
        }
        reply("HTTP/1.1 200 OK", "Content-Type: image/jpeg\r\n", &numbered(1), to)
    });
    let _agent = agent(&bench, &peer, &camera, ", fps = 20");
    let mut arrived = Arrived::default();
    arrived.until("pictures", &peer, |arrived| arrived.count("door") >= 10);
    let without = camera.requests().iter().filter(|head| !head.contains("authorization")).count();
    let opened = assert_one_connection(&mut arrived, &peer, &camera);
    assert!(without <= opened, "{without} requests without a login");
}

#[test]
fn camera_with_a_picture_every_three_seconds_stays_up() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let camera = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&jpegs(), Duration::from_secs(3), (PART, "\r\n"), to)
    });
    let _agent = agent(&bench, &peer, &camera, "");
    let mut arrived = Arrived::default();
    arrived.until("pictures", &peer, |arrived| arrived.count("door") >= 5);
    assert_eq!(arrived.frames["door"][..4], jpegs());
    assert_eq!(camera.connections(), 1);
}

#[test]
fn pictures_change_their_size_in_mid_stream() {
    let (bench, peer) = (Bench::new(), Peer::new());
    // Larger, turned, smaller. A camera that is opened again starts with the first one.
    let sizes = [(64, 48), (320, 240), (240, 320), (32, 16)];
    let sizes: Vec<Vec<u8>> = sizes.iter().map(|size| film_of(&bench, "film", 1, *size).1.remove(0)).collect();
    let sent = sizes.iter().flat_map(|jpeg| vec![jpeg.clone(); 4]).collect::<Vec<_>>();
    let camera = HttpCamera::start(move |_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&sent, INTERVAL, (PART, "\r\n"), to)
    });
    let _agent = agent(&bench, &peer, &camera, "");
    let mut arrived = Arrived::default();
    arrived.until("all sizes", &peer, |arrived| {
        sizes.iter().all(|jpeg| arrived.frames.get("door").is_some_and(|frames| frames.contains(jpeg)))
    });
    assert!(arrived.frames["door"].iter().all(|frame| sizes.contains(frame)));
}

#[test]
fn recording_is_split_where_the_size_changes() {
    let bench = Bench::in_memory();
    let sizes = [(64, 48), (320, 240)].map(|size| film_of(&bench, "film", 1, size).1.remove(0));
    let sent = [vec![sizes[0].clone(); 10], vec![sizes[1].clone(); 1_000]].concat();
    let mut receiver = recording(&bench, "");
    let camera = HttpCamera::start(move |_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&sent, INTERVAL, (PART, "\r\n"), to)
    });
    let _agent = agent_at(&bench, &receiver.link, &camera, "");
    eventually("frames of both sizes", || (frames_in(&bench) >= 20).then_some(()));
    receiver.program.terminate();
    let files = files(&bench, "door");
    assert_eq!(files.len(), 2, "{files:?}");
    for (file, jpeg) in files.iter().zip(&sizes) {
        let recorded = pictures(file);
        assert!(recorded.chunks(jpeg.len()).all(|chunk| chunk == jpeg), "{}: another size", file.display());
    }
}

/// A JPEG that shows a number, with a comment that makes it as large as that of a large picture.
fn large(number: u8) -> Vec<u8> {
    let comment = [&[0xff, 0xfe, 0x80, 0x00][..], &vec![7; 0x7ffe]].concat();
    let mut jpeg = numbered(number);
    jpeg.splice(2..2, comment);
    jpeg
}

#[test]
fn pictures_that_waited_are_replaced_by_the_newest() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let film: Vec<Vec<u8>> = (0..=255).map(large).collect();
    let numbers: HashMap<Vec<u8>, usize> = film.iter().cloned().zip(0..).collect();
    let camera = HttpCamera::start(move |_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&film, Duration::from_millis(10), (PART, "\r\n"), to)
    });
    let agent = agent(&bench, &peer, &camera, ", fps = 240");
    let mut arrived = Arrived::default();
    arrived.until("pictures", &peer, |arrived| arrived.count("door") >= 10);
    agent.signal(Signal::SIGSTOP);
    // The camera goes on until 50 pictures wait: more than the agent reads at once.
    let before = camera.writes();
    eventually("waiting pictures", || (camera.writes() >= before + 50).then_some(()));
    agent.signal(Signal::SIGCONT);
    arrived.until("a picture that replaces 20 others", &peer, |arrived| {
        let shown: Vec<usize> = arrived.frames["door"].iter().map(|frame| numbers[frame]).collect();
        shown.windows(2).any(|two| (two[1] + 256 - two[0]) % 256 > 20)
    });
    arrived.until("the count of replaced pictures", &peer, |arrived| {
        let door = arrived.status.get("door");
        door.and_then(|door| door["counts"]["frames_replaced"].as_u64()) >= Some(20)
    });
}

#[test]
fn switching_off_and_on_retries_a_refused_camera_at_once() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let count = AtomicUsize::new(0);
    let camera = HttpCamera::start(move |_, to| {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            return reply("HTTP/1.1 404 Not Found", "", b"", to);
        }
        reply("HTTP/1.1 200 OK", "Content-Type: image/jpeg\r\n", &numbered(1), to)
    });
    let _agent = agent(&bench, &peer, &camera, "");
    let mut arrived = Arrived::default();
    arrived.until("its cause", &peer, |arrived| arrived.cause("door").starts_with("no such stream (404)"));
    peer.send(&json!({ "type": "set", "camera": "door", "on": false }));
    arrived.until("being off", &peer, |arrived| arrived.cause("door") == "switched off");
    peer.send(&json!({ "type": "set", "camera": "door", "on": true }));
    arrived.until("a picture", &peer, |arrived| arrived.count("door") > 0);
}
