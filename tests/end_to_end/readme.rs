use bytes::Bytes;
use watchpost::agent::encode::Encoder;
use watchpost::config::{Format, Quality, ShownAs};
use watchpost::frame::{Frame, Layout};
use watchpost::wire::{Control, decode};

use crate::harness::installed::peers_python;
use crate::harness::{Bench, Board, Program, eventually};

/// README's programs in Python, in their order.
fn python() -> impl Iterator<Item = &'static str> {
    let blocks = include_str!("../../README.md").split("```python\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("its end").0)
}

#[test]
fn the_ten_lines_of_python_receive_frames_and_readings() {
    let code = python().next().expect("Python in README");
    assert!(code.lines().count() <= 10, "{code}");

    let bench = Bench::new();
    let agent = bench.agent(
        "name = \"shed\"\ncamera = [{ name = \"door\", source = \"pattern\" }]\n\
         link = [{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\" }]",
    );
    let address = agent.logs("bound at ", "");
    let code = code.replace("tcp://127.0.0.1:5560", &address);
    let receiver = Program::start(peers_python().current_dir(bench.dir.path()).args(["-u", "-c", &code]));
    receiver.says("a line a frame", |line| line.contains("door").then_some(()));
    // It is written anew with each frame, and empty in between.
    let read = || std::fs::read(bench.path("door.jpg")).ok();
    eventually("the picture", || read().filter(|jpeg| jpeg.starts_with(&[0xff, 0xd8])));
}

#[test]
fn with_the_lines_for_encryption_they_receive_from_a_link_with_a_curve_table() {
    let [ten, lines] = std::array::from_fn(|place| python().nth(place).expect("Python in README"));
    let (import, lines) = lines.split_once('\n').expect("lines");
    let code =
        ten.replace("import json, zmq", import).replace("socket.connect(\"tcp://127.0.0.1:5560\")", lines.trim_end());
    assert_eq!(code.lines().count(), ten.lines().count() + 2, "{code}");

    let bench = Bench::new();
    bench.allow("laptop");
    let agent = bench.agent(&format!(
        "name = \"shed\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
         link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\", {} }}]",
        bench.server("greenhouse-1")
    ));
    let code = code.replace("tcp://192.168.137.20:5560", &agent.logs("bound at ", ""));
    let receiver = Program::start(peers_python().current_dir(bench.path("keys")).args(["-u", "-c", &code]));
    receiver.says("a line a frame", |line| line.contains("door").then_some(()));
}

#[test]
fn the_encrypted_receiver_in_python_lets_in_who_may_come_and_nobody_else() {
    let bench = Bench::new();
    bench.allow("greenhouse-1");
    let address = format!("tcp://127.0.0.1:{}", crate::harness::free_port());
    let code = python().find(|code| code.contains("ThreadAuthenticator")).expect("a receiver that binds");
    let code =
        code.replace("/etc/watchpost", &bench.dir.path().display().to_string()).replace("tcp://*:5559", &address);
    assert!(bench.key("hub", "key_secret").exists());
    let receiver = Program::start(peers_python().args(["-u", "-c", &code]));
    let start = |name: &str| {
        let keys = bench.client(name, "hub");
        bench.agent(&format!(
            "name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{address}\", {keys} }}]"
        ))
    };
    start("stranger").logs("the other end refuses this end's key ", "");
    let _agent = start("greenhouse-1");
    receiver.says("a line a frame", |line| line.contains("\"camera\":\"door\"").then_some(()));
    assert!(!receiver.out().contains("stranger"), "{}", receiver.out());
}

#[test]
fn the_protocols_receiver_says_how_it_is_used() {
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/receiver.py");
    let said = peers_python().arg(code).output().expect("it starts");
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("Usage: receiver.py tcp://") && !said.contains("Traceback"), "{said}");
}

#[test]
fn the_protocols_receiver_in_forty_lines_has_the_pictures_and_the_readings_of_two_agents() {
    let (bench, mut board) = (Bench::new(), Board::new());
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/receiver.py");
    assert!(std::fs::read_to_string(code).expect("an example").lines().count() <= 40);
    let address = format!("tcp://127.0.0.1:{}", crate::harness::free_port());
    let mut command = peers_python();
    let receiver = Program::start(command.current_dir(bench.dir.path()).args(["-u", code, &address]));
    let agents = ["shed", "barn"].map(|name| {
        let bench = Bench::new();
        let agent = bench.agent(&format!(
            "name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
             serial = [{{ name = \"climate\", port = \"{}\" }}]\n\
             link = [{{ pattern = \"dealer\", connect = \"{address}\" }}]",
            if name == "shed" { board.path.display().to_string() } else { "/dev/none".to_owned() }
        ));
        (bench, agent)
    });
    agents[0].1.logs("open at", "");
    board.say("t-21.5");
    receiver.says("the reading", |line| (line == "shed climate temperature 21.5 °C").then_some(()));
    for picture in ["shed-door.jpg", "barn-door.jpg"] {
        let read = || std::fs::read(bench.path(picture)).ok();
        let first = eventually(picture, || read().filter(|jpeg| jpeg.ends_with(&[0xff, 0xd9])));
        eventually("another picture", || read().filter(|jpeg| *jpeg != first && jpeg.ends_with(&[0xff, 0xd9])));
    }
    assert!(!receiver.log().contains("Traceback"), "{}", receiver.log());
}

#[test]
fn what_the_protocol_shows_is_understood() {
    let pixels = Frame { width: 16, height: 16, layout: Layout::Bgr, data: &[0; 3 * 16 * 16] };
    let jpeg = Encoder::default().encode(pixels, Quality::default()).expect("a JPEG");
    let mut shown = 0;
    for json in include_str!("../../PROTOCOL.md").split("```json\n").skip(1) {
        let json = Bytes::from(json.split_once("```").expect("its end").0);
        let mut parts = vec![Bytes::new(), json.clone()];
        if json.starts_with(br#"{"type":"frame""#) {
            parts.push(jpeg.clone());
        }
        let control = Control::decode(std::slice::from_ref(&json));
        let message = decode(Format::Watchpost, &ShownAs::default(), &parts);
        assert!(control.is_ok() || message.is_ok(), "{}", String::from_utf8_lossy(&json));
        shown += 1;
    }
    assert_eq!(shown, 8);
}
