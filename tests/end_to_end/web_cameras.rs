use serde_json::{Value, json};

use crate::harness::http::{Answer, ask, get, post};
use crate::harness::{Bench, Program, Receiver, eventually, free_port, now_us};

fn agent(bench: &Bench, link: &str) -> Program {
    bench.agent(&format!(
        r#"
        name = "shed"
        camera = [
            {{ name = "door", source = "pattern", fps = 20 }},
            {{ name = "yard", source = "pattern", on = false }},
            {{ name = "gate", source = "/dev/video63" }},
        ]
        link = [{{ {link} }}]
        "#
    ))
}

/// Waits until /api/wall describes a camera as expected; returns the description.
fn wait_for_camera(receiver: &Receiver, camera: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let wall = get(&receiver.page, "/api/wall").json();
        let cameras = wall["agents"][0]["cameras"].as_array().cloned().unwrap_or_default();
        cameras.into_iter().find(|part| part["name"] == camera).filter(&is_so)
    })
}

fn assert_refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = answer.json()["error"].as_str().expect("words").to_owned();
    assert!(error.contains(words), "{error:?} does not contain {words:?}");
}

#[test]
fn camera_status_follows_its_settings() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    let set = |settings: Value| {
        let answer = post(&receiver.page, "/api/cameras/shed/door", &settings.to_string());
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    wait_for_camera(&receiver, "door", "door is on", |part| {
        part["settings"]["on"] == true && part["fps"].as_f64() > Some(10.0)
    });
    set(json!({ "on": false }));
    wait_for_camera(&receiver, "door", "door is off", |part| part["settings"]["on"] == false && part["fps"] == 0.0);
    set(json!({ "on": true, "fps": 4, "quality": 35 }));
    let is_set = |part: &Value| part["settings"] == json!({ "on": true, "fps": 4.0, "quality": 35 });
    wait_for_camera(&receiver, "door", "door has the new settings", is_set);
    let is_slow = |part: &Value| part["fps"].as_f64().is_some_and(|fps| fps > 2.0 && fps < 6.0);
    wait_for_camera(&receiver, "door", "door has a lower frame rate", is_slow);
}

#[test]
fn router_controls_each_agent_separately() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let config = |name: &str| {
        format!(
            "name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
             link = [{{ pattern = \"dealer\", connect = \"{}\" }}]",
            receiver.link
        )
    };
    let other = Bench::new();
    let _shed = bench.agent(&config("shed"));
    let mut barn = other.agent(&config("barn"));
    let on = |agent: &str| {
        let wall = get(&receiver.page, "/api/wall").json();
        let agents = wall["agents"].as_array().cloned().unwrap_or_default();
        let agent = agents.into_iter().find(|known| known["name"] == agent && known["control"] == true)?;
        agent["cameras"][0]["settings"]["on"].as_bool()
    };
    // The second time, the barn's agent is a new peer.
    for _ in 0..2 {
        eventually("both are on", || (on("shed") == Some(true) && on("barn") == Some(true)).then_some(()));
        assert_eq!(post(&receiver.page, "/api/cameras/barn/door", "{\"on\":false}").status, 202);
        eventually("the barn's is off", || (on("barn") == Some(false)).then_some(()));
        assert_eq!(on("shed"), Some(true));
        barn.terminate();
        barn = other.agent(&config("barn"));
    }
}

#[test]
fn snapshot_of_a_camera_that_is_off_can_be_downloaded() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    wait_for_camera(&receiver, "yard", "the cameras", |part| part["settings"]["on"] == false);
    let yard = "/api/cameras/shed/yard/frame.jpg";
    assert_refused(&get(&receiver.page, yard), 404, "no frame");
    assert_eq!(post(&receiver.page, "/api/cameras/shed/yard/snapshot", "").status, 202);
    let frame = eventually("the snapshot", || Some(get(&receiver.page, yard)).filter(|answer| answer.status == 200));
    assert_eq!(frame.header("content-type"), Some("image/jpeg"));
    assert_eq!(frame.header("cache-control"), Some("no-store"));
    assert!(frame.body.starts_with(&[0xff, 0xd8]) && frame.body.ends_with(&[0xff, 0xd9]));
    let (at, now) = (frame.number("x-captured-at-us").expect("its time"), now_us());
    assert!((now - 60_000_000..=now).contains(&at), "{at} is not just before {now}");
    assert_eq!(frame.header("content-disposition"), None);
    let download = get(&receiver.page, &format!("{yard}?download"));
    let name = download.header("content-disposition").expect("a name");
    assert!(name.starts_with("attachment; filename=\"shed yard 20"), "{name}");
    assert_eq!(download.body, frame.body);
    // A camera that is down has no frame.
    assert_refused(&get(&receiver.page, "/api/cameras/shed/gate/frame.jpg"), 404, "no frame");
}

#[test]
fn invalid_requests_are_refused_with_a_reason() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    wait_for_camera(&receiver, "door", "the camera", |_| true);
    let door = "/api/cameras/shed/door";
    for (path, body, status, words) in [
        ("/api/cameras/barn/door", "{\"on\":true}", 404, "no such agent"),
        ("/api/cameras/shed/roof", "{\"on\":true}", 404, "no such camera"),
        ("/api/cameras/shed/roof/snapshot", "", 404, "no such camera"),
        ("/api/cameras/shed/..%2f..", "{\"on\":true}", 404, "no such name"),
        ("/api/cameras/shed/%ff", "{\"on\":true}", 400, "UTF-8"),
        (door, "", 400, "JSON such as"),
        (door, "{}", 400, "at least one of"),
        (door, "{\"off\":true}", 400, "unknown field `off`"),
        (door, "{\"fps\":0}", 400, "0.01 to 240"),
        (door, "{\"quality\":101}", 400, "1 to 100"),
        ("/api/cameras", "{}", 404, "not found"),
    ] {
        assert_refused(&post(&receiver.page, path, body), status, words);
    }
    assert_refused(&post(&receiver.page, door, &format!("{{\"on\":true{}}}", " ".repeat(5_000))), 413, "4096 bytes");
    assert_refused(&get(&receiver.page, door), 405, "not allowed");
    assert_refused(&ask(&receiver.page, "DELETE", "/", &[], ""), 405, "not allowed");
}

#[test]
fn one_way_links_allow_no_control() {
    let bench = Bench::new();
    let port = free_port();
    let _agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:{port}\""));
    let receiver = bench.receiver(&format!("pattern = \"sub\"\nconnect = \"tcp://127.0.0.1:{port}\""));
    wait_for_camera(&receiver, "door", "the camera", |part| part["settings"]["on"] == true);
    assert_eq!(get(&receiver.page, "/api/wall").json()["agents"][0]["control"], false);
    assert_refused(&post(&receiver.page, "/api/cameras/shed/door", "{\"on\":false}"), 409, "pair or router");
    assert_refused(&post(&receiver.page, "/api/cameras/shed/door/snapshot", ""), 409, "pair or router");
}
