//! Cameras that answer in different ways, and what is expected of each.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::film::numbered;
use crate::harness::http_camera::{HttpCamera, reply, stream_of};
use crate::harness::{Bench, PATIENCE, Peer, Program};

pub const INTERVAL: Duration = Duration::from_millis(100);

pub const MJPEG: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
pub const PART: &str = "--b\r\nContent-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n";

pub fn jpegs() -> Vec<Vec<u8>> {
    (0..4).map(numbered).collect()
}

/// A camera of a table: what precedes and follows its host, how it answers, and what is expected.
pub struct Way {
    pub name: &'static str,
    pub scheme: &'static str,
    pub login: &'static str,
    pub path: &'static str,
    pub camera: HttpCamera,
    pub expected: Expected,
    /// More keys of its table.
    pub keys: String,
}

pub enum Expected {
    /// Its JPEGs, byte for byte.
    Pictures,
    /// It is down for this cause.
    Cause(&'static str),
}

impl Way {
    pub fn http(name: &'static str, login: &'static str, camera: HttpCamera, expected: Expected) -> Way {
        Way { name, scheme: "http", login, path: "/", camera, expected, keys: String::new() }
    }

    /// A camera that sends a stream with this head and these texts around each JPEG.
    pub fn stream(name: &'static str, head: &'static str, before: &'static str, after: &'static str) -> Way {
        let camera = HttpCamera::start(move |_, to| {
            to.write_all(head.as_bytes())?;
            stream_of(&jpegs(), INTERVAL, (before, after), to)
        });
        Way::http(name, "", camera, Expected::Pictures)
    }

    /// A camera that answers each request with this text.
    pub fn cause(name: &'static str, answer: &'static str, cause: &'static str) -> Way {
        let camera = HttpCamera::start(move |_, to| reply(answer.trim_end(), "", b"", to));
        Way::http(name, "", camera, Expected::Cause(cause))
    }

    pub fn table(&self) -> String {
        let Way { name, scheme, login, path, camera, keys, .. } = self;
        format!("{{ name = \"{name}\", source = \"{scheme}://{login}127.0.0.1:{}{path}\"{keys} }}", camera.port)
    }
}

pub fn config(ways: &[Way], peer: &Peer) -> String {
    let tables: Vec<String> = ways.iter().map(Way::table).collect();
    format!("camera = [{}]\nlink = [{{ pattern = \"pair\", connect = \"{}\" }}]\n", tables.join(",\n"), peer.address)
}

/// What has arrived of each camera.
#[derive(Default)]
pub struct Arrived {
    pub frames: BTreeMap<String, Vec<Vec<u8>>>,
    pub status: BTreeMap<String, Value>,
}

impl Arrived {
    /// Receives messages until `is_enough`.
    #[track_caller]
    pub fn until(&mut self, what: &str, peer: &Peer, is_enough: impl Fn(&Arrived) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_enough(self) {
            assert!(Instant::now() < end, "timed out: {what}: {:#?}", self.status);
            let mut parts = peer.socket.recv_multipart(0).expect("a message");
            let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
            if header["type"] == "frame" {
                let camera = header["camera"].as_str().expect("a name").to_owned();
                self.frames.entry(camera).or_default().push(parts.swap_remove(2));
            }
            for camera in header["cameras"].as_array().into_iter().flatten() {
                self.status.insert(camera["name"].as_str().expect("a name").to_owned(), camera.clone());
            }
        }
    }

    pub fn count(&self, name: &str) -> usize {
        self.frames.get(name).map_or(0, Vec::len)
    }

    pub fn cause(&self, name: &str) -> &str {
        self.status.get(name).and_then(|camera| camera["cause"].as_str()).unwrap_or_default()
    }

    pub fn is_as_expected(&self, way: &Way) -> bool {
        match way.expected {
            Expected::Pictures => self.count(way.name) >= 5,
            Expected::Cause(cause) => self.cause(way.name) == cause,
        }
    }
}

/// Starts an agent with these cameras, and checks what arrives and what doctor says.
pub fn check(ways: &[Way]) -> (Bench, Peer, Program) {
    check_trusting(ways, "")
}

/// Like [`check`], on a machine that trusts only these certificates.
pub fn check_trusting(ways: &[Way], certificates: &str) -> (Bench, Peer, Program) {
    let (bench, peer) = (Bench::new(), Peer::new());
    let config = config(ways, &peer);
    let trusted = bench.path("trusted.pem");
    fs::write(&trusted, certificates).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    command.env("SSL_CERT_FILE", &trusted);
    let agent = bench.agent_of(command, &config);
    let mut arrived = Arrived::default();
    for way in ways {
        arrived.until(way.name, &peer, |arrived| arrived.is_as_expected(way));
    }
    for (name, frames) in &arrived.frames {
        assert!(frames.iter().all(|frame| jpegs().contains(frame)), "{name}: not the camera's own bytes");
        assert!(frames.iter().any(|frame| *frame != frames[0]), "{name}: always the same picture");
    }
    let file = bench.path("doctor.toml");
    fs::write(&file, config).expect("a temporary file");
    let mut doctor = bench.watchpost("doctor");
    let output = doctor.env("SSL_CERT_FILE", &trusted).arg("--config").arg(file).output().expect("it starts");
    let report = String::from_utf8(output.stdout).expect("text");
    for way in ways {
        let line = report.lines().find(|line| line.contains(&format!("camera {}: ", way.name))).expect("a finding");
        let expected = match way.expected {
            Expected::Pictures => "it responds",
            Expected::Cause(cause) => cause.split("; ").next().expect("words"),
        };
        assert!(line.contains(expected), "{}: {line}", way.name);
        assert_eq!(line.starts_with("ok"), matches!(way.expected, Expected::Pictures), "{line}");
    }
    (bench, peer, agent)
}
