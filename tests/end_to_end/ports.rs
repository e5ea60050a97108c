use std::time::{Duration, Instant};

use nix::sys::termios::ControlFlags;
use serde_json::Value;

use crate::boards::agent_on;
use crate::harness::{Bench, Board, eventually, readings};

#[test]
fn port_opens_when_plugged_in_or_replugged() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    let wait_for_cause = |up: bool, cause: &str| {
        receiver.program.clear_output();
        receiver.program.wait_for_json(cause, |message| {
            message["ports"][0]["up"] == up && message["ports"][0]["cause"].as_str().is_some_and(|c| c.contains(cause))
        });
    };
    wait_for_cause(false, "no such port");
    for temperature in [21.0, 22.0] {
        let mut board = bench.plug_board("by-id");
        wait_for_cause(true, "open at 115200 baud");
        board.write_line(&format!("t-{temperature}"));
        receiver
            .program
            .wait_for_json("its reading", |message| readings(message).any(|reading| reading["value"] == temperature));
        drop(board);
        wait_for_cause(false, "");
    }
}

#[test]
fn idle_agent_uses_little_cpu() {
    let bench = Bench::new();
    let board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.wait_for_log("connected", "");
    let statuses = |count| {
        receiver.program.clear_output();
        for _ in 0..count {
            receiver.program.wait_for_json("a status", |message| message["type"] == "status");
            receiver.program.clear_output();
        }
    };
    statuses(1);
    let (before, start) = (agent.cpu_seconds(), Instant::now());
    // One status per second.
    statuses(2);
    let (used, seconds) = (agent.cpu_seconds() - before, start.elapsed().as_secs_f64());
    assert!(used < 0.25 * seconds, "{used} s of CPU in {seconds} s");
}

/// Returns the bytes that a port at one baud rate receives of text sent at another. The port samples the wire in the
/// middle of each bit after a falling edge: a start bit of 0, 8 data bits with the lowest first, a stop bit of 1.
fn as_received(text: &str, board_baud: f64, port_baud: f64) -> Vec<u8> {
    let bits: Vec<u8> =
        text.bytes().flat_map(|byte| (0..10).map(move |n| ((0x200 | u16::from(byte) << 1) >> n) as u8 & 1)).collect();
    let at = |time: f64| bits.get((time * board_baud) as usize).copied().unwrap_or(1);
    let (bit, end) = (1.0 / port_baud, bits.len() as f64 / board_baud);
    let (mut time, mut received) = (0.0, Vec::new());
    while time < end {
        if at(time) == 1 {
            time += bit / 16.0;
            continue;
        }
        received.push((0..8).map(|n| at(time + bit * (f64::from(n) + 1.5)) << n).sum());
        time += bit * 9.5;
    }
    received
}

#[test]
fn wrong_baud_rate_is_reported_once_until_corrected() {
    assert_eq!(as_received("t-25\n", 9600.0, 9600.0), b"t-25\n");
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
        agent.wait_for_log(&format!("({}): open at", board.path.display()), "");
    }
    let (start, mut stopwatch, mut written) = (Instant::now(), agent.stopwatch(), 0);
    eventually("all causes", || {
        // One line per second.
        if written <= start.elapsed().as_secs() {
            written += 1;
            for ((board_baud, port_baud), board) in rates.iter().zip(&mut boards) {
                board.write(&as_received(
                    &format!("t-2{written}.5-h-60\r\n"),
                    (*board_baud).into(),
                    (*port_baud).into(),
                ));
            }
        }
        receiver.program.find_json(|message| {
            rates.iter().enumerate().all(|(port, (_, baud))| {
                let cause = format!("undecodable bytes: is {baud} the board's baud rate?");
                message["ports"][port]["up"] == false && message["ports"][port]["cause"] == cause
            })
        })
    });
    let took = stopwatch.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    for seconds in 1..=3 {
        eventually("another second", || (start.elapsed().as_secs() >= written + seconds).then_some(()));
        for ((board_baud, port_baud), board) in rates.iter().zip(&mut boards) {
            board.write(&as_received("t-25-h-60\r\n", (*board_baud).into(), (*port_baud).into()));
        }
    }
    let log = agent.log();
    assert_eq!(log.matches("undecodable bytes: is ").count(), rates.len(), "{log}");
    for board in &mut boards {
        board.write_line("t-25-h-60");
    }
    receiver
        .program
        .wait_for_json("all ports up", |message| (0..rates.len()).all(|port| message["ports"][port]["up"] == true));
}

#[test]
fn noise_without_newlines_is_reported_as_wrong_baud_rate() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let _agent = agent_on(&bench, &board.path, &receiver);
    eventually("the cause", || {
        board.write(&[0x86, 0xf8, 0x00, 0xe6]);
        let words = "undecodable bytes: is 115200 the board's baud rate?";
        receiver.program.find_json(|message| message["ports"][0]["cause"] == words)
    });
}

#[test]
fn port_is_up_only_if_some_lines_parse() {
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
        receiver.program.clear_output();
        eventually(cause, || {
            board.write_line(line);
            receiver
                .program
                .find_json(|message| message["ports"][0]["up"] == up && message["ports"][0]["cause"] == cause)
        });
    };
    writes(&mut board, "hello", false, "no line contains a reading: garbled line");
    writes(&mut board, "t-25-h-nan", true, "open at 115200 baud");
    // A degree sign in Latin-1 is one byte of fourteen: too few to suspect the baud rate.
    board.write(b"\n");
    receiver.program.clear_output();
    eventually("text in another encoding", || {
        board.write(b"t-25.5\xb0C-h-60\n");
        let cause = "no line contains a reading: undecodable bytes";
        receiver.program.find_json(|message| message["ports"][0]["cause"] == cause)
    });
}

#[test]
fn silent_port_is_reported_and_reopened_without_loss() {
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
        receiver.program.clear_output();
        receiver.program.wait_for_json("a silent port", |message| {
            message["ports"][0]["up"] == false
                && message["ports"][0]["cause"] == "silent: no data within stale_after"
                && message["ports"][0]["counts"]["opened"].as_u64() > Some(1)
        });
        receiver.program.clear_output();
        // Repeated, because nothing reads the port between closing and reopening it.
        eventually("the port up and its reading", || {
            board.write_line(&format!("t-{temperature}"));
            let out = receiver.program.out();
            (out.contains("open at 115200 baud") && out.contains(&format!("\"value\":{temperature:?}"))).then_some(())
        });
    }
    assert!(agent.log().contains("silent: no data within stale_after"), "{}", agent.log());
}

#[test]
fn port_in_use_by_another_program_is_left_alone() {
    let bench = Bench::new();
    let mut board = Board::new();
    let (receiver, other_receiver) = (bench.pair_receiver(), bench.pair_receiver());
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.wait_for_log("climate", "open at");
    let other = agent_on(&bench, &board.path, &other_receiver);
    other_receiver
        .program
        .wait_for_json("the cause", |message| message["ports"][0]["cause"] == "in use by another program");
    board.write_line("t-25");
    receiver.program.wait_for_json("the reading", |message| readings(message).any(|reading| reading["value"] == 25.0));
    drop(agent);
    other.wait_for_log("climate", "open at");
}

#[test]
fn closing_and_opening_a_port_does_not_reset_its_board() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    for dtr in ["", ", dtr = true"] {
        let mut board = Board::new();
        // The default of a real port's driver.
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
        agent.wait_for_log("open at", "");
        // HUPCL drops DTR when the last program closes the port, and raising DTR again resets the board.
        assert!(!board.settings().control_flags.contains(ControlFlags::HUPCL), "{dtr}");
    }
}

#[test]
fn board_with_a_new_device_node_is_found_by_its_link() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    let mut descriptors = Vec::new();
    for turn in 0..25 {
        let mut board = bench.plug_board("by-id");
        receiver.program.clear_output();
        eventually("its reading", || {
            board.write_line(&format!("t-{turn}"));
            receiver.program.out().contains(&format!("\"value\":{turn}.0,")).then_some(())
        });
        descriptors.push(agent.descriptors());
    }
    let log = agent.log();
    assert_eq!(log.matches("unplugged").count(), 1, "25 unplugs within a minute are logged once: {log}");
    // Opening a port may briefly need one or two more.
    assert!(descriptors[24] <= descriptors[0] + 2, "{descriptors:?}");
}

#[test]
fn flooding_port_is_reported_and_others_lose_nothing() {
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
    agent.wait_for_log("flooding", "open at");
    agent.wait_for_log("calm", "open at");
    let block = "t-25-h-60\n".repeat(500);
    let mut turn = 0;
    eventually("the cause", || {
        turn += 1;
        flooding.write(block.as_bytes());
        calm.write_line(&format!("x-{turn}"));
        receiver.program.out().contains("flooding: more than 1000 lines a second").then_some(())
    });
    receiver.program.wait_for_json("every line of both ports", |message| {
        let counts = |port: usize| message["ports"][port]["counts"]["lines"].as_u64();
        counts(0) >= Some(turn * 500 - 1) && counts(1) == Some(turn)
    });
    let values = || {
        let out = receiver.program.out();
        let messages = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let calm = messages
            .filter(|message| message["type"] == "readings")
            .flat_map(|message| readings(&message).collect::<Vec<_>>())
            .filter(|reading| reading["port"] == "calm");
        let mut values: Vec<f64> = calm.filter_map(|reading| reading["value"].as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    // On a busy machine some readings arrive later, from the spool; each arrives once.
    let expected: Vec<f64> = (1..=turn).map(|turn| turn as f64).collect();
    eventually("every reading of the calm board, once", || (values() == expected).then_some(()));
}

#[test]
fn port_follows_its_link_to_another_board() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let first = bench.plug_board("by-id");
    let agent = agent_on(&bench, &bench.path("by-id"), &receiver);
    agent.wait_for_log("climate", "open at");
    let mut second = Board::new();
    std::os::unix::fs::symlink(&second.path, bench.path("new")).expect("a symbolic link");
    std::fs::rename(bench.path("new"), bench.path("by-id")).expect("a replaced link");
    eventually("its reading", || {
        second.write_line("t-22");
        receiver.program.find_json(|message| readings(message).any(|reading| reading["value"] == 22.0))
    });
    assert!(agent.log().contains("its name now leads to another device"), "{}", agent.log());
    drop(first);
}
