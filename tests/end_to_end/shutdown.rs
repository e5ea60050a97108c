use std::process::Command;
use std::time::Duration;

use crate::harness::{Bench, Board, film};

#[test]
fn sigterm_ends_agent_and_receiver_within_two_seconds_with_all_threads_joined() {
    let bench = Bench::new();
    let board = Board::new();
    bench.plug_camera(0, &film(&bench, "film", 5).0);
    let mut receiver = bench.pair_receiver();
    let mut agent = bench.agent(&format!(
        r#"
        name = "a"
        serial = [{{ port = "{}" }}, {{ port = "/dev/none" }}]
        camera = [
            {{ name = "test", source = "pattern" }},
            {{ name = "usb", source = "/dev/video0" }},
            {{ name = "missing", source = "/dev/video9" }},
        ]
        link = [{{ pattern = "pair", connect = "{}" }}, {{ pattern = "pair", connect = "tcp://127.0.0.1:1" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    receiver.program.says_json("frames of both cameras", |message| message["camera"] == "usb");
    receiver.program.says_json("frames of both cameras", |message| message["camera"] == "test");
    for (name, program) in [("agent", &mut agent), ("receiver", &mut receiver.program)] {
        let (status, took) = program.terminate();
        assert!(status.success(), "{name}: {status}\n{}", program.log());
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
        for failure in ["left behind", "abandoning", "panicked"] {
            assert!(!program.log().contains(failure), "{}", program.log());
        }
    }
}

/// libzmq's thread does it, and cannot be interrupted.
#[test]
fn an_agent_ends_in_time_while_the_name_of_its_receiver_is_looked_up() {
    let bench = Bench::new();
    // What never says where the name server is, in a namespace of its own, takes longer than one that does not answer.
    let silent = bench.path("resolv.conf");
    assert!(Command::new("mkfifo").arg(&silent).status().expect("mkfifo").success());
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(silent).arg(env!("CARGO_BIN_EXE_watchpost"));
    let mut agent = bench.agent_of(
        command,
        r#"
        camera = [{ name = "test", source = "pattern" }]
        link = [{ pattern = "pair", connect = "tcp://watchpost.invalid:5559", plaintext = true }]
        "#,
    );
    agent.logs("nobody there who takes anything", "");
    let (status, took) = agent.terminate();
    assert!(status.success(), "{status}\n{}", agent.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
