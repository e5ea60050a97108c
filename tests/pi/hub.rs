//! The receiver on this machine, and the messages that arrive there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::eventually;
use crate::machine::free_port;
use crate::program::Program;

pub struct Hub {
    dir: PathBuf,
    pub port: u16,
    receiver: Program,
}

impl Hub {
    pub fn start(dir: &Path) -> Hub {
        let dir = dir.join("hub");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        let (port, page) = (free_port(), free_port());
        let history = dir.join("history.sqlite").display().to_string();
        let config = format!(
            "link = [{{ pattern = \"pair\", bind = \"tcp://127.0.0.1:{port}\" }}]\n\
             web = {{ listen = \"127.0.0.1:{page}\" }}\nhistory = {{ path = \"{history}\" }}\n"
        );
        fs::write(dir.join("receiver.toml"), config).expect("a file");
        let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        let receiver = Program::start(watchpost.args(["receive", "--json", "--config"]).arg(dir.join("receiver.toml")));
        Hub { dir, port, receiver }
    }

    /// Waits for a new message for which `matches` holds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.receiver.clear_output();
        self.receiver.wait_for_json(what, matches)
    }

    #[track_caller]
    pub fn wait_for_frame(&self, camera: &str) -> Value {
        self.wait_for(&format!("a frame of {camera}"), |m| m["type"] == "frame" && m["camera"] == camera)
    }

    /// Waits until the agent reports a camera or port as up or down; returns the cause.
    #[track_caller]
    pub fn wait_for_state(&self, kind: &str, name: &str, is_up: bool) -> String {
        let part = |message: &Value| {
            let part = message[kind].as_array()?.iter().find(|part| part["name"] == name && part["up"] == is_up)?;
            Some(part["cause"].to_string())
        };
        let status = self.wait_for(&format!("{name} is up: {is_up}"), |m| m["type"] == "status" && part(m).is_some());
        part(&status).expect("the awaited part")
    }

    /// Returns how many distinct values of a quantity the history has, and how many readings.
    pub fn kept(&self, quantity: &str) -> (u32, u32) {
        let file = Connection::open_with_flags(self.dir.join("history.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count =
            "SELECT count(DISTINCT value), count(*) FROM readings JOIN series ON series.id = series WHERE quantity = ?";
        file.and_then(|file| file.query_row(count, [quantity], |row| Ok((row.get(0)?, row.get(1)?))))
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn keeps(&self, quantity: &str, readings: u32) {
        eventually(&format!("{readings} readings of {quantity}"), || (self.kept(quantity).0 == readings).then_some(()));
    }

    /// Stops the receiver until [`Hub::wakes`].
    pub fn sleeps(&self) {
        self.receiver.signal(Signal::SIGSTOP);
    }

    pub fn wakes(&self) {
        self.receiver.signal(Signal::SIGCONT);
    }
}
