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

/// What /api/wall says of a camera, once it is as it should be.
fn seen(receiver: &Receiver, camera: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let wall = get(&receiver.page, "/api/wall").json();
        let cameras = wall["agents"][0]["cameras"].as_array().cloned().unwrap_or_default();
        cameras.into_iter().find(|part| part["name"] == camera).filter(&is_so)
    })
}

fn is_refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = answer.json()["error"].as_str().expect("words").to_owned();
    assert!(error.contains(words), "{error:?} does not say {words:?}");
}

#[test]
fn a_camera_is_switched_off_and_on_and_set_and_its_status_follows() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    let set = |wish: Value| {
        let answer = post(&receiver.page, "/api/cameras/shed/door", &wish.to_string());
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    seen(&receiver, "door", "door is on", |part| part["settings"]["on"] == true && part["fps"].as_f64() > Some(10.0));
    set(json!({ "on": false }));
    seen(&receiver, "door", "door is off", |part| part["settings"]["on"] == false && part["fps"] == 0.0);
    set(json!({ "on": true, "fps": 4, "quality": 35 }));
    let is_set = |part: &Value| part["settings"] == json!({ "on": true, "fps": 4.0, "quality": 35 });
    seen(&receiver, "door", "door is as it was set", is_set);
    let is_slow = |part: &Value| part["fps"].as_f64().is_some_and(|fps| fps > 2.0 && fps < 6.0);
    seen(&receiver, "door", "its frames are fewer", is_slow);
}

#[test]
fn a_routers_agents_are_told_apart() {
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
    // The second time the barn's agent is another peer.
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
fn the_newest_frame_is_a_file_and_a_snapshot_is_one_of_a_camera_that_is_off() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    seen(&receiver, "yard", "the cameras", |part| part["settings"]["on"] == false);
    let yard = "/api/cameras/shed/yard/frame.jpg";
    is_refused(&get(&receiver.page, yard), 404, "no frame");
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
    // Of a camera that is down there is none.
    is_refused(&get(&receiver.page, "/api/cameras/shed/gate/frame.jpg"), 404, "no frame");
}

#[test]
fn what_is_not_understood_or_not_there_is_refused_with_words() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{}\"", receiver.link));
    seen(&receiver, "door", "the camera", |_| true);
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
        ("/api/cameras", "{}", 404, "nothing here"),
    ] {
        is_refused(&post(&receiver.page, path, body), status, words);
    }
    is_refused(&post(&receiver.page, door, &format!("{{\"on\":true{}}}", " ".repeat(5_000))), 413, "4096 bytes");
    is_refused(&get(&receiver.page, door), 405, "not allowed");
    is_refused(&ask(&receiver.page, "DELETE", "/", &[], ""), 405, "not allowed");
}

#[test]
fn over_a_link_without_a_way_back_nothing_can_be_switched() {
    let bench = Bench::new();
    let port = free_port();
    let _agent = agent(&bench, &format!("pattern = \"pub\", bind = \"tcp://127.0.0.1:{port}\""));
    let receiver = bench.receiver(&format!("pattern = \"sub\"\nconnect = \"tcp://127.0.0.1:{port}\""));
    seen(&receiver, "door", "the camera", |part| part["settings"]["on"] == true);
    assert_eq!(get(&receiver.page, "/api/wall").json()["agents"][0]["control"], false);
    is_refused(&post(&receiver.page, "/api/cameras/shed/door", "{\"on\":false}"), 409, "pair or router");
    is_refused(&post(&receiver.page, "/api/cameras/shed/door/snapshot", ""), 409, "pair or router");
}
