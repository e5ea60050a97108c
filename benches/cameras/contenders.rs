//! The programs that send four cameras, each started with its receivers.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::CAMERAS;
use crate::harness::installed::{peers_python, peers_python_path};
use crate::harness::{Bench, Program, free_port};
use crate::receivers::{Receivers, is_frame};
use crate::video::{HEIGHT, WIDTH};

/// A contender at work.
pub struct Running {
    // First: the programs must exit before the receivers stop.
    pub programs: Vec<Program>,
    pub receivers: Receivers,
}

/// Starts a contender on a bench with cameras of a format; returns `None` if it is not installed.
pub type Start = fn(&Bench, &str) -> Option<Running>;

pub const FLOOR: &str = "floor";
pub const ZEROMQ: &str = "floor over ZeroMQ";
pub const WATCHPOST: &str = "watchpost";
pub const USTREAMER: &str = "ustreamer";
pub const IMAGEZMQ: &str = "imagezmq's sender";

/// The contenders and their names in the order of the printed table.
pub const CONTENDERS: [(&str, Start); 9] = [
    (FLOOR, |bench, _| Some(floor(bench, "floor", &[], Receivers::tcp(CAMERAS)))),
    (ZEROMQ, |bench, _| Some(zeromq(bench))),
    (WATCHPOST, |bench, _| Some(pair(bench, "watchpost", 1))),
    ("  … pub", |bench, _| Some(publish(bench, "watchpost"))),
    ("  … json", |bench, _| Some(pair(bench, "json", 1))),
    ("  … base64", |bench, _| Some(pair(bench, "base64", CAMERAS as usize))),
    ("  … imagezmq", |bench, _| Some(publish(bench, "imagezmq"))),
    (USTREAMER, ustreamer),
    (IMAGEZMQ, imagezmq),
];

fn floor(bench: &Bench, name: &str, options: &[&str], receivers: Receivers) -> Running {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cameras/floor.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", source, "-o"]).arg(&program).args(options);
    assert!(compiler.status().expect("a C compiler").success(), "{source} does not compile");
    let port = receivers.addresses[0].rsplit(':').next().expect("an address ends with its port");
    let mut command = Command::new(program);
    command.arg(port).arg(CAMERAS.to_string());
    Running { programs: vec![Program::start(bench.with_cameras(&mut command))], receivers }
}

fn zeromq(bench: &Bench) -> Running {
    let receivers = Receivers::bound(zmq::PAIR, 1, |parts| parts.len() == 3);
    floor(bench, "floor-zeromq", &["-DZEROMQ", "-lzmq"], receivers)
}

/// The agent with pair links; each link carries the same number of cameras.
fn pair(bench: &Bench, format: &str, links: usize) -> Running {
    let receivers = Receivers::bound(zmq::PAIR, links, is_frame(format));
    let share = CAMERAS as usize / links;
    let links = receivers.addresses.iter().enumerate().map(|(link, address)| {
        let cameras = link * share..(link + 1) * share;
        let cameras: Vec<String> = cameras.map(|camera| format!("camera-{camera}")).collect();
        format!(r#"{{ pattern = "pair", connect = "{address}", format = "{format}", cameras = {cameras:?} }}"#)
    });
    let links = links.collect::<Vec<_>>().join(", ");
    Running { programs: vec![agent(bench, &links, false)], receivers }
}

fn publish(bench: &Bench, format: &str) -> Running {
    let link = format!(r#"{{ pattern = "pub", bind = "tcp://127.0.0.1:*", format = "{format}" }}"#);
    let agent = agent(bench, &link, false);
    let receivers = Receivers::subscriber(&agent.wait_for_log("bound to ", ""), is_frame(format));
    Running { programs: vec![agent], receivers }
}

/// The agent with a pair link whose receiver is absent.
pub fn alone(bench: &Bench, on_demand: bool) -> Running {
    let link = format!(r#"{{ pattern = "pair", connect = "tcp://127.0.0.1:{}" }}"#, free_port());
    let agent = agent(bench, &link, on_demand);
    Running { programs: vec![agent], receivers: Receivers::default() }
}

fn agent(bench: &Bench, links: &str, on_demand: bool) -> Program {
    let camera = |number| {
        let source = format!(r#"name = "camera-{number}", source = "/dev/video{number}""#);
        format!(r#"{{ {source}, size = "{WIDTH}x{HEIGHT}", fps = 30, on_demand = {on_demand} }}"#)
    };
    let cameras = (0..CAMERAS).map(camera).collect::<Vec<_>>().join(", ");
    bench.agent(&format!("name = \"bench\"\ncamera = [{cameras}]\nlink = [{links}]\n"))
}

/// ustreamer serves one camera per process, each with a viewer. `HW` forwards the camera's own JPEG.
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
    Some(Running { programs, receivers: Receivers::http(&ports) })
}

/// Python with OpenCV and imagezmq; its hubs reply to each frame.
fn imagezmq(bench: &Bench, fourcc: &str) -> Option<Running> {
    if !peers_python_path().exists() || !runs(peers_python().args(["-c", "import cv2, imagezmq"])) {
        return None;
    }
    let receivers = Receivers::bound(zmq::REP, CAMERAS as usize, is_frame("imagezmq"));
    let mut command = peers_python();
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cameras/imagezmq_sender.py"));
    command.arg(fourcc).args(&receivers.addresses);
    Some(Running { programs: vec![Program::start(bench.with_cameras(&mut command))], receivers })
}

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
