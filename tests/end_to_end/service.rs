use std::process::Command;
use std::time::Duration;

use crate::harness::{Bench, Board, Manager, Peer, STALL_LIMIT, SuspendedThread, WATCHDOG};

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
fn systemd_gets_start_status_reload_and_stop_messages() {
    let (bench, peer, mut board) = (Bench::new(), Peer::new(), Board::new());
    let (mut command, port) = (watchpost(), board.path.display().to_string());
    let manager = Manager::of(&bench, &mut command, None);
    let mut agent = bench.agent_of(command, &config(&peer, "pattern", &port));
    board.write_line("t-25");
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=1 of 1 cameras up, 1 of 1 ports up, 1 of 1 links up");
    bench.reload(&agent, &config(&peer, "/dev/video99", &port));
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=0 of 1 cameras up, 1 of 1 ports up, 1 of 1 links up; door: no such device");
    bench.reload(&agent, "nonsense");
    manager.wait_for("no such device; configuration not reloaded, see the log");
    let (status, _) = agent.terminate();
    assert!(status.success(), "{status}");
    assert!(
        manager.wait_for("STOPPING=1").iter().all(|text| !text.contains("WATCHDOG")),
        "the watchdog is not enabled"
    );
}

#[test]
fn ready_names_failed_parts_and_waits_for_no_peer() {
    let bench = Bench::new();
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, None);
    let config = r#"
        serial = [{ name = "air", port = "/dev/none" }]
        link = [{ pattern = "pair", connect = "tcp://127.0.0.1:1" }]"#;
    let _agent = bench.agent_of(command, config);
    let messages = manager.wait_for("READY=1").join(" ");
    assert!(messages.contains("STATUS=0 of 1 ports up, 0 of 1 links up; air: no such port"), "{messages}");
}

#[test]
fn watchdog_starves_when_a_spool_thread_stalls() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config(&peer, "pattern", "/dev/none"));
    manager.wait_for("WATCHDOG=1");
    let held = SuspendedThread::of(&agent, "spool");
    let fed = manager.watchdog_fed_for(WATCHDOG, STALL_LIMIT);
    assert!(fed > WATCHDOG && fed + WATCHDOG < STALL_LIMIT, "fed for {fed:?}");
    agent.wait_for_log("the spool's thread stalled for 20s; systemd's watchdog may restart the service", "");
    drop(held);
    manager.wait_for("WATCHDOG=1");
}

/// The spool has nothing to write if readings are acknowledged before they are due for the disk.
#[test]
fn watchdog_is_fed_while_the_spool_has_nothing_to_write() {
    let (bench, board) = (Bench::new(), Board::new());
    let receiver = bench.pair_receiver();
    let config = format!(
        "serial = [{{ name = \"air\", port = {:?} }}]\nlink = [{{ pattern = \"pair\", connect = {:?} }}]",
        board.path, receiver.link
    );
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config);
    let _talker = board.repeats("t-25\n", Duration::from_millis(100));
    receiver.program.wait_for_json("readings", |message| message["type"] == "readings");
    let fed = manager.watchdog_fed_for(WATCHDOG, STALL_LIMIT);
    assert!(fed + WATCHDOG > STALL_LIMIT, "fed for {fed:?}: {}", agent.log());
}

#[test]
fn watchdog_starves_when_a_camera_thread_stalls() {
    let (bench, peer) = (Bench::new(), Peer::new());
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config(&peer, "pattern", "/dev/none"));
    peer.wait_for("a frame", |message| message["type"] == "frame" && message["seq"].as_u64() > Some(2));
    let _held = SuspendedThread::of(&agent, "camera-door");
    let fed = manager.watchdog_fed_for(WATCHDOG, STALL_LIMIT);
    assert!(fed > WATCHDOG && fed + WATCHDOG < STALL_LIMIT, "fed for {fed:?}");
    agent.wait_for_log("the thread of camera door stalled", "");
}
