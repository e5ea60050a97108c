use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bench, Board, Program, Receiver, eventually, readings};

/// An agent with one board and nothing else.
pub fn agent_on(bench: &Bench, port: &Path, receiver: &Receiver) -> Program {
    bench.agent(&format!(
        r#"
        serial = [{{ name = "climate", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        port.display(),
        receiver.link
    ))
}

#[test]
fn what_two_boards_write_is_in_readings_and_in_the_next_frames_header() {
    let bench = Bench::new();
    let (mut climate, mut gas) = (Board::new(), Board::new());
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        name = "greenhouse"
        serial = [
            {{ name = "climate", port = "{}", fields = ["temperature", "humidity"] }},
            {{ name = "gas", port = "{}" }},
        ]
        camera = [{{ name = "door", source = "pattern" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        climate.path.display(),
        gas.path.display(),
        receiver.link
    ));
    agent.logs("climate", "open at");
    agent.logs("gas", "open at");
    climate.say("t--5.5C-h-60%");
    gas.say("mq2-312-light-540-mq9-120");

    for (port, quantity, value, unit) in [
        ("climate", "temperature", -5.5, "°C"),
        ("climate", "humidity", 60.0, "%RH"),
        ("gas", "mq2", 312.0, ""),
        ("gas", "light", 540.0, ""),
        ("gas", "mq9", 120.0, ""),
    ] {
        for kind in ["readings", "frame"] {
            receiver.program.says_json(&format!("{quantity} in a {kind} message"), |message| {
                message["type"] == kind
                    && readings(message).any(|reading| {
                        (&reading["port"], &reading["quantity"]) == (&json!(port), &json!(quantity))
                            && (&reading["value"], &reading["unit"]) == (&json!(value), &json!(unit))
                            && reading["stale"] == false
                    })
            });
        }
    }
}

#[test]
fn a_quantity_that_is_no_longer_told_becomes_stale() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}", stale_after = "1s" }}]
        camera = [{{ name = "door", source = "pattern", fps = 10 }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    agent.logs("open at", "");
    receiver.program.says_json("frames", |message| message["type"] == "frame");
    board.say("t-25");
    for stale in [false, true] {
        receiver.program.says_json(&format!("stale = {stale}"), |message| {
            message["type"] == "frame" && message["readings"][0]["stale"] == stale
        });
    }
}

/// What a board may write, the count in the status that it raises, and by how much.
const COUNTED: [(&[u8], &str, u64); 16] = [
    (b"t-25-h-60\r\n", "lines", 1),
    (b"\n \r\n\n", "lines", 1),
    (b"\x00\xf8\x1e\xff\x86boot\x00\xe0\n", "undecodable_bytes", 1),
    (b"\x1b[0m ets Jan  8 2013,rst cause:2\n", "garbled_line", 1),
    (b"t-25-5-60\n", "garbled_line", 2),
    (b"\0\xf8t-25-h-60\n", "lines", 2),
    (b"t-nan-h-60\n", "not_a_number", 1),
    (b"t--inf-h-60\n", "not_a_number", 2),
    (b"t-23,5-h-60\n", "not_a_number", 3),
    (b"t--h-60\n", "empty_value", 1),
    (b"t-9999-h-60\n", "out_of_range", 1),
    (b"co2-1e999-h-60\n", "out_of_range", 2),
    (b"t-25-temp-26-h-60\n", "repeated_quantity", 1),
    (b"t-25-h\n", "empty_value", 2),
    (b"t-5kg-h-60\n", "unknown_unit", 1),
    (&[b'x'; 2000], "line_too_long", 1),
];

#[test]
fn whatever_a_board_writes_is_counted_by_its_cause_and_costs_no_other_line() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.logs("climate", "open at");
    board.write(b"\n");
    let mut bytes = 1;
    for (written, cause, count) in COUNTED {
        board.write(written);
        bytes += written.len();
        receiver.program.says_json(&format!("{cause}: {count}, {bytes} bytes"), |message| {
            let counts = &message["ports"][0]["counts"];
            counts[cause] == count && counts["bytes"] == bytes
        });
    }
    // In a byte at a time, behind the line that is too long.
    for byte in b"\nt-21-h-61\n" {
        board.write(&[*byte]);
    }
    receiver
        .program
        .says_json("the good line after them", |message| readings(message).any(|reading| reading["value"] == 21.0));
    // Those of which a part was good, and the two that were good.
    receiver.program.says_json("all lines", |message| message["ports"][0]["counts"]["lines"] == 12);
}

#[test]
fn a_gibibyte_without_a_newline_is_one_line_that_is_too_long() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.logs("climate", "open at");
    board.write(b"t-1\n");
    let block = vec![b'-'; 1 << 20];
    for _ in 0..1 << 10 {
        board.write(&block);
    }
    board.write(b"\nt-2\n");
    receiver.program.says_json("all of it, and the line after it", |message| {
        let counts = &message["ports"][0]["counts"];
        counts["bytes"] == (1_u64 << 30) + 9 && counts["line_too_long"] == 1
    });
    receiver.program.says_json("the line after it", |message| readings(message).any(|reading| reading["value"] == 2.0));
    assert!(agent.memory() < 64 << 20, "{} bytes of memory", agent.memory());
}

#[test]
fn a_quantity_is_what_the_configuration_says() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        [quantity.soil]
        label = "a0"
        scale = 0.1
        offset = -2
        unit = "%"
        max = 100
        [quantity.temperature]
        min = -40
        max = 85
        "#,
        board.path.display(),
        receiver.link
    ));
    agent.logs("open at", "");
    board.say("a0-255-t-84.5C-h-60");
    for (quantity, value, unit) in [("soil", 23.5, "%"), ("temperature", 84.5, "°C"), ("humidity", 60.0, "%RH")] {
        receiver.program.says_json(quantity, |message| {
            readings(message)
                .any(|reading| reading["quantity"] == quantity && reading["value"] == value && reading["unit"] == unit)
        });
    }
    board.say("a0-1021-t-86-h-60");
    receiver.program.says_json("refusals", |message| message["ports"][0]["counts"]["out_of_range"] == 2);
    board.say("a0-10ppm");
    receiver.program.says_json("a refusal", |message| message["ports"][0]["counts"]["unknown_unit"] == 1);
}

#[test]
fn who_comes_late_has_the_current_readings_from_the_status_and_the_stale_ones_as_stale() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}", stale_after = "2s" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    agent.logs("open at", "");
    // A label that nobody knows and that comes but once is a garbled one.
    board.say("t-25-u-1");
    let is_status = |message: &Value| message["type"] == "status" && message["readings"][0]["value"] == 25.0;
    receiver.program.says_json("current", |message| {
        is_status(message) && message["readings"][0]["stale"] == false && message["readings"][1]["quantity"] == "u"
    });
    receiver.program.says_json("stale, and the garbled one gone", |message| {
        is_status(message) && message["readings"][0]["stale"] == true && message["readings"][1] == Value::Null
    });
}

#[test]
fn a_line_that_had_begun_before_the_port_was_opened_is_cut_and_no_reading() {
    let bench = Bench::new();
    let board = Board::new();
    let path = board.path.clone();
    let _talker = board.says_always("5-h-60\nt-25-h-60\nt-2", Duration::from_millis(5));
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &path, &receiver);
    receiver.program.says_json("the line behind it", |message| readings(message).count() >= 2);
    receiver.program.says_json("it is counted", |message| message["ports"][0]["counts"]["cut_line"] == 1);
    receiver.program.says_json("nothing else is refused", |message| {
        message["ports"][0]["counts"].as_object().is_some_and(|counts| counts.len() == 4)
    });
}

#[test]
fn readings_that_waited_too_long_for_a_receiver_are_counted_as_lost() {
    let bench = Bench::new();
    let mut board = Board::new();
    let port = crate::harness::free_port();
    let config = format!(
        r#"
        serial = [{{ port = "{}" }}]
        link = [{{ pattern = "pair", connect = "tcp://127.0.0.1:{port}" }}]
        spool = {{ off = true }}
        "#,
        board.path.display()
    );
    let agent = bench.agent(&config);
    agent.logs("open at", "");
    // More than the batches that wait, of as many readings as one has.
    let pairs: Vec<String> = ('a'..='z').chain('A'..='Z').map(|label| format!("{label}-1")).collect();
    let line = pairs.join("-");
    // t and T are one quantity, as are h and H, l and L.
    let readings = 52 - 3;
    let lines = 4096 * 128 / readings + 4096;
    board.write(b"\n");
    for _ in 0..lines {
        board.write(format!("{line}\n").as_bytes());
    }
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.set_rcvtimeo(100).expect("an option");
    socket.bind(&format!("tcp://127.0.0.1:{port}")).expect("a free port");
    let mut lengths = Vec::new();
    eventually("all are sent or lost", || {
        let parts = socket.recv_multipart(0).ok()?;
        if parts[0].starts_with(b"readings/") {
            lengths.push(parts[1].len());
        }
        let parts = Some(parts).filter(|parts| parts[0].starts_with(b"status/"))?;
        let message: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        let counts = &message["links"][0]["counts"];
        let (sent, lost) = (counts["readings_sent"].as_u64()?, counts["readings_lost"].as_u64()?);
        (message["ports"][0]["counts"]["lines"] == lines && sent + lost == lines * readings).then_some(())
    });
    // Those that waited are in few messages, of which none is large.
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] > 20_000 && lengths[lengths.len() - 1] < 65_536, "{lengths:?}");
}
