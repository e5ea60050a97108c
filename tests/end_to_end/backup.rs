use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::harness::hub::{readings_in, waits_for};
use crate::harness::{Bench, Board, Program, Receiver, eventually, free_port};

/// The commands of docs/operations.md, section "Backup and restore", that contain all of these words.
fn commands(words: &[&str]) -> Vec<&'static str> {
    let document = include_str!("../../docs/operations.md");
    let section = document.split("\n## Backup and restore\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("the section");
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0);
    let lines: Vec<_> =
        blocks.flat_map(str::lines).filter(|line| words.iter().all(|word| line.contains(word))).collect();
    assert!(!lines.is_empty(), "no command with {words:?}");
    lines
}

/// Runs a command of the document as this user, with these directories instead of those of a service.
fn run(command: &str, state: &Path, backups: &Path) {
    let command = command
        .replace("sudo -u watchpost ", "")
        .replace("sudo ", "")
        .replace("-o watchpost -g watchpost ", "")
        .replace("/var/lib/watchpost", &state.display().to_string())
        .replace("/var/backups/watchpost", &backups.display().to_string())
        .replace("2026-11-30", "$(date +%F)");
    // At midnight the date would change between backup and restore.
    let command = command.replace("$(date +%F)", "today");
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
}

struct Site {
    bench: Bench,
    board: Board,
    address: String,
}

impl Site {
    fn new(address: &str) -> Site {
        Site { bench: Bench::new(), board: Board::new(), address: address.to_owned() }
    }

    fn state(&self) -> PathBuf {
        self.bench.path("state/watchpost")
    }

    fn agent(&self) -> Program {
        let agent = self.bench.agent(&format!(
            "name = \"shed\"\nserial = [{{ name = \"gas\", port = \"{}\" }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{}\" }}]",
            self.board.path.display(),
            self.address
        ));
        agent.wait_for_log("open at", "");
        agent
    }

    fn receiver(&self) -> Receiver {
        self.bench.receiver(&format!("pattern = \"pair\"\nbind = \"{}\"", self.address))
    }

    fn measure(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.board.write_line(&format!("n-{number}"));
        }
    }

    /// Every value in the history, as often as it is there.
    fn values(&self) -> Vec<u64> {
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(history) = Connection::open_with_flags(self.bench.history(), read_only) else { return Vec::new() };
        let Ok(mut select) = history.prepare("SELECT value FROM readings ORDER BY value") else { return Vec::new() };
        let rows = select.query_map([], |row| row.get::<_, f64>(0)).expect("readings");
        rows.map_while(Result::ok).map(|value| value as u64).collect()
    }

    #[track_caller]
    fn has(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut wanted: BTreeSet<u64> = numbers.into_iter().collect();
        eventually("the readings are in the history", || {
            let values = self.values();
            wanted.retain(|value| !values.contains(value));
            wanted.is_empty().then_some(())
        });
    }

    /// Waits until a reading of the agent's only start is in the spool, and all before it that no receiver has.
    #[track_caller]
    fn spools(&self, number: i64) {
        let newest = || {
            let file = self.state().join("spool.sqlite");
            let spool = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
            spool.query_row("SELECT max(seq + count - 1) FROM batches", [], |row| row.get::<_, i64>(0)).ok()
        };
        eventually("the reading is in the spool", || newest().filter(|newest| *newest >= number));
    }

    /// The totals of hours count each reading once, too.
    fn counted(&self) -> usize {
        let history = Connection::open_with_flags(self.bench.history(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count = "SELECT sum(count) FROM hours";
        history.expect("a history").query_row(count, [], |row| row.get::<_, i64>(0)).expect("a sum") as usize
    }
}

/// Runs an agent and a receiver, and backs both up at two moments while they run.
fn back_up(address: &str, backups: &[TempDir; 2]) -> Site {
    let mut old = Site::new(address);
    let back_up = |site: &Site, file: &str, to: &TempDir| {
        for command in commands(&["VACUUM INTO", file]) {
            run(command, &site.state(), to.path());
        }
    };
    let (mut agent, mut receiver) = (old.agent(), old.receiver());
    old.measure(1..=20);
    old.has(1..=20);
    back_up(&old, "history", &backups[0]);

    assert!(receiver.program.terminate().0.success());
    old.measure(21..=40);
    old.spools(40);
    for to in backups {
        back_up(&old, "spool", to);
    }

    // The second backup of the history has the readings of the spool's backup, and is taken while more arrive.
    receiver = old.receiver();
    old.has(21..=40);
    old.measure(41..=60);
    old.has(41..=60);
    old.measure(61..=70);
    back_up(&old, "history", &backups[1]);
    old.measure(71..=80);
    old.has(61..=80);
    assert_eq!(old.values(), (1..=80).collect::<Vec<_>>());
    // Killed, both leave their write-ahead logs behind.
    agent.kill();
    receiver.program.kill();
    old
}

/// Restores a backup over the files of another site.
fn restore(backup: &TempDir, over: &Site, address: &str) -> Site {
    let new = Site::new(address);
    fs::create_dir_all(new.state()).expect("a directory");
    for file in over.state().read_dir().expect("a directory").flatten() {
        if file.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(file.path(), new.state().join(file.file_name())).expect("a copy");
        }
    }
    for command in commands(&["/var/lib/watchpost/"]) {
        if command.contains("rm -f") || command.contains("install") {
            run(command, &new.state(), backup.path());
        }
    }
    assert!(readings_in(&new.state().join("spool.sqlite")) >= 20);
    new
}

#[test]
fn restored_backups_have_every_reading_once() {
    let backups = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("a temporary directory"));
    for (dir, command) in backups.iter().zip(commands(&["install -d"]).into_iter().cycle()) {
        run(command, dir.path(), dir.path());
    }
    let [same, moved] = [free_port(), free_port()].map(|port| format!("tcp://127.0.0.1:{port}"));
    let old = back_up(&same, &backups);

    for (backup, complete, address) in [(&backups[0], 40, &moved), (&backups[1], 60, &same)] {
        let mut new = restore(backup, &old, address);
        let (agent, receiver) = (new.agent(), new.receiver());
        new.measure([100]);
        new.has((1..=complete).chain([100]));
        if *address != same {
            let mut forget = new.bench.watchpost("spool");
            forget.args(["--forget", &same, "--config"]).arg(new.bench.path("agent.toml"));
            assert!(forget.output().expect("it starts").status.success());
        }
        waits_for(&new.bench, 0);
        let values = new.values();
        let unique: BTreeSet<u64> = values.iter().copied().collect();
        assert_eq!(values.len(), unique.len(), "{values:?}");
        assert_eq!(new.counted(), values.len());
        assert!(!agent.log().contains("damaged") && !receiver.program.log().contains("damaged"), "{}", agent.log());
    }
}
