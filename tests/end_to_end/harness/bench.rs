//! A test bench: a temporary directory with agents, receivers and virtual cameras.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::program::started;
use super::{Board, Program, eventually, pi};

/// The temporary directory of one test, and everything the test runs there.
pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Places the bench in memory, for tests whose timing must not depend on a busy disk.
    pub fn in_memory() -> Bench {
        Bench { dir: tempfile::tempdir_in("/dev/shm").expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a temporary file");
        path
    }

    /// `watchpost COMMAND`, with its state directory in this bench.
    pub fn watchpost(&self, command: &str) -> Command {
        let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        self.with_state(&mut watchpost).arg(command);
        watchpost
    }

    fn with_state<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("XDG_STATE_HOME", self.path("state")).env_remove("STATE_DIRECTORY")
    }

    /// The history of the bench's receiver.
    pub fn history(&self) -> PathBuf {
        self.path("state/watchpost/history.sqlite")
    }

    /// Starts an agent with this configuration. It uses the bench's virtual cameras, if there are any.
    pub fn agent(&self, config: &str) -> Program {
        self.agent_of(Command::new(env!("CARGO_BIN_EXE_watchpost")), config)
    }

    /// Replaces a running agent's configuration and sends SIGHUP.
    pub fn reload(&self, agent: &Program, config: &str) {
        self.write("agent.toml", config);
        agent.signal(Signal::SIGHUP);
    }

    /// Replaces a running receiver's configuration and sends SIGHUP.
    pub fn reload_receiver(&self, receiver: &Receiver, config: &str) {
        self.write("receiver.toml", config);
        receiver.program.signal(Signal::SIGHUP);
    }

    /// Starts an agent from a prepared command, for another binary, environment or options.
    pub fn agent_of(&self, mut watchpost: Command, config: &str) -> Program {
        let config = self.write("agent.toml", config);
        self.with_state(&mut watchpost).arg("run").arg("--config").arg(config);
        Program::start(self.with_cameras(&mut watchpost))
    }

    /// Runs `watchpost devices` with the bench's virtual cameras, and with a configuration if there is one.
    pub fn devices(&self, config: Option<&str>) -> Output {
        fs::create_dir_all(self.path("cameras")).expect("a temporary directory");
        let mut command = self.watchpost("devices");
        if let Some(config) = config {
            command.arg("--config").arg(self.write("agent.toml", config));
        }
        self.with_cameras(&mut command).output().expect("watchpost starts")
    }

    /// Lets the command run on the bench's simulated Pi and virtual cameras, if it has any.
    pub fn with_cameras<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mut libraries: Vec<&Path> = pi::preload(self, command).into_iter().collect();
        if self.path("cameras").exists() {
            command.env("VCAM_DIR", self.path("cameras"));
            libraries.push(virtual_camera());
        }
        if !libraries.is_empty() {
            let libraries: Vec<_> = libraries.iter().map(|library| library.display().to_string()).collect();
            command.env("LD_PRELOAD", libraries.join(":"));
        }
        command
    }

    /// Starts a receiver with one link. It serves its page on any free port and prints JSON lines.
    pub fn receiver(&self, link: &str) -> Receiver {
        self.receiver_of(&format!("[[link]]\n{link}\n[web]\nlisten = \"127.0.0.1:0\"\n"))
    }

    /// Starts a receiver with this configuration. In [`Receiver::page`] the address 0.0.0.0 becomes 127.0.0.1.
    pub fn receiver_of(&self, config: &str) -> Receiver {
        self.receiver_by(Command::new(env!("CARGO_BIN_EXE_watchpost")), config)
    }

    /// Starts a receiver from a prepared command, for another binary or environment.
    pub fn receiver_by(&self, mut command: Command, config: &str) -> Receiver {
        let config = self.write("receiver.toml", config);
        self.with_state(&mut command)
            .args(["receive", "--json", "--config"])
            .arg(config)
            .arg("--save")
            .arg(self.path("saved"));
        let program = Program::start(&mut command);
        let link = format!("tcp://{}", program.wait_for_log("link tcp://", ": open"));
        let page = program.wait_for_log("the page is at http://", "/").replace("0.0.0.0", "127.0.0.1");
        Receiver { program, link, page }
    }

    /// Starts a receiver that binds a pair link.
    pub fn pair_receiver(&self) -> Receiver {
        self.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"")
    }

    /// Plugs in a virtual MJPG camera as /dev/videoNODE; it plays `film`, a file of JPEGs.
    pub fn plug_camera(&self, node: u32, film: &Path) {
        self.plug_camera_of(node, &format!("MJPG 480x320 25 {}", film.display()));
    }

    /// Plugs in a virtual camera. `kind` has the format that `tests/virtual_camera.c` describes.
    pub fn plug_camera_of(&self, node: u32, kind: &str) {
        fs::create_dir_all(self.path("cameras")).expect("a temporary directory");
        let text = format!("{kind}\n");
        // Renamed into place, because the camera exists as soon as the file does.
        let temporary = self.write("camera", &text);
        fs::rename(temporary, self.camera(node, "camera")).expect("a temporary file");
    }

    /// The path of a control file of a virtual camera.
    pub fn camera(&self, node: u32, control: &str) -> PathBuf {
        self.path("cameras").join(format!("{node}.{control}"))
    }

    /// Points the link /dev/v4l/by-id/NAME at the virtual camera NODE, as udev does when a camera is plugged in.
    pub fn link_camera(&self, name: &str, node: u32) {
        fs::create_dir_all(self.path("cameras/by-id")).expect("a temporary directory");
        let temporary = self.path("link");
        symlink(format!("/dev/video{node}"), &temporary).expect("a link to a camera");
        fs::rename(temporary, self.path("cameras/by-id").join(name)).expect("a temporary directory");
    }

    /// Plugs in a board; the link `name` points at its terminal, as a stable name of udev would.
    pub fn plug_board(&self, name: &str) -> Board {
        let mut board = Board::new();
        let link = self.path(name);
        symlink(&board.path, &link).expect("a link to a terminal");
        board.link = Some(link);
        board
    }
}

/// A running receiver.
pub struct Receiver {
    pub program: Program,
    /// The address of its first link.
    pub link: String,
    /// The host and port of its page.
    pub page: String,
}

/// The preload library that simulates cameras; built once for all tests.
fn virtual_camera() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library("virtual_camera"))
}

/// Builds tests/NAME.c as a preload library. Other copies of the tests may use the same path at the same time, so the file
/// is renamed into place.
pub(super) fn library(name: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lib{name}.so"));
    let temporary = library.with_extension(std::process::id().to_string());
    let source = format!("{}/tests/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", &source, "-ldl", "-lpthread", "-o"])
        .arg(&temporary);
    let result = compiler.status();
    let status = started(&compiler, result);
    assert!(status.success(), "{source} does not compile");
    fs::rename(temporary, &library).expect("a library");
    library
}

/// Waits for the JPEG that the receiver saves as AGENT/CAMERA.jpg, and returns it.
pub fn saved(bench: &Bench, agent: &str, camera: &str) -> Vec<u8> {
    let path = bench.path("saved").join(agent).join(format!("{camera}.jpg"));
    eventually(&format!("{}", path.display()), || {
        let mut bytes = Vec::new();
        File::open(&path).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    })
}
