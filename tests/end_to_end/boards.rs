use serde_json::json;

use std::path::Path;

use crate::harness::{Bench, Board, Program, Receiver};

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
fn a_garbled_line_is_counted_by_cause_and_costs_no_other() {
    let bench = Bench::new();
    let mut board = Board::new();
    let receiver = bench.pair_receiver();
    let agent = agent_on(&bench, &board.path, &receiver);
    agent.logs("climate", "open at");
    for line in ["t-25-h", "hello", "t-nan-h-60", "t-9999", &"x".repeat(2000), "t-21-h-61"] {
        board.say(line);
    }
    receiver.program.says_json("the causes in a status", |message| {
        let counts = &message["ports"][0]["counts"];
        counts["garbled line"].as_u64() >= Some(1)
            && counts["not a number"] == 1
            && counts["out of range"] == 1
            && counts["line too long"] == 1
            && counts["lines"] == 2
    });
    receiver.program.says_json("the good line after them", |message| {
        message["readings"].as_array().is_some_and(|all| all.iter().any(|reading| reading["value"] == 21.0))
    });
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
