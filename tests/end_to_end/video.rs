use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::http_camera::{HttpCamera, reply};
use crate::harness::{Bench, Program, Receiver, eventually, sample_video};
use crate::network_camera::{NetworkCamera, Viewer};

/// A pipeline that never delivers a picture, so that OpenCV blocks forever.
const STALLED_PIPELINE: &str = "videotestsrc is-live=true ! valve drop=true ! videoconvert ! appsink";

fn config(receiver: &Receiver, source: &str) -> String {
    format!(
        "camera = [{{ name = 'door', source = '{source}' }}]\nlink = [{{ pattern = 'pair', connect = '{}' }}]",
        receiver.link
    )
}

/// Waits for a new frame.
#[track_caller]
fn wait_for_frame(receiver: &Receiver) {
    receiver.program.clear_output();
    receiver.program.wait_for_json("a frame", |message| message["type"] == "frame");
}

/// Waits for a new status in which the camera is down for this cause.
#[track_caller]
fn wait_for_cause(receiver: &Receiver, cause: &str) {
    receiver.program.clear_output();
    receiver.program.wait_for_json(cause, |message| {
        let door = &message["cameras"][0];
        door["up"] == false && door["cause"].as_str().is_some_and(|text| text.contains(cause))
    });
}

/// Returns the process that reads the agent's only video.
#[track_caller]
fn player(agent: &Program) -> u32 {
    eventually("one process", || match agent.children()[..] {
        [process] => Some(process),
        _ => None,
    })
}

fn send(process: u32, signal: Signal) {
    kill(Pid::from_raw(process as i32), signal).expect("a running process");
}

/// True if the process is gone or a zombie (proc(5), `Z`).
fn is_gone(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn has_opencv(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/maps")).expect("a running process").contains("libopencv")
}

#[test]
fn agent_does_not_load_opencv() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, sample_video()));
    wait_for_frame(&receiver);
    assert!(has_opencv(player(&agent)));
    assert!(!has_opencv(agent.id()));
}

#[test]
fn killed_agent_leaves_no_video_process_behind() {
    for source in [sample_video(), STALLED_PIPELINE] {
        let bench = Bench::new();
        let receiver = bench.pair_receiver();
        let mut agent = bench.agent(&config(&receiver, source));
        let process = player(&agent);
        // Fully started: one thread listens to the agent, another reads or generates pictures.
        eventually("its threads", || {
            (fs::read_dir(format!("/proc/{process}/task")).expect("a running process").count() >= 3).then_some(())
        });
        agent.kill();
        eventually("the end of the process", || is_gone(process).then_some(()));
    }
}

#[test]
fn no_video_process_while_no_link_takes_frames() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, sample_video()));
    wait_for_frame(&receiver);
    let process = player(&agent);
    drop(receiver);
    eventually("the end of the process", || agent.children().is_empty().then_some(()));
    assert!(is_gone(process));
    agent.wait_for_log("idle: no link needs its frames", "");
}

#[test]
fn hung_video_process_is_reported_and_replaced() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let mut agent = bench.agent(&config(&receiver, sample_video()));
    wait_for_frame(&receiver);
    let held = || (agent.descriptors(), agent.threads());
    let (process, before, mut stopwatch) = (player(&agent), held(), agent.stopwatch());
    send(process, Signal::SIGSTOP);
    wait_for_cause(&receiver, "hangs in its driver or stream");
    wait_for_frame(&receiver);
    let took = stopwatch.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(is_gone(process) && player(&agent) != process);
    eventually("as many descriptors and threads as before", || (held() == before).then_some(()));

    let process = player(&agent);
    send(process, Signal::SIGSTOP);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert!(is_gone(process) && !agent.log().contains("abandoning"), "{}", agent.log());
}

#[test]
fn crashed_video_process_is_reported_and_replaced() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, sample_video()));
    wait_for_frame(&receiver);
    let process = player(&agent);
    // Rust's handler returns from the first signal, because a real fault would occur again.
    eventually("the end of the process", || {
        let _ = kill(Pid::from_raw(process as i32), Signal::SIGSEGV);
        is_gone(process).then_some(())
    });
    wait_for_cause(&receiver, "watchpost-video was killed by signal 11 (SIGSEGV)");
    wait_for_frame(&receiver);
    assert_ne!(player(&agent), process);
}

/// watchpost and watchpost-video in their own directory.
struct Installed {
    watchpost: PathBuf,
    video: PathBuf,
}

impl Installed {
    fn alone(bench: &Bench) -> Installed {
        let (watchpost, video) = (bench.path("watchpost"), bench.path("watchpost-video"));
        fs::copy(env!("CARGO_BIN_EXE_watchpost"), &watchpost).expect("a temporary file");
        Installed { watchpost, video }
    }

    /// Installs watchpost-video with some of its bytes changed.
    fn install(&self, from: &str, to: &str) {
        let mut program = fs::read(env!("CARGO_BIN_EXE_watchpost-video")).expect("it is built");
        let offsets: Vec<usize> = memchr::memmem::find_iter(&program, from).collect();
        assert!(!offsets.is_empty() && from.len() == to.len(), "{from}");
        for offset in offsets {
            program[offset..offset + to.len()].copy_from_slice(to.as_bytes());
        }
        // Renamed into place, because a running program cannot be overwritten.
        let whole = self.video.with_extension("new");
        fs::write(&whole, program).expect("a temporary file");
        let executable = fs::metadata(&self.watchpost).expect("a file").permissions();
        fs::set_permissions(&whole, executable).expect("a temporary file");
        fs::rename(whole, &self.video).expect("a temporary file");
    }
}

#[test]
fn missing_or_wrong_video_program_is_reported() {
    let bench = Bench::new();
    let installed = Installed::alone(&bench);
    let receiver = bench.pair_receiver();
    let agent = bench.agent_of(Command::new(&installed.watchpost), &config(&receiver, sample_video()));
    let directory = bench.dir.path().display();
    let missing = format!(
        "needs watchpost-video, which is not in {directory}; install it there, from the same build as watchpost"
    );
    wait_for_cause(&receiver, &missing);
    let check = || {
        let mut check = Command::new(&installed.watchpost);
        let output = check.args(["check", "--config"]).arg(bench.path("agent.toml")).output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(check().contains(&missing), "{}", check());

    let version = env!("CARGO_PKG_VERSION");
    let other = version.replace(char::is_numeric, "9");
    installed.install(&format!("watchpost-video {version}"), &format!("watchpost-video {other}"));
    wait_for_cause(&receiver, &format!("version {other} but watchpost is {version}: install both from one build"));
    installed.install("libopencv_videoio.so", "libopencv_videoio.xx");
    wait_for_cause(&receiver, "error while loading shared libraries: libopencv_videoio.xx");
    installed.install("", "");
    wait_for_frame(&receiver);
    assert!(!check().contains("install"), "{}", check());
    assert!(has_opencv(player(&agent)));
}

#[test]
fn passwords_stay_out_of_process_list_and_log() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let source = camera.address.replace("rtsp://", "rtsp://me:confidential@");
    let mut verbose = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    verbose.arg("--verbose");
    let link = &viewer.link;
    let agent = bench.agent_of(
        verbose,
        &format!(
            "camera = [{{ name = 'door', source = '{source}' }}]\nlink = [{{ pattern = 'pair', connect = '{link}' }}]"
        ),
    );
    viewer.next_of("door");
    for process in [agent.id(), player(&agent)] {
        let command = fs::read(format!("/proc/{process}/cmdline")).expect("a running process");
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(command.contains("watchpost") && !command.contains("confidential"), "{command}");
    }
    drop(camera);
    viewer.status("the camera down", |cameras| cameras[0]["up"] == false);
    assert!(agent.log().contains("…@127.0.0.1") && !agent.log().contains("confidential"), "{}", agent.log());
}

#[test]
fn library_output_is_logged_only_with_verbose() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let noise = bench.path("film.mp4");
    fs::write(&noise, [0, 0, 0, 8, b'f', b'r', b'e', b'e']).expect("a temporary file");
    let config = config(&receiver, &noise.to_string_lossy());
    let mut verbose = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    verbose.arg("--verbose");
    for (command, is_logged) in [(verbose, true), (Command::new(env!("CARGO_BIN_EXE_watchpost")), false)] {
        let mut agent = bench.agent_of(command, &config);
        wait_for_cause(&receiver, "cannot be opened as a file");
        agent.terminate();
        let is_of_ffmpeg = |line: &str| line.contains("DEBUG camera door: [mov,mp4");
        assert_eq!(agent.log().lines().any(is_of_ffmpeg), is_logged, "{}", agent.log());
        assert!(is_logged || !agent.log().contains("moov"), "{}", agent.log());
    }
}

/// A live HLS stream with segments of four seconds, and pictures at a rate of ten.
#[test]
fn live_hls_runs_steadily() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let (start, segments) = (Instant::now(), hls_segments(&bench));
    let camera = HttpCamera::start(move |head, to| {
        let path = head.split(' ').nth(1).expect("a path");
        if let Some(number) = path.strip_prefix("/segment").and_then(|path| path.split('.').next()) {
            let number: usize = number.parse().expect("a number");
            return reply("HTTP/1.1 200 OK", "Content-Type: video/mp2t\r\n", &segments[number], to);
        }
        // Three segments are there at first, and the next one is late by four seconds.
        let last = 2 + (start.elapsed().as_secs().saturating_sub(12) / 4) as usize;
        let head = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{}\n", last - 2);
        let entries = (last - 2..=last).map(|number| format!("#EXTINF:4.0,\nsegment{number}.ts\n"));
        let playlist: String = std::iter::once(head).chain(entries).collect();
        reply("HTTP/1.1 200 OK", "Content-Type: application/vnd.apple.mpegurl\r\n", playlist.as_bytes(), to)
    });
    let agent = bench.agent(&config(&receiver, &format!("http://127.0.0.1:{}/live.m3u8", camera.port)));
    wait_for_frame(&receiver);
    let process = player(&agent);
    let frames = |status: &Value| status["cameras"][0]["counts"]["frames"].as_u64().unwrap_or_default();
    // Longer than all segments that were there.
    receiver.program.wait_for_json("130 frames", |status| frames(status) >= 130);
    let status = receiver.program.wait_for_json("its status", |status| frames(status) >= 130);
    assert_eq!((status["cameras"][0]["counts"]["opened"].as_u64(), player(&agent)), (Some(1), process));
    assert!(!agent.log().contains("sends no frames"), "{}", agent.log());
}

/// Twenty segments of a test film.
fn hls_segments(bench: &Bench) -> Vec<Vec<u8>> {
    let arguments = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=10:duration=80", "-g", "40"];
    let output = ["-c:v", "mpeg2video", "-f", "segment", "-segment_time", "4", "-segment_format", "mpegts"];
    let mut ffmpeg = Command::new("ffmpeg");
    let status = ffmpeg.args(arguments).args(output).arg(bench.path("segment%d.ts")).status().expect("ffmpeg");
    assert!(status.success(), "{status}");
    (0..20).map(|number| fs::read(bench.path(&format!("segment{number}.ts"))).expect("a segment")).collect()
}
