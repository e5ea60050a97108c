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
    assert_eq!(camera.connections(), 1);
    let frames = &arrived.frames["door"];
    assert!((0..frames.len()).all(|number| frames[number] == numbered(number as u8)), "not each picture once");
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
    arrived.until("its status", &peer, |arrived| arrived.status["door"]["counts"]["opened"] == 1);
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
    Arrived::default().until("pictures", &peer, |arrived| arrived.count("door") >= 10);
    let without = camera.requests().iter().filter(|head| !head.contains("authorization")).count();
    assert_eq!((without, camera.connections()), (1, 1));
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
    let sizes = [(64, 48), (320, 240), (48, 64), (64, 48)];
    let films: Vec<Vec<u8>> = sizes.iter().map(|size| film_of(&bench, "film", 1, *size).1.remove(0)).collect();
    let sent = films.clone();
    let camera = HttpCamera::start(move |_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&sent, INTERVAL, (PART, "\r\n"), to)
    });
    let _agent = agent(&bench, &peer, &camera, "");
    let mut arrived = Arrived::default();
    arrived.until("all sizes, twice", &peer, |arrived| arrived.count("door") >= 8);
    assert_eq!(arrived.frames["door"][..8], [&films[..], &films[..]].concat());
    arrived.until("its status", &peer, |arrived| arrived.status["door"]["counts"]["opened"] == 1);
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
    let count = arrived.count("door");
    arrived.until("the next pictures", &peer, |arrived| arrived.count("door") >= count + 10);
    let shown: Vec<usize> = arrived.frames["door"].iter().map(|frame| numbers[frame]).collect();
    let longest = shown.windows(2).map(|two| (two[1] + 256 - two[0]) % 256).max();
    assert!(longest >= Some(40), "old pictures were shown: {shown:?}");
    arrived.until("the count of replaced pictures", &peer, |arrived| {
        let counts = &arrived.status["door"]["counts"];
        counts["frames_replaced"].as_u64() >= Some(40) && counts["opened"] == 1
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
