use std::fs;

use serde_json::json;

use crate::harness::ffmpeg::{frame_times, pictures};
use crate::harness::http::get;
use crate::harness::recordings::{jpegs, recording};
use crate::harness::{Bench, Sender, eventually, now_us};

#[test]
fn moments_and_ranges_are_found_during_and_after_recording() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let receiver = recording(&bench, "segment = \"2s\"");
    let mut sender = Sender::new(&receiver.link, "door");
    let sent = sender.send_all(&jpegs, 150);
    let page = &receiver.page;
    let look = |at_us: i64, more: &str| get(page, &format!("/api/recordings/shed/door/frame.jpg?at_us={at_us}{more}"));
    eventually("the last frame", || {
        let captured_at_us = look(sent[149] + 1_000, "").number("x-captured-at-us")?;
        (captured_at_us.abs_diff(sent[149]) < 1_000).then_some(())
    });
    for number in [0, 1, 24, 25, 26, 49, 50, 99, 100, 148] {
        // Files store whole milliseconds, so a frame may appear slightly later than it was taken.
        let frame = look(sent[number] + 20_000, "");
        assert_eq!((frame.status, frame.body == jpegs[number % 15]), (200, true), "{number} {:?}", frame.headers);
        let times = [("x-captured-at-us", sent[number]), ("x-next-us", sent[number + 1])];
        for (name, expected) in times {
            let is_near = frame.number(name).is_some_and(|at_us| at_us.abs_diff(expected) < 1_000);
            assert!(is_near, "{name} {expected} {:?}", frame.headers);
        }
    }
    assert_eq!(look(sent[149] + 1_000, "").number("x-next-us"), None);
    let small = look(sent[30] + 20_000, "&width=160");
    assert!(small.status == 200 && small.header("cache-control").is_some_and(|value| value.contains("immutable")));
    assert_eq!(watchpost::jpeg::size(&small.body), Some((120, 80)));
    for (at_us, status) in [(sent[0] - 1_000_000, 404), (sent[149] + 60_000_000, 404)] {
        assert_eq!(look(at_us, "").status, status);
    }

    let spans = get(page, &format!("/api/recordings?from_us={}&to_us={}", sent[0] - 5_000_000, now_us())).json();
    let door = &spans["cameras"][0];
    assert_eq!((&door["agent"], &door["camera"]), (&json!("shed"), &json!("door")), "{spans}");
    assert_eq!(door["spans"].as_array().map(Vec::len), Some(1), "{spans}");
    let first = look(door["spans"][0][0].as_i64().expect("a time"), "");
    assert_eq!((first.status, first.body == jpegs[0]), (200, true), "{:?}", first.headers);
    assert!(spans["oldest_us"].as_i64().is_some_and(|oldest| oldest.abs_diff(sent[0]) < 1_000), "{spans}");

    let (from, to) = (sent[30] - 10_000, sent[120] + 10_000);
    let film = get(page, &format!("/api/recordings/shed/door/range.mkv?from_us={from}&to_us={to}"));
    let disposition = film.header("content-disposition");
    assert!(
        film.status == 200 && disposition.is_some_and(|value| value.starts_with("attachment; filename=\"shed door 20")),
        "{disposition:?}"
    );
    let path = bench.path("range.mkv");
    fs::write(&path, film.body).expect("a temporary file");
    assert_eq!(pictures(&path), (30..=120).flat_map(|number| jpegs[number % 15].clone()).collect::<Vec<_>>());
    for (recorded, sent) in frame_times(&path).iter().zip(&sent[30..]) {
        assert!(recorded.abs_diff(*sent) < 1_000, "{recorded} is not {sent}");
    }
}

#[test]
fn invalid_footage_requests_are_rejected_with_a_reason() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send(&jpegs[0], now_us());
    let now = now_us();
    let names = ["..", "%2e%2e", "%2fetc%2fpasswd", "a%00b", ".lock", "%ff", "door%2f..", "none", "%C3%A4", "*"];
    let bad_names = names.iter().flat_map(|name| {
        let url = |rest: &str| format!("/api/recordings/{rest}");
        [
            url(&format!("{name}/door/frame.jpg?at_us={now}")),
            url(&format!("shed/{name}/frame.jpg?at_us={now}")),
            url(&format!("shed/{name}/range.mkv?from_us=0&to_us={now}")),
        ]
    });
    let parameters = ["", "?at_us=", "?at_us=now", "?at_us=1e9", "?at_us=99999999999999999999", "?width=160"];
    let bad_parameters = parameters.iter().map(|query| format!("/api/recordings/shed/door/frame.jpg{query}"));
    let others = [
        "/api/recordings",
        "/api/recordings?from_us=2&to_us=1",
        "/api/recordings?from_us=0&to_us=1&agent=..",
        "/api/recordings/shed/door/frame.jpg?at_us=1&width=0",
        "/api/recordings/shed/door/frame.jpg?at_us=1&width=99999",
        "/api/recordings/shed/door/frame.jpg?at_us=-9223372036854775808",
        "/api/recordings/shed/door/frame.jpg?at_us=9223372036854775807",
        "/api/recordings/shed/door/range.mkv?from_us=-9223372036854775808&to_us=-9223372036854775807",
    ];
    for path in bad_names.chain(bad_parameters).chain(others.map(str::to_owned)) {
        let answer = get(&receiver.page, &path);
        assert!(matches!(answer.status, 400 | 404), "{} {path}", answer.status);
        let reason = answer.json()["error"].as_str().expect("a reason").to_owned();
        assert!(!reason.contains("deserialize query string"), "{path} {reason}");
    }
}
