use std::process::Command;
use std::time::Duration;

use crate::harness::{Bench, Board, film};

#[test]
fn sigterm_joins_all_threads_within_two_seconds() {
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
    receiver.program.wait_for_json("a frame of the USB camera", |message| message["camera"] == "usb");
    receiver.program.wait_for_json("a frame of the test camera", |message| message["camera"] == "test");
    for (name, program) in [("agent", &mut agent), ("receiver", &mut receiver.program)] {
        let (status, took) = program.terminate();
        assert!(status.success(), "{name}: {status}\n{}", program.log());
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
        for failure in ["abandoning", "panicked"] {
            assert!(!program.log().contains(failure), "{}", program.log());
        }
    }
}

/// libzmq's own thread resolves names and cannot be interrupted.
#[test]
fn agent_stops_in_time_during_a_dns_lookup() {
    let bench = Bench::new();
    // In a mount namespace, resolv.conf is a FIFO without a writer. This blocks longer than a silent name server.
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
    agent.wait_for_log("no peer is accepting messages", "");
    let (status, took) = agent.terminate();
    assert!(status.success(), "{status}\n{}", agent.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
