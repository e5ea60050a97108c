use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use watchpost::receiver::recorder::reader;

use crate::harness::film::film_of;
use crate::harness::{Bench, PATIENCE, Receiver, eventually};

/// What a test has instead of an agent: frames of its own, with times of its own.
pub struct Sender {
    socket: zmq::Socket,
    camera: &'static str,
    seq: u64,
    readings: Value,
}

impl Sender {
    pub fn new(link: &str, camera: &'static str) -> Sender {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_sndtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.connect(link).expect("an address");
        Sender { socket, camera, seq: 0, readings: json!([]) }
    }

    /// A frame that was taken then.
    pub fn sends(&mut self, jpeg: &[u8], at_us: i64) {
        self.sends_as(jpeg, at_us, (now_us() - at_us).max(0), "b1");
    }

    pub fn sends_as(&mut self, jpeg: &[u8], captured_at_us: i64, age_us: i64, boot: &str) {
        self.seq += 1;
        let header = json!({
            "type": "frame", "v": 1, "agent": "shed", "camera": self.camera, "boot": boot, "seq": self.seq,
            "captured_at_us": captured_at_us, "age_us": age_us, "width": 480, "height": 320,
            "readings": self.readings,
        });
        let topic = format!("frame/shed/{}", self.camera);
        let parts = [topic.into_bytes(), header.to_string().into_bytes(), jpeg.to_vec()];
        self.socket.send_multipart(parts, 0).expect("the receiver takes it");
    }

    /// So many frames, 40 ms apart, up to now; gives their times.
    pub fn sends_all(&mut self, jpegs: &[Vec<u8>], count: usize) -> Vec<i64> {
        let first_us = now_us() - count as i64 * 40_000;
        let times: Vec<i64> = (0..count).map(|number| first_us + number as i64 * 40_000 + 321).collect();
        for (number, at_us) in times.iter().enumerate() {
            self.sends(&jpegs[number % jpegs.len()], *at_us);
        }
        times
    }
}

pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

/// A receiver that records into the bench's directory, with more lines of its `[record]` table.
pub fn recording(bench: &Bench, lines: &str) -> Receiver {
    recording_by(Command::new(env!("CARGO_BIN_EXE_watchpost")), bench, lines)
}

/// The same of a program with an environment of its own.
pub fn recording_by(watchpost: Command, bench: &Bench, lines: &str) -> Receiver {
    let dir = bench.path("recordings");
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    let config = format!("{link}[history]\noff = true\n[record]\ndir = \"{}\"\n{lines}", dir.display());
    bench.receiver_by(watchpost, &config)
}

/// The files of a camera, in the order of their beginnings.
pub fn files(bench: &Bench, camera: &str) -> Vec<PathBuf> {
    let dir = bench.path("recordings/shed").join(camera);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.into_iter().collect()
}

pub fn is_finished(file: &Path) -> bool {
    file.to_str().is_some_and(|name| name.ends_with("ms.mkv"))
}

fn output(program: &str, arguments: &[&str], file: &Path, more: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).arg(file).args(more).output().expect("it is installed");
    assert!(output.status.success(), "{program} {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// All pictures of a file, one behind the other, as ffmpeg reads them.
fn pictures(file: &Path) -> Vec<u8> {
    output("ffmpeg", &["-v", "fatal", "-i"], file, &["-map", "0:v", "-c", "copy", "-f", "mjpeg", "-"])
}

/// When each frame was taken, as ffprobe has it: from the file's date and the frame's time.
fn times(file: &Path) -> Vec<i64> {
    let wanted = "packet=pts_time:format_tags=creation_time";
    let told =
        output("ffprobe", &["-v", "error", "-select_streams", "v", "-show_entries", wanted, "-of", "json"], file, &[]);
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    let date = told["format"]["tags"]["creation_time"].as_str().expect("a date");
    let date: jiff::Timestamp = date.parse().expect("a date");
    let packets = told["packets"].as_array().expect("packets").iter();
    let seconds = packets.map(|packet| packet["pts_time"].as_str().expect("a time").parse::<f64>().expect("a time"));
    seconds.map(|seconds| date.as_microsecond() + (seconds * 1e6).round() as i64).collect()
}

/// What the page's port answers: status, header lines in lower case, body.
pub fn get(page: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(page).expect("the page");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {page}\r\n\r\n").expect("it listens");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head, answer.split_off(end + 4))
}

pub fn get_json(page: &str, path: &str) -> Value {
    serde_json::from_slice(&get(page, path).2).expect("JSON")
}

pub fn header(head: &str, name: &str) -> Option<i64> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
}

/// Different pictures of 480x320.
pub fn jpegs(bench: &Bench, count: u8) -> Vec<Vec<u8>> {
    film_of(bench, "film", count, (480, 320)).1
}

#[test]
fn every_frame_is_in_the_file_byte_for_byte_with_its_time() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let sent = sender.sends_all(&jpegs, 150);
    eventually("all but the last second", || (frames_in(&bench) >= 150 - 25).then_some(()));
    let (status, took) = receiver.program.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} {took:?}");
    let files = files(&bench, "door");
    assert!(files.len() == 1 && is_finished(&files[0]), "{files:?}\n{}", receiver.program.log());
    assert_eq!(pictures(&files[0]), jpegs.concat().repeat(10));
    let came = times(&files[0]);
    assert_eq!(came.len(), sent.len());
    for (came, sent) in came.iter().zip(&sent) {
        assert!(came.abs_diff(*sent) < 1_000, "{came} is not {sent}");
    }
    let told =
        output("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"], &files[0], &[]);
    let duration: f64 = String::from_utf8_lossy(&told).trim().parse().expect("seconds");
    assert!((duration - 6.0).abs() < 0.002, "{duration}");
}

/// How many frames of the door can be read now.
pub fn frames_in(bench: &Bench) -> usize {
    frames_of(bench, "door")
}

fn frames_of(bench: &Bench, camera: &str) -> usize {
    let files = files(bench, camera);
    let whole = |file: &PathBuf| {
        let file = fs::File::open(file).ok()?;
        let whole = reader::scan(&file).ok()??;
        let frames = whole.marks.iter().filter_map(|mark| {
            let cluster = reader::cluster(&file, mark.position).ok()??;
            Some(reader::blocks(&cluster).filter(reader::Block::is_picture).count())
        });
        Some(frames.sum::<usize>())
    };
    files.iter().filter_map(whole).sum()
}

#[test]
fn readings_stand_below_the_pictures() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let reading = |seq: u64, quantity: &str, value: f64, unit: &str, age_ms: u64| {
        json!({ "seq": seq, "port": "climate", "quantity": quantity, "value": value, "unit": unit,
                "captured_at_us": now_us(), "age_ms": age_ms, "stale_after_ms": 60_000, "stale": false })
    };
    sender.readings = json!([
        reading(1, "temperature", 23.5, "°C", 0),
        reading(2, "humidity", 61.0, "%RH", 0),
        reading(3, "light", 7.0, "", 70_000),
    ]);
    let text = "humidity 61 %RH\ntemperature 23.5 °C";
    eventually("the readings in the file", || {
        sender.sends(&jpegs[0], now_us());
        let bytes = fs::read(files(&bench, "door").first()?).ok()?;
        bytes.windows(text.len()).any(|part| part == text.as_bytes()).then_some(())
    });
    receiver.program.terminate();
    let file = &files(&bench, "door")[0];
    let told = output("ffmpeg", &["-v", "error", "-i"], file, &["-map", "0:s", "-f", "srt", "-"]);
    let told = String::from_utf8(told).expect("UTF-8").replace('\r', "");
    assert!(told.contains(text) && !told.contains("light"), "{told}");
}

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
        let told = header(&look(sent[149] + 1_000, "").1, "x-captured-at-us")?;
        (told.abs_diff(sent[149]) < 1_000).then_some(())
    });
    for number in [0, 1, 24, 25, 26, 49, 50, 99, 100, 148] {
        // Files count whole milliseconds, so a frame may seem to be later than it was.
        let (status, head, body) = look(sent[number] + 20_000, "");
        assert_eq!((status, body == jpegs[number % 15]), (200, true), "{number} {head}");
        let told = [("x-captured-at-us", sent[number]), ("x-next-us", sent[number + 1])];
        for (name, wanted) in told {
            assert!(header(&head, name).is_some_and(|told| told.abs_diff(wanted) < 1_000), "{name} {wanted} {head}");
        }
    }
    let (_, head, _) = look(sent[149] + 1_000, "");
    assert_eq!(header(&head, "x-next-us"), None);
    let (status, head, body) = look(sent[30] + 20_000, "&width=160");
    assert!(status == 200 && head.contains("immutable"), "{head}");
    assert_eq!(watchpost::jpeg::size(&body), Some((120, 80)));
    for (at_us, wanted) in [(sent[0] - 1_000_000, 404), (sent[149] + 60_000_000, 404)] {
        assert_eq!(look(at_us, "").0, wanted);
    }

    let spans = get_json(page, &format!("/api/recordings?from_us={}&to_us={}", sent[0] - 5_000_000, now_us()));
    let of_door = &spans["cameras"][0];
    assert_eq!((&of_door["agent"], &of_door["camera"]), (&json!("shed"), &json!("door")), "{spans}");
    assert_eq!(of_door["spans"].as_array().map(Vec::len), Some(1), "{spans}");
    assert!(spans["oldest_us"].as_i64().is_some_and(|oldest| oldest.abs_diff(sent[0]) < 1_000), "{spans}");

    let (from, to) = (sent[30] - 10_000, sent[120] + 10_000);
    let (status, head, film) = get(page, &format!("/api/recordings/shed/door/range.mkv?from_us={from}&to_us={to}"));
    assert!(status == 200 && head.contains("attachment"), "{head}");
    let path = bench.path("range.mkv");
    fs::write(&path, film).expect("a temporary file");
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
        let (status, _, body) = get(&receiver.page, &path);
        assert!(matches!(status, 400 | 404), "{status} {path}");
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is_route = !path.contains("/../") && !path.contains("passwd");
        assert!(!is_route || told["error"].is_string() || status == 404, "{path} {told}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_plays_to_the_last_second_and_is_carried_on() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.sends_all(&jpegs, 250);
    eventually("all but the last second", || (frames_in(&bench) >= 225).then_some(()));
    receiver.program.signal(Signal::SIGKILL);
    receiver.program.wait();
    let left = files(&bench, "door").remove(0);
    assert!(!is_finished(&left));
    let whole = fs::read(&left).expect("a recording");
    let name = left.file_name().and_then(|name| name.to_str()).expect("a name");

    // Each is a camera of its own; every other one has the name of a file that was finished.
    let cuts: usize = std::env::var("WATCHPOST_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(20);
    let lengths: Vec<usize> = (0..cuts).map(|_| fastrand::usize(0..whole.len())).collect();
    for (number, length) in lengths.iter().enumerate() {
        let dir = bench.path(&format!("recordings/shed/cut-{number}"));
        fs::create_dir_all(&dir).expect("a temporary directory");
        fs::write(dir.join(name), &whole[..*length]).expect("a temporary file");
        check_cut(&dir.join(name), &jpegs, &whole, *length);
    }
    let receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    for (number, length) in lengths.iter().enumerate() {
        let camera = format!("cut-{number}");
        eventually("the file is finished or, if nothing is in it, gone", || {
            files(&bench, &camera).iter().all(|file| is_finished(file)).then_some(())
        });
        for file in files(&bench, &camera) {
            check_cut(&file, &jpegs, &whole, *length);
        }
    }
    let before = frames_in(&bench);
    eventually("more is recorded", || {
        sender.sends(&jpegs[0], now_us());
        (frames_in(&bench) > before).then_some(())
    });
}

/// Of the pictures that are in the first bytes, at most those of the last second are not read.
fn check_cut(file: &Path, jpegs: &[Vec<u8>], whole: &[u8], length: usize) {
    let mut there = 0;
    let mut from = 0;
    let mut all = Vec::new();
    while let Some(place) = memchr::memmem::find(&whole[from..length], &jpegs[there % 15]) {
        all.extend_from_slice(&jpegs[there % 15]);
        (from, there) = (from + place + jpegs[there % 15].len(), there + 1);
    }
    let wanted: usize = (0..there.saturating_sub(25)).map(|number| jpegs[number % 15].len()).sum();
    if wanted == 0 {
        return;
    }
    let read = pictures(file);
    assert!(read.len() >= wanted && read[..wanted] == all[..wanted], "{} of {length}: {}", file.display(), read.len());
}

#[test]
fn another_size_start_or_clock_begins_another_file() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let start = now_us() - 20_000_000;
    let mut send = |number: i64, clock: i64, boot: &str| {
        let at_us = start + number * 100_000;
        sender.sends_as(&jpegs[0], at_us + clock, now_us() - at_us, boot);
    };
    (0..20).for_each(|number| send(number, 0, "b1"));
    (20..40).for_each(|number| send(number, 0, "b2"));
    (40..60).for_each(|number| send(number, 86_400_000_000, "b2"));
    (60..80).for_each(|number| send(number, -86_400_000_000, "b2"));
    eventually("four files", || (files(&bench, "door").len() == 4).then_some(()));
    receiver.program.terminate();
    let all: Vec<i64> = files(&bench, "door").iter().flat_map(|file| times(file)).collect();
    assert_eq!(all.len(), 80);
    for (number, came) in (0..).zip(&all) {
        // The two clocks of one that is wrong are compared with what the way takes.
        let most = if number < 40 { 1_000 } else { 900_000 };
        let wanted: i64 = start + number * 100_000;
        assert!(came.abs_diff(wanted) < most, "{number}: {came} is not {wanted}");
    }
}

#[test]
fn only_what_is_wanted_is_recorded_at_the_rate_that_is_wanted() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "fps = 5\ncameras = [\"shed/door\"]");
    let mut sender = Sender::new(&receiver.link, "yard");
    sender.sends_all(&jpegs, 10);
    (sender.camera, sender.seq) = ("door", 0);
    sender.sends_all(&jpegs, 100);
    eventually("frames", || (frames_in(&bench) > 15).then_some(()));
    receiver.program.terminate();
    let intervals: Vec<i64> = times(&files(&bench, "door")[0]).windows(2).map(|two| two[1] - two[0]).collect();
    assert!((18..=20).contains(&intervals.len()), "{intervals:?}");
    assert!(intervals.iter().all(|interval| (120_000..=280_000).contains(interval)), "{intervals:?}");
    assert!(!bench.path("recordings/shed/yard").exists());
}

#[test]
fn at_a_low_rate_a_file_goes_on_between_frames() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "fps = 0.25");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.sends_all(&jpegs, 400);
    eventually("frames", || (frames_in(&bench) >= 4).then_some(()));
    receiver.program.terminate();
    let files = files(&bench, "door");
    assert_eq!(files.len(), 1, "{files:?}");
    let intervals: Vec<i64> = times(&files[0]).windows(2).map(|two| two[1] - two[0]).collect();
    assert!(intervals.len() >= 3 && intervals.iter().all(|us| us.abs_diff(4_000_000) < 1_500_000), "{intervals:?}");
}

#[test]
fn a_camera_that_is_slow_has_files_of_many_frames() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let receiver = recording(&bench, "segment = \"1h\"");
    let mut sender = Sender::new(&receiver.link, "door");
    let cameras = [("door", 3_000_000), ("yard", 30_000_000)];
    for (camera, interval_us) in cameras {
        (sender.camera, sender.seq) = (camera, 0);
        let first_us = now_us() - 20 * interval_us;
        (0..20).for_each(|number| sender.sends(&jpegs[0], first_us + number * interval_us));
    }
    for (camera, _) in cameras {
        // How slow it is, the second frame says.
        eventually("two files", || (frames_of(&bench, camera) == 20).then_some(()));
        assert_eq!(files(&bench, camera).len(), 2, "{camera}");
    }
}
