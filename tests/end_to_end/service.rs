use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::harness::{Bench, Board, Manager, Peer, Program, eventually};

/// As a unit's `WatchdogSec=`.
const WATCHDOG: Duration = Duration::from_secs(4);

/// A thread is given up after four beats, of which there is one in five seconds, and a wait for the next.
const GIVEN_UP: Duration = Duration::from_secs(30);

fn watchpost() -> Command {
    Command::new(env!("CARGO_BIN_EXE_watchpost"))
}

fn config(peer: &Peer, camera: &str, port: &str) -> String {
    format!(
        r#"
        camera = [{{ name = "door", source = "{camera}", size = "320x240" }}]
        serial = [{{ name = "air", port = "{port}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        peer.address
    )
}

#[test]
fn the_manager_is_told_when_all_has_begun_how_it_goes_and_when_it_ends() {
    let (bench, peer, mut board) = (Bench::new(), Peer::new(), Board::new());
    let (mut command, port) = (watchpost(), board.path.display().to_string());
    let manager = Manager::of(&bench, &mut command, None);
    let mut agent = bench.agent_of(command, &config(&peer, "pattern", &port));
    board.say("t-25");
    manager.hears("READY=1");
    manager.hears("STATUS=1 of 1 cameras up, 1 of 1 ports up, 1 of 1 links up");
    bench.reload(&agent, &config(&peer, "/dev/video99", &port));
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    manager.hears("STATUS=0 of 1 cameras up, 1 of 1 ports up, 1 of 1 links up; door: no such device");
    bench.reload(&agent, "nonsense");
    manager.hears("no such device; the last configuration was not taken, see the log");
    let (status, _) = agent.terminate();
    assert!(status.success(), "{status}");
    assert!(manager.hears("STOPPING=1").iter().all(|text| !text.contains("WATCHDOG")), "nobody asked for it");
}

#[test]
fn what_has_not_begun_is_told_before_ready_and_a_link_without_anybody_holds_nothing_up() {
    let bench = Bench::new();
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, None);
    let config = r#"
        serial = [{ name = "air", port = "/dev/none" }]
        link = [{ pattern = "pair", connect = "tcp://127.0.0.1:1" }]"#;
    let _agent = bench.agent_of(command, config);
    let said = manager.hears("READY=1").join(" ");
    assert!(said.contains("STATUS=0 of 1 ports up, 0 of 1 links up; air: no such port"), "{said}");
}

/// Holds up a thread of a program, by its name, while this is there.
struct Held(Pid);

impl Held {
    fn of(program: &Program, name: &str) -> Held {
        let tasks = format!("/proc/{}/task", program.id());
        let thread = eventually(&format!("a thread {name}"), || {
            let mut tasks = fs::read_dir(&tasks).expect("it runs").map(|task| task.expect("a thread").path());
            tasks.find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name))
        });
        let thread = thread.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a number");
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, ptrace::Options::empty()).expect("a thread of a child's");
        ptrace::interrupt(thread).expect("it is ours");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stands");
        Held(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).expect("it stands");
    }
}

#[test]
fn the_watchdog_is_fed_until_a_thread_of_the_spool_stands_still() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config(&peer, "pattern", "/dev/none"));
    manager.hears("WATCHDOG=1");
    let held = Held::of(&agent, "spool");
    let fed = manager.was_fed_for(WATCHDOG, GIVEN_UP);
    assert!(fed > WATCHDOG && fed + WATCHDOG < GIVEN_UP, "fed for {fed:?}");
    agent.logs("the spool's thread has not moved for 20s: the service manager may start all anew", "");
    drop(held);
    manager.hears("WATCHDOG=1");
}

#[test]
fn the_watchdog_is_fed_until_the_thread_of_a_camera_that_worked_stands_still() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config(&peer, "pattern", "/dev/none"));
    peer.hears("a frame", |message| message["type"] == "frame" && message["seq"].as_u64() > Some(2));
    let _held = Held::of(&agent, "camera-door");
    let fed = manager.was_fed_for(WATCHDOG, GIVEN_UP);
    assert!(fed > WATCHDOG && fed + WATCHDOG < GIVEN_UP, "fed for {fed:?}");
    agent.logs("the thread of camera door has not moved", "");
}
