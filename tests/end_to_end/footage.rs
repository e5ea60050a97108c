use std::fs;

use serde_json::json;

use crate::harness::http::get;
use crate::harness::played::{pictures, times};
use crate::harness::recordings::{jpegs, recording};
use crate::harness::{Bench, Sender, eventually, now_us};

#[test]
fn a_moment_and_a_range_are_found_while_it_is_recorded_and_afterwards() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let receiver = recording(&bench, "segment = \"2s\"");
    let mut sender = Sender::new(&receiver.link, "door");
    let sent = sender.sends_all(&jpegs, 150);
    let page = &receiver.page;
    let look = |at_us: i64, more: &str| get(page, &format!("/api/recordings/shed/door/frame.jpg?at_us={at_us}{more}"));
    eventually("the last frame", || {
        let told = look(sent[149] + 1_000, "").number("x-captured-at-us")?;
        (told.abs_diff(sent[149]) < 1_000).then_some(())
    });
    for number in [0, 1, 24, 25, 26, 49, 50, 99, 100, 148] {
        // Files count whole milliseconds, so a frame may seem to be later than it was.
        let frame = look(sent[number] + 20_000, "");
        assert_eq!((frame.status, frame.body == jpegs[number % 15]), (200, true), "{number} {:?}", frame.headers);
        let told = [("x-captured-at-us", sent[number]), ("x-next-us", sent[number + 1])];
        for (name, wanted) in told {
            let came = frame.number(name);
            assert!(came.is_some_and(|came| came.abs_diff(wanted) < 1_000), "{name} {wanted} {:?}", frame.headers);
        }
    }
    assert_eq!(look(sent[149] + 1_000, "").number("x-next-us"), None);
    let small = look(sent[30] + 20_000, "&width=160");
    assert!(small.status == 200 && small.header("cache-control").is_some_and(|told| told.contains("immutable")));
    assert_eq!(watchpost::jpeg::size(&small.body), Some((120, 80)));
    for (at_us, wanted) in [(sent[0] - 1_000_000, 404), (sent[149] + 60_000_000, 404)] {
        assert_eq!(look(at_us, "").status, wanted);
    }

    let spans = get(page, &format!("/api/recordings?from_us={}&to_us={}", sent[0] - 5_000_000, now_us())).json();
    let of_door = &spans["cameras"][0];
    assert_eq!((&of_door["agent"], &of_door["camera"]), (&json!("shed"), &json!("door")), "{spans}");
    assert_eq!(of_door["spans"].as_array().map(Vec::len), Some(1), "{spans}");
    let begin = look(of_door["spans"][0][0].as_i64().expect("a time"), "");
    assert_eq!((begin.status, begin.body == jpegs[0]), (200, true), "{:?}", begin.headers);
    assert!(spans["oldest_us"].as_i64().is_some_and(|oldest| oldest.abs_diff(sent[0]) < 1_000), "{spans}");

    let (from, to) = (sent[30] - 10_000, sent[120] + 10_000);
    let film = get(page, &format!("/api/recordings/shed/door/range.mkv?from_us={from}&to_us={to}"));
    let disposition = film.header("content-disposition");
    assert!(
        film.status == 200 && disposition.is_some_and(|told| told.starts_with("attachment; filename=\"shed door 20")),
        "{disposition:?}"
    );
    let path = bench.path("range.mkv");
    fs::write(&path, film.body).expect("a temporary file");
    assert_eq!(pictures(&path), (30..=120).flat_map(|number| jpegs[number % 15].clone()).collect::<Vec<_>>());
    for (came, sent) in times(&path).iter().zip(&sent[30..]) {
        assert!(came.abs_diff(*sent) < 1_000, "{came} is not {sent}");
    }
}

#[test]
fn what_is_asked_for_wrongly_is_refused_with_words() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.sends(&jpegs[0], now_us());
    let now = now_us();
    let names = ["..", "%2e%2e", "%2fetc%2fpasswd", "a%00b", ".lock", "%ff", "door%2f..", "none", "%C3%A4", "*"];
    let of_names = names.iter().flat_map(|name| {
        let of = |rest: &str| format!("/api/recordings/{rest}");
        [
            of(&format!("{name}/door/frame.jpg?at_us={now}")),
            of(&format!("shed/{name}/frame.jpg?at_us={now}")),
            of(&format!("shed/{name}/range.mkv?from_us=0&to_us={now}")),
        ]
    });
    let parameters = ["", "?at_us=", "?at_us=now", "?at_us=1e9", "?at_us=99999999999999999999", "?width=160"];
    let of_parameters = parameters.iter().map(|query| format!("/api/recordings/shed/door/frame.jpg{query}"));
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
    for path in of_names.chain(of_parameters).chain(others.map(str::to_owned)) {
        let refused = get(&receiver.page, &path);
        assert!(matches!(refused.status, 400 | 404), "{} {path}", refused.status);
        let words = refused.json()["error"].as_str().expect("words").to_owned();
        assert!(!words.contains("deserialize query string"), "{path} {words}");
    }
}
