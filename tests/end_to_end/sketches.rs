use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{Bench, Board, readings};

/// The Arduino sketches of docs/boards.md.
fn sketches() -> Vec<&'static str> {
    let blocks = include_str!("../../docs/boards.md").split("```cpp\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("the end of a code block").0).collect()
}

/// Compiles a sketch with the stub of tests/arduino, runs it and returns the lines that it prints.
fn printed(bench: &Bench, name: &str, sketch: &str) -> String {
    let stub: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arduino");
    let (source, program) = (bench.path(&format!("{name}.cpp")), bench.path(name));
    // The Arduino IDE adds this line, too.
    std::fs::write(&source, format!("#include <Arduino.h>\n{sketch}")).expect("a temporary file");
    let compiled = Command::new("g++")
        .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([&stub, &source, &stub.join("main.cpp")])
        .arg("-o")
        .arg(&program)
        .output()
        .expect("g++ starts");
    assert!(compiled.status.success(), "{sketch}\n{}", String::from_utf8_lossy(&compiled.stderr));
    let run = Command::new(program).output().expect("the sketch starts");
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn sketches_compile_and_print_readings() {
    let bench = Bench::new();
    let [climate, gas] = sketches()[..] else { panic!("two sketches in docs/boards.md") };
    let climate = printed(&bench, "climate", climate);
    let gas = printed(&bench, "gas", gas);
    assert_eq!(climate, "t--5.5-h-60.0\r\nt--5.5-h-60.0\r\nt-nan-h-nan\r\n");
    assert_eq!(gas, "mq2-312-light-540-mq9-120\r\n".repeat(3));

    let mut boards = [Board::new(), Board::new()];
    let receiver = bench.pair_receiver();
    let agent = bench.agent(&format!(
        r#"
        serial = [{{ name = "climate", port = "{}" }}, {{ name = "gas", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        boards[0].path.display(),
        boards[1].path.display(),
        receiver.link
    ));
    for (board, (name, text)) in boards.iter_mut().zip([("climate", climate), ("gas", gas)]) {
        agent.wait_for_log(name, "open at");
        // The first newline ends the line that the agent may have missed the beginning of.
        board.write(format!("\n{text}").as_bytes());
    }
    for (port, quantity, value, unit) in [
        ("climate", "temperature", -5.5, "°C"),
        ("climate", "humidity", 60.0, "%RH"),
        ("gas", "mq2", 312.0, ""),
        ("gas", "light", 540.0, ""),
        ("gas", "mq9", 120.0, ""),
    ] {
        receiver.program.wait_for_json(&format!("{quantity} of {port}"), |message| {
            message["type"] == "readings"
                && readings(message).any(|reading| {
                    (&reading["port"], &reading["quantity"]) == (&json!(port), &json!(quantity))
                        && (&reading["value"], &reading["unit"]) == (&json!(value), &json!(unit))
                })
        });
    }
    receiver.program.wait_for_json("the failed measurement in the status", |message| {
        message["ports"].as_array().is_some_and(|ports| {
            ports.iter().any(|port| port["name"] == "climate" && port["counts"]["not_a_number"] == 2)
        })
    });
}
