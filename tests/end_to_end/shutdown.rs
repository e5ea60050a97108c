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
        assert!(!program.log().contains("left behind") && !program.log().contains("panicked"), "{}", program.log());
    }
}
