use std::process::Command;

use crate::harness::{Bench, Program};

#[test]
fn the_ten_lines_of_python_receive_frames_and_readings() {
    let readme = include_str!("../../README.md");
    let code =
        readme.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).expect("Python in README").0;
    assert!(code.lines().count() <= 10, "{code}");

    let bench = Bench::new();
    let agent = bench.agent(
        "name = \"shed\"\ncamera = [{ name = \"door\", source = \"pattern\" }]\n\
         link = [{ pattern = \"pub\", bind = \"tcp://127.0.0.1:*\" }]",
    );
    let address = agent.logs("bound at ", "");
    let code = code.replace("tcp://127.0.0.1:5560", &address);
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/python");
    let receiver = Program::start(Command::new(python).current_dir(bench.dir.path()).args(["-u", "-c", &code]));
    receiver.says("a line a frame", |line| line.contains("door").then_some(()));
    let jpeg = std::fs::read(bench.path("door.jpg")).expect("the picture");
    assert!(jpeg.starts_with(&[0xff, 0xd8]), "{}", receiver.log());
}
