use std::time::{Duration, Instant};

use nix::sys::termios::ControlFlags;
use serde_json::Value;

use crate::boards::agent_on;
use crate::harness::{Bench, Board, eventually, readings};

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
        receiver
            .program
            .says_json("its reading", |message| readings(message).any(|reading| reading["value"] == temperature));
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
                && message["ports"][0]["cause"] == "silent: no data within stale_after"
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
    assert!(agent.log().contains("silent: no data within stale_after"), "{}", agent.log());
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
    receiver.program.says_json("the reading", |message| readings(message).any(|reading| reading["value"] == 25.0));
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
        .flat_map(|message| readings(&message).collect::<Vec<_>>())
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
        receiver.program.said_json(|message| readings(message).any(|reading| reading["value"] == 22.0))
    });
    assert!(agent.log().contains("another device has its name"), "{}", agent.log());
    drop(first);
}
