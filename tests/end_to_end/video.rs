use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bench, FILM, Program, Receiver, eventually};
use crate::network_camera::{NetworkCamera, Viewer};

/// One of which no picture ever comes, so that OpenCV waits for it for ever.
const HANGS: &str = "videotestsrc is-live=true ! valve drop=true ! videoconvert ! appsink";

fn config(receiver: &Receiver, source: &str) -> String {
    format!(
        "camera = [{{ name = 'door', source = '{source}' }}]\nlink = [{{ pattern = 'pair', connect = '{}' }}]",
        receiver.link
    )
}

/// Waits for a frame that comes from now on.
#[track_caller]
fn sees(receiver: &Receiver) {
    receiver.program.forget();
    receiver.program.says_json("a frame", |message| message["type"] == "frame");
}

/// Waits for a status of now in which the camera is down, and its cause is so.
#[track_caller]
fn is_told(receiver: &Receiver, cause: &str) {
    receiver.program.forget();
    receiver.program.says_json(cause, |message| {
        let door = &message["cameras"][0];
        door["up"] == false && door["cause"].as_str().is_some_and(|said| said.contains(cause))
    });
}

/// The process that plays the agent's one film.
#[track_caller]
fn player(agent: &Program) -> u32 {
    eventually("one process", || match agent.children()[..] {
        [process] => Some(process),
        _ => None,
    })
}

fn send(process: u32, signal: Signal) {
    kill(Pid::from_raw(process as i32), signal).expect("it runs");
}

/// Without a process, or with one that only waits to be asked how it ended (proc(5), `Z`).
fn is_gone(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn has_opencv(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs").contains("libopencv")
}

#[test]
fn the_agent_has_no_opencv_in_its_memory() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, FILM));
    sees(&receiver);
    assert!(has_opencv(player(&agent)));
    assert!(!has_opencv(agent.id()));
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_behind_even_if_it_hangs() {
    for source in [FILM, HANGS] {
        let bench = Bench::new();
        let receiver = bench.pair_receiver();
        let mut agent = bench.agent(&config(&receiver, source));
        let process = player(&agent);
        // In the midst of it: one listens to the agent, and another reads or makes pictures.
        eventually("its threads", || {
            (fs::read_dir(format!("/proc/{process}/task")).expect("it runs").count() >= 3).then_some(())
        });
        agent.kill();
        eventually("its end", || is_gone(process).then_some(()));
    }
}

#[test]
fn there_is_none_while_no_link_takes_frames() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, FILM));
    sees(&receiver);
    let process = player(&agent);
    drop(receiver);
    eventually("its end", || agent.children().is_empty().then_some(()));
    assert!(is_gone(process));
    agent.logs("at rest: no link takes its frames", "");
}

#[test]
fn one_that_hangs_is_named_so_and_killed_and_another_started() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let mut agent = bench.agent(&config(&receiver, FILM));
    sees(&receiver);
    let held = || (agent.descriptors(), agent.threads());
    let (process, before, start) = (player(&agent), held(), Instant::now());
    send(process, Signal::SIGSTOP);
    is_told(&receiver, "hangs in its driver or stream");
    sees(&receiver);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(is_gone(process) && player(&agent) != process);
    eventually("as many descriptors and threads as before", || (held() == before).then_some(()));

    let process = player(&agent);
    send(process, Signal::SIGSTOP);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert!(is_gone(process) && !agent.log().contains("left behind"), "{}", agent.log());
}

#[test]
fn one_that_crashes_is_named_so_and_another_started() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&config(&receiver, FILM));
    sees(&receiver);
    let process = player(&agent);
    // Rust takes the first for a fault that comes again if it is one.
    eventually("its end", || {
        let _ = kill(Pid::from_raw(process as i32), Signal::SIGSEGV);
        is_gone(process).then_some(())
    });
    is_told(&receiver, "watchpost-video was ended by signal 11 (SIGSEGV)");
    sees(&receiver);
    assert_ne!(player(&agent), process);
}

/// watchpost and watchpost-video, in a directory of their own.
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
        let places: Vec<usize> = memchr::memmem::find_iter(&program, from).collect();
        assert!(!places.is_empty() && from.len() == to.len(), "{from}");
        for place in places {
            program[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
        // Whole at any time: a program that runs or is written cannot be replaced otherwise.
        let whole = self.video.with_extension("new");
        fs::write(&whole, program).expect("a temporary file");
        let executable = fs::metadata(&self.watchpost).expect("a file").permissions();
        fs::set_permissions(&whole, executable).expect("a temporary file");
        fs::rename(whole, &self.video).expect("a temporary file");
    }
}

#[test]
fn a_program_that_is_not_there_or_not_the_right_one_is_named_so_until_it_is() {
    let bench = Bench::new();
    let installed = Installed::alone(&bench);
    let receiver = bench.pair_receiver();
    let agent = bench.agent_of(Command::new(&installed.watchpost), &config(&receiver, FILM));
    let place = bench.dir.path().display();
    let missing =
        format!("needs watchpost-video, which is not in {place}; install it there, from the same build as watchpost");
    is_told(&receiver, &missing);
    let check = || {
        let mut check = Command::new(&installed.watchpost);
        let said = check.args(["check", "--config"]).arg(bench.path("agent.toml")).output().expect("it starts");
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(check().contains(&missing), "{}", check());

    let version = env!("CARGO_PKG_VERSION");
    let other = version.replace(char::is_numeric, "9");
    installed.install(&format!("watchpost-video {version}"), &format!("watchpost-video {other}"));
    is_told(&receiver, &format!("version {other} but watchpost is {version}: install both from one build"));
    installed.install("libopencv_videoio.so", "libopencv_videoio.xx");
    is_told(&receiver, "error while loading shared libraries: libopencv_videoio.xx");
    installed.install("", "");
    sees(&receiver);
    assert!(!check().contains("install"), "{}", check());
    assert!(has_opencv(player(&agent)));
}

#[test]
fn a_password_is_in_no_list_of_processes_and_in_no_log() {
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
        let command = fs::read(format!("/proc/{process}/cmdline")).expect("it runs");
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(command.contains("watchpost") && !command.contains("confidential"), "{command}");
    }
    drop(camera);
    viewer.status("its end", |cameras| cameras[0]["up"] == false);
    assert!(agent.log().contains("…@127.0.0.1") && !agent.log().contains("confidential"), "{}", agent.log());
}

#[test]
fn what_libraries_write_is_logged_only_when_that_is_asked_for() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let noise = bench.path("film.mp4");
    fs::write(&noise, [0, 0, 0, 8, b'f', b'r', b'e', b'e']).expect("a temporary file");
    let config = config(&receiver, &noise.to_string_lossy());
    let mut verbose = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    verbose.arg("--verbose");
    for (command, is_said) in [(verbose, true), (Command::new(env!("CARGO_BIN_EXE_watchpost")), false)] {
        let mut agent = bench.agent_of(command, &config);
        is_told(&receiver, "cannot be opened as a file");
        agent.terminate();
        let is_of_ffmpeg = |line: &str| line.contains("DEBUG camera door: [mov,mp4");
        assert_eq!(agent.log().lines().any(is_of_ffmpeg), is_said, "{}", agent.log());
        assert!(is_said || !agent.log().contains("moov"), "{}", agent.log());
    }
}
