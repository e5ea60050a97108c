use std::process::Command;
use std::time::Duration;

use crate::harness::{Bench, Board, GIVEN_UP, Held, Manager, Peer, WATCHDOG};

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
    agent.logs("the spool's thread stalled for 20s; systemd's watchdog may restart the service", "");
    drop(held);
    manager.hears("WATCHDOG=1");
}

/// What is acknowledged before it is due for the disk leaves the spool nothing to do.
#[test]
fn the_watchdog_is_fed_while_readings_come_all_the_time_and_are_acknowledged_at_once() {
    let (bench, board) = (Bench::new(), Board::new());
    let receiver = bench.pair_receiver();
    let config = format!(
        "serial = [{{ name = \"air\", port = {:?} }}]\nlink = [{{ pattern = \"pair\", connect = {:?} }}]",
        board.path, receiver.link
    );
    let mut command = watchpost();
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let agent = bench.agent_of(command, &config);
    let _talker = board.says_always("t-25\n", Duration::from_millis(100));
    receiver.program.says_json("readings", |message| message["type"] == "readings");
    let fed = manager.was_fed_for(WATCHDOG, GIVEN_UP);
    assert!(fed + WATCHDOG > GIVEN_UP, "fed for {fed:?}: {}", agent.log());
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
    agent.logs("the thread of camera door stalled", "");
}
