use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::termios::ControlFlags;
use serde_json::{Value, json};

use crate::harness::{Bench, Board, Program, Receiver, eventually};

/// An agent with one board and nothing else.
fn agent_on(bench: &Bench, port: &Path, receiver: &Receiver) -> Program {
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
                    && message["readings"].as_array().is_some_and(|all| {
                        all.iter().any(|reading| {
                            (&reading["port"], &reading["quantity"]) == (&json!(port), &json!(quantity))
                                && (&reading["value"], &reading["unit"]) == (&json!(value), &json!(unit))
                                && reading["stale"] == false
                        })
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

#[test]
fn a_port_that_is_missing_joins_and_one_that_is_unplugged_comes_back_under_its_link() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    let says = |up: bool, cause: &str| {
        receiver.program.forget();
        receiver.program.says_json(cause, |message| {
            message["ports"][0]["up"] == up && message["ports"][0]["cause"].as_str().is_some_and(|c| c.contains(cause))
        });
    };
    says(false, "no such port");
    for temperature in [21.0, 22.0] {
        let mut board = bench.plug_board("by-id");
        says(true, "open at 115200 baud");
        board.say(&format!("t-{temperature}"));
        receiver.program.says_json("its reading", |message| message["readings"][0]["value"] == temperature);
        drop(board);
        says(false, "");
    }
}

#[test]
fn an_agent_without_cameras_rests_while_its_board_is_silent() {
    let bench = Bench::new();
    let board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.logs("connected", "");
    let statuses = |count| {
        receiver.program.forget();
        for _ in 0..count {
            receiver.program.says_json("a status", |message| message["type"] == "status");
            receiver.program.forget();
        }
    };
    statuses(1);
    let before = agent.cpu_seconds();
    // A second each.
    statuses(2);
    let used = agent.cpu_seconds() - before;
    assert!(used < 0.5, "{used} s of CPU in two seconds");
}

/// What a board may write, the count in the status that it raises, and by how much.
const COUNTED: [(&[u8], &str, u64); 16] = [
    (b"t-25-h-60\r\n", "lines", 1),
    (b"\n \r\n\n", "lines", 1),
    (b"\x00\xf8\x1e\xff\x86boot\x00\xe0\n", "undecodable bytes", 1),
    (b"\x1b[0m ets Jan  8 2013,rst cause:2\n", "garbled line", 1),
    (b"t-25-5-60\n", "garbled line", 2),
    (b"\0\xf8t-25-h-60\n", "lines", 2),
    (b"t-nan-h-60\n", "not a number", 1),
    (b"t--inf-h-60\n", "not a number", 2),
    (b"t-23,5-h-60\n", "not a number", 3),
    (b"t--h-60\n", "empty value", 1),
    (b"t-9999-h-60\n", "out of range", 1),
    (b"co2-1e999-h-60\n", "out of range", 2),
    (b"t-25-temp-26-h-60\n", "repeated quantity", 1),
    (b"t-25-h\n", "empty value", 2),
    (b"t-5kg-h-60\n", "unknown unit", 1),
    (&[b'x'; 2000], "line too long", 1),
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
    receiver.program.says_json("the good line after them", |message| {
        message["readings"].as_array().is_some_and(|all| all.iter().any(|reading| reading["value"] == 21.0))
    });
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
        counts["bytes"] == (1_u64 << 30) + 9 && counts["line too long"] == 1
    });
    receiver.program.says_json("the line after it", |message| message["readings"][0]["value"] == 2.0);
    assert!(agent.memory() < 64 << 20, "{} bytes of memory", agent.memory());
}

/// What a port at one baud rate makes of what a board writes at another: the wire is looked at in the middle of each bit,
/// from where it falls on (8 data bits, lowest first, behind a 0 and before a 1).
fn misheard(text: &str, board_baud: f64, port_baud: f64) -> Vec<u8> {
    let bits: Vec<u8> =
        text.bytes().flat_map(|byte| (0..10).map(move |n| ((0x200 | u16::from(byte) << 1) >> n) as u8 & 1)).collect();
    let at = |time: f64| bits.get((time * board_baud) as usize).copied().unwrap_or(1);
    let (bit, end) = (1.0 / port_baud, bits.len() as f64 / board_baud);
    let (mut time, mut heard) = (0.0, Vec::new());
    while time < end {
        if at(time) == 1 {
            time += bit / 16.0;
            continue;
        }
        heard.push((0..8).map(|n| at(time + bit * (f64::from(n) + 1.5)) << n).sum());
        time += bit * 9.5;
    }
    heard
}

#[test]
fn a_wrong_baud_rate_is_named_as_that_once_and_a_right_one_ends_it() {
    assert_eq!(misheard("t-25\n", 9600.0, 9600.0), b"t-25\n");
    let rates = [(9600, 115_200), (115_200, 9600), (57_600, 115_200), (9600, 19_200)];
    let bench = Bench::new();
    let mut boards: Vec<Board> = rates.iter().map(|_| Board::new()).collect();
    let receiver = bench.pair_receiver();
    let tables = rates.iter().zip(&boards).map(|((_, port_baud), board)| {
        format!("[[serial]]\nport = \"{}\"\nbaud = {port_baud}\n", board.path.display())
    });
    let tables: String = tables.collect();
    let agent = bench.agent(&format!("{tables}[[link]]\npattern = \"pair\"\nconnect = \"{}\"", receiver.link));
    for board in &boards {
        agent.logs(&format!("({}): open at", board.path.display()), "");
    }
    let (start, mut written) = (Instant::now(), 0);
    eventually("all are named", || {
        // A line a second.
        if written <= start.elapsed().as_secs() {
            written += 1;
            for ((board_baud, port_baud), board) in rates.iter().zip(&mut boards) {
                board.write(&misheard(&format!("t-2{written}.5-h-60\r\n"), (*board_baud).into(), (*port_baud).into()));
            }
        }
        receiver.program.said_json(|message| {
            rates.iter().enumerate().all(|(port, (_, baud))| {
                let cause = format!("undecodable bytes: is {baud} the board's baud rate?");
                message["ports"][port]["up"] == false && message["ports"][port]["cause"] == cause
            })
        })
    });
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for seconds in 1..=3 {
        eventually("another second", || (start.elapsed().as_secs() >= written + seconds).then_some(()));
        for ((board_baud, port_baud), board) in rates.iter().zip(&mut boards) {
            board.write(&misheard("t-25-h-60\r\n", (*board_baud).into(), (*port_baud).into()));
        }
    }
    let log = agent.log();
    assert_eq!(log.matches("undecodable bytes: is ").count(), rates.len(), "{log}");
    for board in &mut boards {
        board.say("t-25-h-60");
    }
    receiver
        .program
        .says_json("all are up", |message| (0..rates.len()).all(|port| message["ports"][port]["up"] == true));
}

#[test]
fn noise_without_a_single_newline_is_a_wrong_baud_rate_too() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &board.path, &receiver);
    eventually("it is named", || {
        board.write(&[0x86, 0xf8, 0x00, 0xe6]);
        let words = "undecodable bytes: is 115200 the board's baud rate?";
        receiver.program.said_json(|message| message["ports"][0]["cause"] == words)
    });
}

#[test]
fn a_port_of_which_no_line_is_understood_is_down_and_one_of_which_some_are_is_up() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}", stale_after = "3s" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    let writes = |board: &mut Board, line: &str, up: bool, cause: &str| {
        receiver.program.forget();
        eventually(cause, || {
            board.say(line);
            receiver
                .program
                .said_json(|message| message["ports"][0]["up"] == up && message["ports"][0]["cause"] == cause)
        });
    };
    writes(&mut board, "hello", false, "no line gives a reading: garbled line");
    writes(&mut board, "t-25-h-nan", true, "open at 115200 baud");
    // A degree sign in an older encoding is one byte in fourteen, and no reason to doubt the baud rate.
    board.write(b"\n");
    receiver.program.forget();
    eventually("text in another encoding", || {
        board.write(b"t-25.5\xb0C-h-60\n");
        let cause = "no line gives a reading: undecodable bytes";
        receiver.program.said_json(|message| message["ports"][0]["cause"] == cause)
    });
}

#[test]
fn a_silent_port_is_named_opened_again_and_misses_nothing_when_its_board_speaks() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ port = "{}", stale_after = "500ms" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    for temperature in [21.0, 22.0, 23.0] {
        receiver.program.forget();
        receiver.program.says_json("it is silent", |message| {
            message["ports"][0]["up"] == false
                && message["ports"][0]["cause"] == "silent: nothing is heard within stale_after"
                && message["ports"][0]["counts"]["opened"].as_u64() > Some(1)
        });
        receiver.program.forget();
        // Again and again, because between closing and opening a port nobody listens.
        eventually("it is up, and its reading is there", || {
            board.say(&format!("t-{temperature}"));
            let out = receiver.program.out();
            (out.contains("open at 115200 baud") && out.contains(&format!("\"value\":{temperature:?}"))).then_some(())
        });
    }
    assert!(agent.log().contains("silent: nothing is heard within stale_after"), "{}", agent.log());
}

#[test]
fn a_port_that_another_program_reads_is_left_to_it() {
    let bench = Bench::new();
    let mut board = Board::new();
    let (receiver, other_receiver) = (bench.pair_receiver(), bench.pair_receiver());
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.logs("climate", "open at");
    let other = agent_on(&bench, &board.path, &other_receiver);
    other_receiver.program.says_json("why", |message| message["ports"][0]["cause"] == "in use by another program");
    board.say("t-25");
    receiver.program.says_json("the reading", |message| message["readings"][0]["value"] == 25.0);
    drop(agent);
    other.logs("climate", "open at");
}

#[test]
fn a_board_is_not_started_anew_by_closing_and_opening_its_port() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    for dtr in ["", ", dtr = true"] {
        let mut board = Board::new();
        // As the driver of a real port has it.
        let mut settings = board.settings();
        settings.control_flags.insert(ControlFlags::HUPCL);
        board.set(&settings);
        let agent = bench.agent(&format!(
            r#"
            serial = [{{ port = "{}"{dtr} }}]
            link = [{{ pattern = "pair", connect = "{}" }}]
            "#,
            board.path.display(),
            receiver.link
        ));
        agent.logs("open at", "");
        // With this, the last program that closes the port drops the line that resets a board when it is raised.
        assert!(!board.settings().control_flags.contains(ControlFlags::HUPCL), "{dtr}");
    }
}

#[test]
fn a_board_that_comes_back_as_another_device_is_found_by_its_link_each_time() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    let mut descriptors = Vec::new();
    for turn in 0..25 {
        let mut board = bench.plug_board("by-id");
        receiver.program.forget();
        eventually("its reading", || {
            board.say(&format!("t-{turn}"));
            receiver.program.out().contains(&format!("\"value\":{turn}.0,")).then_some(())
        });
        descriptors.push(agent.descriptors());
    }
    let log = agent.log();
    assert_eq!(log.matches("unplugged").count(), 1, "25 times within a minute: {log}");
    // While a port is opened there may be one or two more.
    assert!(descriptors[24] <= descriptors[0] + 2, "{descriptors:?}");
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
            message["readings"].as_array().is_some_and(|all| {
                all.iter().any(|reading| {
                    reading["quantity"] == quantity && reading["value"] == value && reading["unit"] == unit
                })
            })
        });
    }
    board.say("a0-1021-t-86-h-60");
    receiver.program.says_json("refusals", |message| message["ports"][0]["counts"]["out of range"] == 2);
    board.say("a0-10ppm");
    receiver.program.says_json("a refusal", |message| message["ports"][0]["counts"]["unknown unit"] == 1);
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
fn a_flooding_port_is_named_and_takes_nothing_from_the_others() {
    let bench = Bench::new();
    let (mut flooding, mut calm) = (Board::new(), Board::new());
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ name = "flooding", port = "{}" }}, {{ name = "calm", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        flooding.path.display(),
        calm.path.display(),
        receiver.link
    ));
    agent.logs("flooding", "open at");
    agent.logs("calm", "open at");
    let block = "t-25-h-60\n".repeat(500);
    let mut turn = 0;
    eventually("it is named", || {
        turn += 1;
        flooding.write(block.as_bytes());
        calm.say(&format!("x-{turn}"));
        receiver.program.out().contains("flooding: more than 1000 lines a second").then_some(())
    });
    receiver.program.says_json("all of both", |message| {
        let counts = |port: usize| message["ports"][port]["counts"]["lines"].as_u64();
        counts(0) >= Some(turn * 500 - 1) && counts(1) == Some(turn)
    });
    let calm: Vec<f64> = receiver
        .program
        .out()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["type"] == "readings")
        .flat_map(|message| message["readings"].as_array().cloned().unwrap_or_default())
        .filter(|reading| reading["port"] == "calm")
        .filter_map(|reading| reading["value"].as_f64())
        .collect();
    assert_eq!(calm, (1..=turn).map(|turn| turn as f64).collect::<Vec<_>>());
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_though_the_old_board_is_still_there() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let first = bench.plug_board("by-id");
    let agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    agent.logs("climate", "open at");
    let mut second = Board::new();
    std::os::unix::fs::symlink(&second.path, bench.path("new")).expect("a link to a terminal");
    std::fs::rename(bench.path("new"), bench.path("by-id")).expect("a link in place of another");
    eventually("its reading", || {
        second.say("t-22");
        receiver.program.said_json(|message| message["readings"][0]["value"] == 22.0)
    });
    assert!(agent.log().contains("another device has its name"), "{}", agent.log());
    drop(first);
}

#[test]
fn a_line_that_had_begun_before_the_port_was_opened_is_cut_and_no_reading() {
    let bench = Bench::new();
    let board = Board::new();
    let path = board.path.clone();
    let _talker = board.says_always("5-h-60\nt-25-h-60\nt-2", Duration::from_millis(5));
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &path, &receiver);
    receiver
        .program
        .says_json("the line behind it", |message| message["readings"].as_array().is_some_and(|all| all.len() >= 2));
    receiver.program.says_json("it is counted", |message| message["ports"][0]["counts"]["cut line"] == 1);
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
    eventually("all are sent or lost", || {
        let parts = socket.recv_multipart(0).ok().filter(|parts| parts[0].starts_with(b"status/"))?;
        let message: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        let counts = &message["links"][0]["counts"];
        let (sent, lost) = (counts["readings sent"].as_u64()?, counts["readings lost"].as_u64()?);
        (message["ports"][0]["counts"]["lines"] == lines && sent + lost == lines * readings).then_some(())
    });
}
