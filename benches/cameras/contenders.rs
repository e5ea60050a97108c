//! The programs that send four cameras, each started with ends that receive from it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::CAMERAS;
use crate::ends::{Ends, is_frame};
use crate::film::{HEIGHT, WIDTH};
use crate::harness::installed::{peers_python, peers_python_path};
use crate::harness::{Bench, Program, free_port};

/// A contender at work.
pub struct Running {
    // First: they end before their ends do.
    pub programs: Vec<Program>,
    pub ends: Ends,
}

/// What is started on a bench with cameras of a format; `None` when it is not installed.
pub type Start = fn(&Bench, &str) -> Option<Running>;

pub const FLOOR: &str = "floor";
pub const ZEROMQ: &str = "floor over ZeroMQ";
pub const WATCHPOST: &str = "watchpost";
pub const USTREAMER: &str = "ustreamer";
pub const IMAGEZMQ: &str = "imagezmq's sender";

/// In the order of the table, under the names in it.
pub const CONTENDERS: [(&str, Start); 9] = [
    (FLOOR, |bench, _| Some(floor(bench, "floor", &[], Ends::tcp(CAMERAS)))),
    (ZEROMQ, |bench, _| Some(zeromq(bench))),
    (WATCHPOST, |bench, _| Some(pair(bench, "watchpost", 1))),
    ("  … pub", |bench, _| Some(publish(bench, "watchpost"))),
    ("  … json", |bench, _| Some(pair(bench, "json", 1))),
    ("  … base64", |bench, _| Some(pair(bench, "base64", CAMERAS as usize))),
    ("  … imagezmq", |bench, _| Some(publish(bench, "imagezmq"))),
    (USTREAMER, ustreamer),
    (IMAGEZMQ, imagezmq),
];

fn floor(bench: &Bench, name: &str, options: &[&str], ends: Ends) -> Running {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cameras/floor.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", source, "-o"]).arg(&program).args(options);
    assert!(compiler.status().expect("a C compiler").success(), "{source} does not compile");
    let port = ends.addresses[0].rsplit(':').next().expect("an address ends with its port");
    let mut command = Command::new(program);
    command.arg(port).arg(CAMERAS.to_string());
    Running { programs: vec![Program::start(bench.with_cameras(&mut command))], ends }
}

fn zeromq(bench: &Bench) -> Running {
    let ends = Ends::bound(zmq::PAIR, 1, |parts| parts.len() == 3);
    floor(bench, "floor-zeromq", &["-DZEROMQ", "-lzmq"], ends)
}

/// The agent with pair links, which share the cameras evenly.
fn pair(bench: &Bench, format: &str, links: usize) -> Running {
    let ends = Ends::bound(zmq::PAIR, links, is_frame(format));
    let share = CAMERAS as usize / links;
    let links = ends.addresses.iter().enumerate().map(|(link, address)| {
        let cameras = link * share..(link + 1) * share;
        let cameras: Vec<String> = cameras.map(|camera| format!("camera-{camera}")).collect();
        format!(r#"{{ pattern = "pair", connect = "{address}", format = "{format}", cameras = {cameras:?} }}"#)
    });
    let links = links.collect::<Vec<_>>().join(", ");
    Running { programs: vec![agent(bench, &links, false)], ends }
}

fn publish(bench: &Bench, format: &str) -> Running {
    let link = format!(r#"{{ pattern = "pub", bind = "tcp://127.0.0.1:*", format = "{format}" }}"#);
    let agent = agent(bench, &link, false);
    let ends = Ends::subscriber(&agent.logs("bound at ", ""), is_frame(format));
    Running { programs: vec![agent], ends }
}

/// The agent with a pair link that nobody answers.
pub fn alone(bench: &Bench, on_demand: bool) -> Running {
    let link = format!(r#"{{ pattern = "pair", connect = "tcp://127.0.0.1:{}" }}"#, free_port());
    let agent = agent(bench, &link, on_demand);
    Running { programs: vec![agent], ends: Ends::default() }
}

fn agent(bench: &Bench, links: &str, on_demand: bool) -> Program {
    let camera = |number| {
        let source = format!(r#"name = "camera-{number}", source = "/dev/video{number}""#);
        format!(r#"{{ {source}, size = "{WIDTH}x{HEIGHT}", fps = 30, on_demand = {on_demand} }}"#)
    };
    let cameras = (0..CAMERAS).map(camera).collect::<Vec<_>>().join(", ");
    bench.agent(&format!("name = \"bench\"\ncamera = [{cameras}]\nlink = [{links}]\n"))
}

/// It serves one camera: a process each, with a viewer. `HW` passes a camera's own JPEG on.
fn ustreamer(bench: &Bench, fourcc: &str) -> Option<Running> {
    if !runs(Command::new("ustreamer").arg("--version")) {
        return None;
    }
    let (format, encoder) = if fourcc == "MJPG" { ("MJPEG", "HW") } else { (fourcc, "CPU") };
    let ports: Vec<u16> = (0..CAMERAS).map(|_| free_port()).collect();
    let start = |(camera, port): (usize, &u16)| {
        let mut command = Command::new("ustreamer");
        command.arg(format!("--device=/dev/video{camera}")).arg(format!("--port={port}"));
        command.args(["--format", format, "--encoder", encoder, "--quality=80", "--desired-fps=30"]);
        command.arg(format!("--resolution={WIDTH}x{HEIGHT}"));
        Program::start(bench.with_cameras(&mut command))
    };
    let programs = ports.iter().enumerate().map(start).collect();
    Some(Running { programs, ends: Ends::http(&ports) })
}

/// Python with OpenCV and imagezmq; its hubs answer each frame.
fn imagezmq(bench: &Bench, fourcc: &str) -> Option<Running> {
    if !peers_python_path().exists() || !runs(peers_python().args(["-c", "import cv2, imagezmq"])) {
        return None;
    }
    let ends = Ends::bound(zmq::REP, CAMERAS as usize, is_frame("imagezmq"));
    let mut command = peers_python();
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cameras/imagezmq_sender.py"));
    command.arg(fourcc).args(&ends.addresses);
    Some(Running { programs: vec![Program::start(bench.with_cameras(&mut command))], ends })
}

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
