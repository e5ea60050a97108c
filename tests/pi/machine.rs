//! The emulated Pi. QEMU's protocol QMP plugs devices in; everything else goes through ssh.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::board::Board;
use crate::eventually;

pub struct Machine {
    dir: PathBuf,
    ssh_port: u16,
    qemu: Child,
}

/// Returns a free port for QEMU to use.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

impl Machine {
    /// Starts with a fresh copy of the disk.
    pub fn start(dir: &Path, boards: &[Board]) -> Machine {
        let copied =
            Command::new("cp").arg("--sparse=always").arg(dir.join("disk.ext4")).arg(dir.join("used.ext4")).status();
        assert!(copied.expect("cp").success());
        let ssh_port = free_port();
        let qemu = power_on(dir, boards, ssh_port);
        let machine = Machine { dir: dir.to_owned(), ssh_port, qemu };
        machine.wait_until_reachable();
        machine
    }

    /// Waits until the Pi accepts logins. ssh alone could hang in a connection that QEMU accepts before sshd listens.
    #[track_caller]
    pub fn wait_until_reachable(&self) {
        let mut patience = Duration::ZERO;
        eventually("a greeting of the Pi's sshd", || {
            patience += Duration::from_secs(1);
            let mut connection = TcpStream::connect(("127.0.0.1", self.ssh_port)).ok()?;
            connection.set_read_timeout(Some(patience)).ok()?;
            connection.read_exact(&mut [0; 4]).ok()
        });
        eventually("a login on the Pi", || self.ask("true", "").status.success().then_some(()));
    }

    /// Runs a command on the Pi as the user pi.
    pub fn ask(&self, command: &str, input: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.args(["-q", "-p", &self.ssh_port.to_string(), "-i"]).arg(self.dir.join("key")).args(self.options());
        let mut ssh = ssh
            .args(["pi@127.0.0.1", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ssh");
        // A command that needs no input may have exited.
        let _ = ssh.stdin.take().expect("piped").write_all(input.as_bytes());
        ssh.wait_with_output().expect("ssh")
    }

    /// Like [`Machine::ask`], but the command must succeed; returns its output.
    #[track_caller]
    pub fn sh(&self, command: &str) -> String {
        self.sh_with(command, "")
    }

    #[track_caller]
    pub fn sh_with(&self, command: &str, input: &str) -> String {
        let Output { status, stdout, stderr } = self.ask(command, input);
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "`{command}` on the Pi: {status}\n{out}{err}\n{}", self.log());
        out.into_owned()
    }

    /// Returns the last lines of the services' log.
    pub fn log(&self) -> String {
        let journal = self.ask("sudo journalctl --no-pager --lines 40 --unit 'watchpost*'", "");
        String::from_utf8_lossy(&journal.stdout).into_owned()
    }

    pub fn copy_to(&self, file: &Path) {
        let mut scp = Command::new("scp");
        scp.args(["-q", "-P", &self.ssh_port.to_string(), "-i"]).arg(self.dir.join("key")).args(self.options());
        assert!(scp.arg(file).arg("pi@127.0.0.1:").status().expect("scp").success());
    }

    /// Makes all commands share one connection, because an emulated machine takes seconds to set one up.
    fn options(&self) -> Vec<String> {
        let path = format!("ControlPath={}", self.dir.join("ssh.sock").display());
        let options = [
            "ControlMaster=auto",
            "ControlPersist=60",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=5",
            "ServerAliveInterval=5",
            &path,
        ];
        options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]).collect()
    }

    /// Cuts the power and starts the machine again.
    pub fn cut_and_start(&mut self, boards: &mut [Board]) {
        self.qemu.kill().expect("a running QEMU");
        self.qemu.wait().expect("an exited QEMU");
        self.hang_up();
        self.qemu = power_on(&self.dir, boards, self.ssh_port);
        self.wait_until_reachable();
        boards.iter_mut().for_each(Board::connect);
    }

    /// Closes the shared connection to a machine that has stopped.
    pub fn hang_up(&self) {
        let _ = self.ask_ssh_to_exit();
        let _ = fs::remove_file(self.dir.join("ssh.sock"));
    }

    fn ask_ssh_to_exit(&self) -> std::io::Result<Output> {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options()).args(["-O", "exit", "pi@127.0.0.1"]).output()
    }

    pub fn unplug(&self, board: &Board) {
        self.command(&json!({ "execute": "device_del", "arguments": { "id": board.name } }));
    }

    pub fn plug_in(&self, board: &Board) {
        let mut fields: serde_json::Map<String, Value> = board
            .device()
            .split(',')
            .filter_map(|field| field.split_once('='))
            .map(|(key, value)| (key.to_owned(), if value == "on" { json!(true) } else { json!(value) }))
            .collect();
        fields.insert("driver".into(), json!("usb-serial"));
        self.command(&json!({ "execute": "device_add", "arguments": fields }));
    }

    fn command(&self, command: &Value) {
        let mut socket = UnixStream::connect(self.dir.join("qmp.sock")).expect("QEMU's socket");
        let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
        for command in [&json!({ "execute": "qmp_capabilities" }), command] {
            writeln!(socket, "{command}").expect("QEMU listens");
            let answers =
                lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"));
            let answer = answers.into_iter().find(|answer| answer.get("return").or(answer.get("error")).is_some());
            assert!(answer.as_ref().is_some_and(|answer| answer.get("return").is_some()), "{command}: {answer:?}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn power_on(dir: &Path, boards: &[Board], ssh_port: u16) -> Child {
    let path = |name: &str| dir.join(name).display().to_string();
    let console = fs::File::create(dir.join("console.log")).expect("a log");
    // QEMU must exit with this program in any case, because it would block the disk.
    let mut qemu = Command::new("setpriv");
    qemu.args([
        "--pdeathsig",
        "KILL",
        "qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        "2",
        "-m",
        "1024",
        "-nographic",
    ])
    .arg("-nodefaults")
    .args(["-serial", "stdio", "-append", "console=ttyAMA0 quiet transparent_hugepage=never"])
    .args(["-kernel", &path("kernel"), "-initrd", &path("initrd")])
    .args(["-drive", &format!("file={},format=raw,if=virtio,cache=unsafe", path("used.ext4"))])
    .args(["-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{ssh_port}-:22")])
    .args(["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "qemu-xhci"])
    .args(["-qmp", &format!("unix:{},server=on,wait=off", path("qmp.sock"))]);
    for board in boards {
        let wire = format!("socket,id=wire-{},path={},server=on,wait=off", board.name, board.socket.display());
        qemu.args(["-chardev", &wire, "-device", &board.device()]);
    }
    qemu.stdin(Stdio::null()).stdout(console.try_clone().expect("a log")).stderr(console).spawn().expect("QEMU")
}
