use bytes::Bytes;
use watchpost::agent::encode::Encoder;
use watchpost::config::{Format, Quality, ShownAs};
use watchpost::frame::{Frame, Layout};
use watchpost::wire::{Control, decode};

use crate::harness::http::{ask, get, get_json};
use crate::harness::installed::peers_python;
use crate::harness::{Bench, Board, Program, eventually};

const README: &str = include_str!("../../README.md");
const RECIPES: &str = include_str!("../../docs/recipes.md");
const SECURITY: &str = include_str!("../../docs/security.md");

/// Returns the code blocks of this language in a list of steps, without the list's indentation.
fn blocks(document: &'static str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = document.split(&fence).skip(1).map(|rest| rest.split_once("```").expect("its end").0);
    blocks.map(|block| block.replace("\n   ", "\n").trim_start().to_owned()).collect()
}

/// Returns the first Python program of a document that contains `word`.
fn python(document: &'static str, word: &str) -> String {
    let mut blocks = document.split("```python\n").skip(1).map(|rest| rest.split_once("```").expect("its end").0);
    blocks.find(|code| code.contains(word)).expect("a program").to_owned()
}

const TEN_LINES: &str = "socket.subscribe(\"frame/\")";

#[test]
fn ten_line_python_receiver_gets_frames_and_readings() {
    let code = python(README, TEN_LINES);
    assert!(code.lines().count() <= 10, "{code}");

    let bench = Bench::new();
    let agent = bench.agent(
        "name = \"shed\"\ncamera = [{ name = \"door\", source = \"pattern\" }]\n\
         link = [{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\" }]",
    );
    let address = agent.wait_for_log("bound to ", "");
    let code = code.replace("tcp://127.0.0.1:5560", &address);
    let receiver = Program::start(peers_python().current_dir(bench.dir.path()).args(["-u", "-c", &code]));
    receiver.wait_for_line("a line a frame", |line| line.contains("door").then_some(()));
    // The script rewrites the file for each frame, and it is empty in between.
    let read = || std::fs::read(bench.path("door.jpg")).ok();
    eventually("the picture", || read().filter(|jpeg| jpeg.starts_with(&[0xff, 0xd8])));
}

#[test]
fn python_receiver_with_curve_gets_frames_and_readings() {
    let (ten, lines) = (python(README, TEN_LINES), python(SECURITY, "laptop.key_secret"));
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
    let code = code.replace("tcp://192.168.137.20:5560", &agent.wait_for_log("bound to ", ""));
    let receiver = Program::start(peers_python().current_dir(bench.path("keys")).args(["-u", "-c", &code]));
    receiver.wait_for_line("a line a frame", |line| line.contains("door").then_some(()));
}

#[test]
fn python_receiver_that_binds_admits_only_allowed_keys() {
    let bench = Bench::new();
    bench.allow("greenhouse-1");
    let address = format!("tcp://127.0.0.1:{}", crate::harness::free_port());
    let code = python(SECURITY, "ThreadAuthenticator");
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
    start("stranger").wait_for_log("the other end refuses this end's key ", "");
    let _agent = start("greenhouse-1");
    receiver.wait_for_line("a line a frame", |line| line.contains("\"camera\":\"door\"").then_some(()));
    assert!(!receiver.out().contains("stranger"), "{}", receiver.out());
}

#[test]
fn readme_setup_runs_from_keygen_to_page() {
    let (bench, mut board) = (Bench::new(), Board::new());
    let port = crate::harness::free_port();
    let local = |text: &str| {
        let text = text.replace("/etc/watchpost", &bench.dir.path().display().to_string());
        let text = text.replace("/dev/ttyUSB0", &board.path.display().to_string()).replace("/dev/video0", "pattern");
        text.replace("tcp://hub:5559", &format!("tcp://127.0.0.1:{port}"))
            .replace("*:5559", &format!("127.0.0.1:{port}"))
    };
    // Both machines have one directory here, and the keys need no copy by ssh.
    for line in blocks(README, "sh").iter().flat_map(|block| block.lines()) {
        if let Some(arguments) = line.strip_prefix("watchpost keygen ") {
            let made = bench.watchpost("keygen").args(local(arguments).split(' ')).output().expect("it starts");
            assert!(made.status.success(), "{line}: {made:?}");
        }
    }
    std::fs::create_dir(bench.path("allowed")).expect("a directory");
    std::fs::copy(bench.path("keys/shed.key"), bench.path("allowed/shed.key")).expect("a key");

    let [agent, receiver] = <[String; 2]>::try_from(blocks(README, "toml")).expect("an agent's and a receiver's file");
    let receiver = bench.receiver_of(&local(&receiver).replace("0.0.0.0:8080", "0.0.0.0:0"));
    let agent = bench.agent(&local(&agent));
    agent.wait_for_log("open at", "");
    board.write_line("t-21.5-h-60");
    let token = std::fs::read_to_string(bench.path("keys/web.token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    eventually("the camera and both readings on the page", || {
        let wall = ask(&receiver.page, "GET", "/api/wall", &[("Authorization", &bearer)], "").json();
        let agent = &wall["agents"][0];
        let is_complete = agent["cameras"][0]["name"] == "door" && agent["readings"].as_array()?.len() == 2;
        is_complete.then_some(())
    });
}

/// A stand-in for OpenCV, which the peers' Python does not have: it finds one person in every picture.
const CV2: &str = "
import numpy
IMREAD_COLOR = 1
class HOGDescriptor:
    def setSVMDetector(self, detector): pass
    def detectMultiScale(self, image, winStride): return [(10, 20, 30, 60)], [1.0]
def HOGDescriptor_getDefaultPeopleDetector(): pass
def imdecode(jpeg, flags):
    global encoded
    encoded = jpeg
    return numpy.zeros((480, 640, 3), numpy.uint8)
def rectangle(image, start, end, color, thickness): pass
def imencode(ending, image): return True, encoded
";

#[test]
fn detector_recipe_sends_frames_and_counts() {
    let bench = Bench::new();
    std::fs::write(bench.path("cv2.py"), CV2).expect("a file");
    std::fs::write(bench.path("detector.py"), python(RECIPES, "HOGDescriptor")).expect("a file");
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let agent = bench.agent(&format!(
        "name = \"shed\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
         link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\" }}, {{ pattern = \"dealer\", connect = \"{}\" }}]",
        receiver.link
    ));
    let address = agent.wait_for_log("bound to ", "");
    let mut command = peers_python();
    let detector = command.current_dir(bench.dir.path()).args(["detector.py", &address, "shed/door", &receiver.link]);
    let detector = Program::start(detector);
    eventually("the detector's picture and count on the page", || {
        let (_, wall) = get_json(&receiver.page, "/api/wall");
        let detector = wall["agents"].as_array()?.iter().find(|agent| agent["name"] == "detector")?;
        let is_complete = detector["cameras"][0]["up"] == true && detector["readings"][0]["value"] == 1.0;
        is_complete.then_some(())
    });
    assert_eq!(get(&receiver.page, "/api/cameras/detector/door/frame.jpg").status, 200);
    assert!(!detector.log().contains("Traceback"), "{}", detector.log());
}

#[test]
fn example_receiver_explains_its_arguments() {
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/receiver.py");
    let output = peers_python().arg(code).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("Usage: receiver.py tcp://") && !stderr.contains("Traceback"), "{stderr}");
}

#[test]
fn example_receiver_gets_frames_and_readings_of_two_agents() {
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
    agents[0].1.wait_for_log("open at", "");
    board.write_line("t-21.5");
    receiver.wait_for_line("the reading", |line| (line == "shed climate temperature 21.5 °C").then_some(()));
    for picture in ["shed-door.jpg", "barn-door.jpg"] {
        let read = || std::fs::read(bench.path(picture)).ok();
        let first = eventually(picture, || read().filter(|jpeg| jpeg.ends_with(&[0xff, 0xd9])));
        eventually("another picture", || read().filter(|jpeg| *jpeg != first && jpeg.ends_with(&[0xff, 0xd9])));
    }
    assert!(!receiver.log().contains("Traceback"), "{}", receiver.log());
}

#[test]
fn protocol_examples_decode() {
    let pixels = Frame { width: 16, height: 16, layout: Layout::Bgr, data: &[0; 3 * 16 * 16] };
    let jpeg = Encoder::default().encode(pixels, Quality::default()).expect("a JPEG");
    let mut shown = 0;
    for json in include_str!("../../docs/protocol.md").split("```json\n").skip(1) {
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
    assert_eq!(shown, 10);
}
