use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::http::{get, raw};
use crate::harness::{Bench, eventually};
use crate::web_access::{paths, with};

/// Generates hostile requests from patterns that have broken servers before.
struct Hostile {
    random: fastrand::Rng,
    paths: Vec<String>,
}

impl Hostile {
    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.random.usize(..words.len())]
    }

    fn several(&mut self, limit: usize, one: impl Fn(&mut Hostile) -> String) -> String {
        (0..self.random.usize(..limit)).map(|_| one(self)).collect::<Vec<_>>().concat()
    }

    fn piece(&mut self) -> String {
        match self.random.u8(..12) {
            0 => self.one_of(&["..", ".", "...", "%2e%2e", "..%2f..", "%2e%2e%2f", "..%5c..", "..%252f", "..;"]).into(),
            1 => self.one_of(&["%00", "a%00.jpg", "%0d%0aX: y", "%ff%fe", "%c0%ae%c0%ae", "%", "%zz", "%u002e"]).into(),
            2 => self.one_of(&["é", "%c3%a9", "门", "%F0%9F%93%B7", "\u{202e}gpj", "%e2%80%ae"]).into(),
            3 => "a".repeat(self.random.usize(..3_000)),
            4 => "../".repeat(self.random.usize(1..40)) + self.one_of(&["etc/passwd", "canary", "web.token"]),
            5 => self.one_of(&["0", "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775809"]).into(),
            6 => self.one_of(&["1e999", "NaN", "0x7f", "18446744073709551616", "٣", "1,2,3", "1.5"]).into(),
            7 => self.one_of(&["shed", "door", "shed.jpg", "SHED", ".hidden", "con", "~", "*", "{agent}"]).into(),
            8 => self
                .one_of(&["history.sqlite", "frame.jpg", "range.mkv", "//", "/", "\\", "|", "'", "' OR 1=1--"])
                .into(),
            9 => self.one_of(&["<script>", "%3Cscript%3E", "${jndi:x}", "{{7*7}}", "`id`", ";id", "$(id)"]).into(),
            10 => self.several(20, |hostile| format!("%{:02x}", hostile.random.u8(..))),
            _ => self.random.i64(..).to_string(),
        }
    }

    fn target(&mut self) -> Vec<u8> {
        let mut target = match self.random.u8(..4) {
            0 => self.several(8, |hostile| format!("/{}", hostile.piece())),
            1 => {
                let path = self.paths[self.random.usize(..self.paths.len())].clone();
                path.replace("shed", &self.piece()).replace("door", &self.piece())
            }
            2 => self.paths[self.random.usize(..self.paths.len())].clone() + &self.piece(),
            _ => self.paths[self.random.usize(..self.paths.len())].clone(),
        };
        if self.random.bool() {
            let names = ["series", "from_us", "to_us", "points", "at_us", "width", "agent", "camera", "download", "x"];
            target.push('?');
            target += &self.several(5, |hostile| format!("{}={}&", hostile.one_of(&names), hostile.piece()));
        }
        if target.is_empty() || self.random.u8(..30) == 0 {
            target = self.one_of(&["*", "http://evil.example/", "//evil.example/", "/?", "localhost:1"]).into();
        }
        let mut bytes = target.into_bytes();
        // A space would end the target, which is a different fault.
        bytes.iter_mut().filter(|byte| matches!(byte, b' ' | b'\r' | b'\n')).for_each(|byte| *byte = b'+');
        bytes
    }

    fn request(&mut self, page: &str, token: &str) -> Vec<u8> {
        let methods =
            ["GET", "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "X-Y"];
        let mut request = self.one_of(&methods).as_bytes().to_vec();
        request.push(b' ');
        request.extend(self.target());
        let version = if self.random.u8(..40) == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
        request.extend(format!(" {version}\r\nHost: {page}\r\nConnection: close\r\n").bytes());
        if self.random.u8(..4) > 0 {
            request.extend(format!("Authorization: Bearer {token}\r\n").bytes());
        }
        if self.random.u8(..4) == 0 {
            let lines = [
                "Range: bytes=0-18446744073709551615",
                "Range: bytes=-1,5-2",
                "If-None-Match: \"\\\"",
                "Origin: null",
                "Cookie: watchpost=%00; watchpost=\u{7f}",
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13",
                "Accept: */*;q=9e9",
                "X-Forwarded-For: ../..",
                "Transfer-Encoding: identity",
                "Host: evil.example",
                "Content-Type: multipart/form-data; boundary=",
            ];
            request.extend(format!("{}\r\n", self.one_of(&lines)).bytes());
        }
        let body = match self.random.u8(..6) {
            0 => "{\"on\":true,\"fps\":1e308}".to_owned(),
            1 => "[".repeat(self.random.usize(..3_000)),
            2 => format!("token={}", self.piece()),
            3 => format!("{{\"on\":{}}}", self.piece()),
            4 => "x".repeat(self.random.usize(..9_000)),
            _ => String::new(),
        };
        request.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).bytes());
        request
    }
}

/// Returns the paths and contents of all files below a directory.
fn files(dir: &Path) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let mut files = BTreeSet::new();
    for path in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert((path.clone(), fs::read(path).unwrap_or_default()));
        }
    }
    files
}

#[test]
fn hostile_requests_leak_nothing_and_break_nothing() {
    let bench = Bench::new();
    let (receiver, [control, _]) = bench.guarded();
    let _agent = bench.with_camera(&receiver);
    let page = &receiver.page;
    eventually("the camera", || receiver.program.find_json(|header| header["camera"] == "door"));
    let outside = tempfile::tempdir_in(bench.dir.path()).expect("a directory");
    fs::write(outside.path().join("canary"), "secret outside of the served files").expect("a file");
    let before = files(outside.path());
    let count = std::env::var("WATCHPOST_HOSTILE").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    let seed = fastrand::u64(..);
    let paths = paths().into_iter().collect();
    let mut hostile = Hostile { random: fastrand::Rng::with_seed(seed), paths };
    let mut statuses = BTreeMap::<u16, u32>::new();
    for number in 0..count {
        let request = hostile.request(page, &control);
        let Some(answer) = raw(page, &request) else { continue };
        *statuses.entry(answer.status).or_default() += 1;
        let describe = || format!("request {number} of seed {seed}: {}", String::from_utf8_lossy(&request));
        // The agent's link may be busy after many requests (503).
        assert!(answer.status < 500 || answer.status == 503, "{}\n{answer:?}", describe());
        let text = answer.text();
        for secret in ["secret outside of the served files", "root:", &control] {
            assert!(!text.contains(secret), "{}\n{text}", describe());
        }
    }
    println!("{count} requests of seed {seed}: {statuses:?}");
    assert!(statuses.keys().len() > 4, "{statuses:?}");
    assert_eq!(files(outside.path()), before);
    assert_eq!(with(page, "GET", "/api/wall", &control, "").status, 200);
    assert_eq!(get(page, "/health").status, 200);
    assert!(!receiver.program.log().contains("panicked"), "{}", receiver.program.log());
}
