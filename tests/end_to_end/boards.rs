use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bench, Board, Program, Receiver, eventually, readings};

/// Starts an agent with one board and one link.
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
fn readings_of_two_boards_reach_messages_and_frame_headers() {
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
    agent.wait_for_log("climate", "open at");
    agent.wait_for_log("gas", "open at");
    climate.write_line("t--5.5C-h-60%");
    gas.write_line("mq2-312-light-540-mq9-120");

    for (port, quantity, value, unit) in [
        ("climate", "temperature", -5.5, "°C"),
        ("climate", "humidity", 60.0, "%RH"),
        ("gas", "mq2", 312.0, ""),
        ("gas", "light", 540.0, ""),
        ("gas", "mq9", 120.0, ""),
    ] {
        for kind in ["readings", "frame"] {
            receiver.program.wait_for_json(&format!("{quantity} in a {kind} message"), |message| {
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
fn quantity_becomes_stale_without_new_readings() {
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
    agent.wait_for_log("open at", "");
    receiver.program.wait_for_json("frames", |message| message["type"] == "frame");
    board.write_line("t-25");
    for stale in [false, true] {
        receiver.program.wait_for_json(&format!("stale = {stale}"), |message| {
            message["type"] == "frame" && message["readings"][0]["stale"] == stale
        });
    }
}

/// Bytes from a board, the count in the status that they change, and its new value.
const INPUTS: [(&[u8], &str, u64); 16] = [
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
fn bad_input_is_counted_by_cause_and_spoils_no_other_line() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.wait_for_log("climate", "open at");
    board.write(b"\n");
    let mut bytes = 1;
    for (written, cause, count) in INPUTS {
        board.write(written);
        bytes += written.len();
        receiver.program.wait_for_json(&format!("{cause}: {count}, {bytes} bytes"), |message| {
            let counts = &message["ports"][0]["counts"];
            counts[cause] == count && counts["bytes"] == bytes
        });
    }
    // Byte by byte, after the overlong line.
    for byte in b"\nt-21-h-61\n" {
        board.write(&[*byte]);
    }
    receiver
        .program
        .wait_for_json("the good line after them", |message| readings(message).any(|reading| reading["value"] == 21.0));
    // The partly good lines and the two good ones.
    receiver
        .program
        .wait_for_json("every line with a good part", |message| message["ports"][0]["counts"]["lines"] == 12);
}

#[test]
fn gibibyte_without_newline_counts_as_one_overlong_line() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.wait_for_log("climate", "open at");
    board.write(b"t-1\n");
    let block = vec![b'-'; 1 << 20];
    for _ in 0..1 << 10 {
        board.write(&block);
    }
    board.write(b"\nt-2\n");
    receiver.program.wait_for_json("every byte and one overlong line", |message| {
        let counts = &message["ports"][0]["counts"];
        counts["bytes"] == (1_u64 << 30) + 9 && counts["line_too_long"] == 1
    });
    receiver
        .program
        .wait_for_json("the line after it", |message| readings(message).any(|reading| reading["value"] == 2.0));
    assert!(agent.memory() < 64 << 20, "{} bytes of memory", agent.memory());
}

#[test]
fn quantity_tables_rename_scale_and_limit_readings() {
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
    agent.wait_for_log("open at", "");
    board.write_line("a0-255-t-84.5C-h-60");
    for (quantity, value, unit) in [("soil", 23.5, "%"), ("temperature", 84.5, "°C"), ("humidity", 60.0, "%RH")] {
        receiver.program.wait_for_json(quantity, |message| {
            readings(message)
                .any(|reading| reading["quantity"] == quantity && reading["value"] == value && reading["unit"] == unit)
        });
    }
    board.write_line("a0-1021-t-86-h-60");
    receiver.program.wait_for_json("refusals", |message| message["ports"][0]["counts"]["out_of_range"] == 2);
    board.write_line("a0-10ppm");
    receiver.program.wait_for_json("a refusal", |message| message["ports"][0]["counts"]["unknown_unit"] == 1);
}

#[test]
fn late_joiner_gets_current_and_stale_readings_from_status() {
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
    agent.wait_for_log("open at", "");
    // An unknown label that appears only once counts as garbled.
    board.write_line("t-25-u-1");
    let is_status = |message: &Value| message["type"] == "status" && message["readings"][0]["value"] == 25.0;
    receiver.program.wait_for_json("current", |message| {
        is_status(message) && message["readings"][0]["stale"] == false && message["readings"][1]["quantity"] == "u"
    });
    receiver.program.wait_for_json("stale, without the garbled one", |message| {
        is_status(message) && message["readings"][0]["stale"] == true && message["readings"][1] == Value::Null
    });
}

#[test]
fn line_cut_by_opening_the_port_yields_no_reading() {
    let bench = Bench::new();
    let board = Board::new();
    let path = board.path.clone();
    let _talker = board.repeats("5-h-60\nt-25-h-60\nt-2", Duration::from_millis(5));
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &path, &receiver);
    receiver.program.wait_for_json("readings of later lines", |message| readings(message).count() >= 2);
    receiver.program.wait_for_json("the cut line is counted", |message| message["ports"][0]["counts"]["cut_line"] == 1);
    receiver.program.wait_for_json("no other refusals", |message| {
        message["ports"][0]["counts"].as_object().is_some_and(|counts| counts.len() == 4)
    });
}

#[test]
fn readings_dropped_without_a_receiver_are_counted_as_lost() {
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
    agent.wait_for_log("open at", "");
    // More than the queue holds: 4,096 batches of 128 readings.
    let pairs: Vec<String> = ('a'..='z').chain('A'..='Z').map(|label| format!("{label}-1")).collect();
    let line = pairs.join("-");
    // t and T are one quantity, and so are h and H, l and L.
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
    eventually("every reading is sent or lost", || {
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
    // Queued readings are sent in a few messages of limited size.
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] > 20_000 && lengths[lengths.len() - 1] < 65_536, "{lengths:?}");
}
