//! Programs, boards and cameras for the tests.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

/// The longest that anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something to be found.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A running program whose output is kept; killed when dropped.
pub struct Program {
    child: Child,
    out: Lines,
    log: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let out = collect(child.stdout.take().expect("piped"));
        let log = collect(child.stderr.take().expect("piped"));
        Program { child, out, log }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The newest line of standard output that `matches`.
    #[track_caller]
    pub fn says<T>(&self, what: &str, matches: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || self.said(&matches))
    }

    /// The newest line of standard output that is JSON and `matches`.
    #[track_caller]
    pub fn says_json(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.said_json(&matches))
    }

    /// As [`Program::says_json`], if it was said already.
    pub fn said_json(&self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        self.said(|line| serde_json::from_str(line).ok().filter(|value| matches(value)))
    }

    fn said<T>(&self, matches: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.out.lock().unwrap().iter().rev().find_map(|line| matches(line))
    }

    /// What stands between `before` and `after` in a line of the log; up to the line's end if `after` is empty.
    #[track_caller]
    pub fn logs(&self, before: &str, after: &str) -> String {
        eventually(&format!("{before:?} in the log"), || {
            self.log.lock().unwrap().iter().find_map(|line| {
                let rest = line.split_once(before)?.1;
                let found = if after.is_empty() { rest } else { rest.split_once(after)?.0 };
                Some(found.to_owned())
            })
        })
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn out(&self) -> String {
        self.out.lock().unwrap().join("\n")
    }

    /// User and system time so far, in seconds (proc(5), fields 14 and 15; a hundredth each on Linux).
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// How many files, sockets and terminals it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs").count()
    }

    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs").count()
    }

    /// Bytes of memory that are in use and not a file's (proc(5), `RssAnon`, in kB).
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Forgets what was said on standard output until now.
    pub fn forget(&self) {
        self.out.lock().unwrap().clear();
    }

    /// Ends it as systemd does; gives how it ended and how long that took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        (self.wait(), start.elapsed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().expect("it is ours"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of process {}:\n{}", self.id(), self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    lines
}

/// A directory for one test, with everything it needs.
pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a temporary file");
        path
    }

    /// An agent with this configuration, on virtual cameras if the bench has any.
    pub fn agent(&self, config: &str) -> Program {
        let config = self.write("agent.toml", config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.arg("run").arg("--config").arg(config);
        Program::start(self.with_cameras(&mut command))
    }

    /// What `watchpost devices` prints, perhaps with a configuration, on the bench's virtual cameras.
    pub fn devices(&self, config: Option<&str>) -> Output {
        fs::create_dir_all(self.path("cameras")).expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.arg("devices");
        if let Some(config) = config {
            command.arg("--config").arg(self.write("agent.toml", config));
        }
        self.with_cameras(&mut command).output().expect("it starts")
    }

    /// The command on the bench's virtual cameras, if it has any.
    pub fn with_cameras<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.path("cameras").exists() {
            command.env("LD_PRELOAD", virtual_camera()).env("VCAM_DIR", self.path("cameras"));
        }
        command
    }

    /// A receiver with one link, its page on any free port, printing JSON lines.
    pub fn receiver(&self, link: &str) -> Receiver {
        let config = self.write("receiver.toml", &format!("[[link]]\n{link}\n[web]\nlisten = \"127.0.0.1:0\"\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.args(["receive", "--json", "--config"]).arg(config).arg("--save").arg(self.path("saved"));
        let program = Program::start(&mut command);
        let link = format!("tcp://{}", program.logs("link tcp://", ": open"));
        let page = format!("127.0.0.1:{}", program.logs("the page is at http://127.0.0.1:", "/"));
        Receiver { program, link, page }
    }

    /// A receiver for a watchpost agent that connects.
    pub fn pair_receiver(&self) -> Receiver {
        self.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"")
    }

    /// Plugs in a virtual MJPG camera as /dev/videoNODE that plays `film`.
    pub fn plug_camera(&self, node: u32, film: &Path) {
        self.plug_camera_of(node, &format!("MJPG 480x320 25 {}", film.display()));
    }

    /// Plugs in a virtual camera, in the words of `tests/virtual_camera.c`.
    pub fn plug_camera_of(&self, node: u32, kind: &str) {
        fs::create_dir_all(self.path("cameras")).expect("a temporary directory");
        let text = format!("{kind}\n");
        // Whole at any time: the camera is there from the moment the file is.
        let whole = self.write("camera", &text);
        fs::rename(whole, self.camera(node, "camera")).expect("a temporary file");
    }

    /// A control file of a virtual camera.
    pub fn camera(&self, node: u32, control: &str) -> PathBuf {
        self.path("cameras").join(format!("{node}.{control}"))
    }

    /// Leads the link /dev/v4l/by-id/NAME to the virtual camera at NODE, as udev does when it is plugged in.
    pub fn link_camera(&self, name: &str, node: u32) {
        fs::create_dir_all(self.path("cameras/by-id")).expect("a temporary directory");
        let whole = self.path("link");
        symlink(format!("/dev/video{node}"), &whole).expect("a link to a camera");
        fs::rename(whole, self.path("cameras/by-id").join(name)).expect("a temporary directory");
    }

    /// Plugs a board in: a link that stays the same leads to its terminal.
    pub fn plug_board(&self, name: &str) -> Board {
        let mut board = Board::new();
        let link = self.path(name);
        symlink(&board.path, &link).expect("a link to a terminal");
        board.link = Some(link);
        board
    }
}

pub struct Receiver {
    pub program: Program,
    pub link: String,
    pub page: String,
}

/// A board on a real pseudo-terminal; unplugged when dropped.
pub struct Board {
    master: PtyMaster,
    pub path: PathBuf,
    link: Option<PathBuf>,
}

impl Drop for Board {
    /// The link goes first, as udev removes it: the terminal's name is soon another test's.
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            fs::remove_file(link).expect("the link of a board that is plugged in");
        }
    }
}

impl Board {
    pub fn new() -> Board {
        // Not for programs that are started meanwhile: they would keep it plugged in.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("a pseudo-terminal");
        unlockpt(&master).expect("a pseudo-terminal");
        let path = ptsname_r(&master).expect("a pseudo-terminal's name").into();
        Board { master, path, link: None }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).expect("the terminal takes it");
    }

    /// The terminal's settings.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.master).expect("a terminal")
    }

    pub fn set(&mut self, settings: &Termios) {
        tcsetattr(&self.master, SetArg::TCSANOW, settings).expect("a terminal");
    }

    /// Writes a line. The newline before it ends whatever was there when the agent opened the port, which it takes for
    /// the rest of a line that began before.
    pub fn say(&mut self, line: &str) {
        self.write(format!("\n{line}\n").as_bytes());
    }
}

/// A film of Debian's package opencv-doc: 768x576, 10 frames a second.
#[cfg(feature = "opencv")]
pub const FILM: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

/// Python with the packages that script/setup has installed for programs of ours.
pub const PEERS_PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/python");

/// A Python program of tests/peers.
pub fn peer(program: &str, arguments: &[&str]) -> Program {
    let program = format!("{}/tests/peers/{program}", env!("CARGO_MANIFEST_DIR"));
    Program::start(Command::new(PEERS_PYTHON).arg("-u").arg(program).args(arguments))
}

/// A film of `count` different JPEGs of 480x320, and the JPEGs.
pub fn film(bench: &Bench, name: &str, count: u8) -> (PathBuf, Vec<Vec<u8>>) {
    film_of(bench, name, count, (480, 320))
}

/// The same of another size.
pub fn film_of(bench: &Bench, name: &str, count: u8, (width, height): (u32, u32)) -> (PathBuf, Vec<Vec<u8>>) {
    let mut encoder = Encoder::default();
    let jpegs: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let mut data: Vec<u8> = (0..width * height).map(|i| (i % width) as u8 / 4 + number * 8).collect();
            data.resize((width * height * 2) as usize, 128);
            let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
            encoder.encode(frame, Quality::default()).expect("a picture").to_vec()
        })
        .collect();
    let path = bench.path(name);
    fs::write(&path, jpegs.concat()).expect("a temporary file");
    (path, jpegs)
}

/// The library that makes virtual cameras, built once for all tests.
fn virtual_camera() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvirtual_camera.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/virtual_camera.c");
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", source, "-ldl", "-lpthread", "-o"])
            .arg(&library)
            .status()
            .expect("a C compiler");
        assert!(status.success(), "{source} does not compile");
        library
    })
}

/// A free port of this machine, for a program that has to be told one.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A subscriber that waits no longer than anyone should for a message.
pub fn subscriber(port: u16, topics: &[&str]) -> zmq::Socket {
    let socket = zmq::Context::new().socket(zmq::SUB).expect("a socket");
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
    socket.connect(&format!("tcp://127.0.0.1:{port}")).expect("a port");
    for topic in topics {
        socket.set_subscribe(topic.as_bytes()).expect("a topic");
    }
    socket
}

/// All readings of a header; those of batches with what holds for the batch.
pub fn readings(header: &Value) -> impl Iterator<Item = Value> {
    let list = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
    let batches = list(header, "batches").into_iter().flat_map(move |mut batch| {
        let values = list(&batch, "values");
        batch["values"].take();
        values.into_iter().map(move |value| {
            let mut reading = batch.clone();
            let keys = reading.as_object_mut().expect("an object");
            keys.extend(value.as_object().cloned().expect("an object"));
            reading
        })
    });
    list(header, "readings").into_iter().chain(batches)
}

/// The JPEG below DIR/AGENT/CAMERA.jpg, once it is there.
pub fn saved(bench: &Bench, agent: &str, camera: &str) -> Vec<u8> {
    let path = bench.path("saved").join(agent).join(format!("{camera}.jpg"));
    eventually(&format!("{}", path.display()), || {
        let mut bytes = Vec::new();
        File::open(&path).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    })
}

/// A board that says the same over and over, on a thread of its own, until this is dropped.
pub struct Talker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    pub fn says_always(mut self, what: impl Into<Vec<u8>>, every: Duration) -> Talker {
        let what = what.into();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // What a terminal that nobody reads does not take is lost, as on a wire; waiting for it could last for ever.
        fcntl(&self.master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).expect("a terminal's flags");
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = self.master.write(&what);
                sleep(every);
            }
        });
        Talker { stop, thread: Some(thread) }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("only dropped once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "a board's thread failed");
    }
}
