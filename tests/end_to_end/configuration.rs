use std::path::Path;
use std::process::{Command, Output};

use crate::harness::Bench;

fn watchpost(command: &str, config: &Path) -> Output {
    let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    watchpost.args([command, "--config"]).arg(config).output().expect("it starts")
}

/// An agent's configuration, the line that is wrong in it, and what has to be said of it.
const WRONG: [(&str, u32, &[&str]); 9] = [
    ("camera = []\nnmae = \"x\"", 2, &["unknown key `nmae`", "did you mean `name`?"]),
    (
        "[[camera]]\nname = \"door\"\nsource = \"pattern\"\n[[camera]]\nsource = \"pattern\"\nname = \"door\"\n\
         [[link]]\npattern = \"pair\"\nconnect = \"ipc://x\"",
        6,
        &["two cameras are named \"door\"", "`name` of its own"],
    ),
    (
        "[[link]]\npattern = \"pair\"\nconnect = \"127.0.0.1:5559\"",
        3,
        &["not an address", "\"tcp://192.168.1.10:5559\""],
    ),
    ("[[link]]\npattern = \"pair\"\nconnect = \"tcp://10.0.0.1:70000\"", 3, &["port", "1 to 65535"]),
    (
        "[[link]]\npattern = \"pair\"\nconnect = \"tcp://10.0.0.1:5559\"",
        3,
        &["not on this machine", "`plaintext = true`"],
    ),
    ("[[link]]\npattern = \"pub\"\nbind = \"tcp://*:5559\"", 3, &["not on this machine", "`plaintext = true`"]),
    ("[[link]]\npattern = \"pair\"\nformat = \"base46\"", 3, &["`base46`", "`base64`"]),
    ("[[camera]]\nname = \"a/b\"\nsource = \"pattern\"", 2, &["\"a/b\" cannot be a name", "letters"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nsize = \"big\"", 4, &["\"big\" is not a size", "\"640x480\""]),
];

#[test]
fn a_wrong_file_is_refused_with_its_line_and_what_to_write_instead() {
    let bench = Bench::new();
    for (text, line, words) in WRONG {
        let config = bench.path("agent.toml");
        // A name makes it the agent's for `check` too.
        std::fs::write(&config, format!("{text}\n")).expect("a temporary file");
        let run = watchpost("run", &config);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(1), "{text}\n{said}");
        assert!(said.contains(&format!("agent.toml, line {line}: ")), "{text}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{text}\n{said}");
    }
}

#[test]
fn check_says_the_same_as_run() {
    let bench = Bench::new();
    for (text, ..) in WRONG.iter().filter(|(text, ..)| text.contains("camera")) {
        let config = bench.path("agent.toml");
        std::fs::write(&config, text).expect("a temporary file");
        let (run, check) = (watchpost("run", &config), watchpost("check", &config));
        assert_eq!((run.status.code(), run.stderr), (check.status.code(), check.stderr));
    }
}

#[test]
fn a_file_that_is_not_there_or_says_nothing_is_refused() {
    let bench = Bench::new();
    let missing = watchpost("run", &bench.path("none.toml"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.toml: cannot be read"));
    std::fs::write(bench.path("empty.toml"), "").expect("a temporary file");
    let empty = watchpost("run", &bench.path("empty.toml"));
    assert_eq!(empty.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("nothing to do"));
}

#[test]
fn the_files_in_config_are_right_and_so_are_the_defaults_they_show() {
    let bench = Bench::new();
    for file in ["watchpost.toml", "receiver.toml", "examples/two-boards-four-cameras.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
        let check = watchpost("check", &file);
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        // What stands there as a default is a key that can be set.
        let text = std::fs::read_to_string(&file).expect("a file of ours");
        let set = text.replace("# format = \"watchpost\"", "format = \"base64\"");
        let set: Vec<String> = set.lines().map(uncommented_default).collect();
        std::fs::write(bench.path("set.toml"), set.join("\n")).expect("a temporary file");
        let check = watchpost("check", &bench.path("set.toml"));
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}

fn uncommented_default(line: &str) -> String {
    let key_value = line.strip_prefix("# ").filter(|rest| {
        rest.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    });
    key_value.map_or(line, |set| set.split("     ").next().unwrap_or(set)).to_owned()
}
