//! Finds what `script/setup test` installs for the tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Program;
use super::program::SETUP;

/// The video of Debian's package opencv-doc: 768x576, 10 frames a second.
#[cfg(feature = "opencv")]
pub fn sample_video() -> &'static str {
    let video = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";
    require(Path::new(video));
    video
}

/// A command for the Python interpreter that has the packages of `tests/peers`.
pub fn peers_python() -> Command {
    let python = peers_python_path();
    require(&python);
    Command::new(python)
}

/// Where script/setup installs that interpreter.
pub fn peers_python_path() -> PathBuf {
    target_dir().join("peers/bin/python")
}

/// Fails unless `promtool check metrics` accepts the text without a warning.
#[track_caller]
pub fn check_metrics(text: &str) {
    let promtool = target_dir().join("promtool");
    require(&promtool);
    let mut promtool = Command::new(promtool);
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = promtool.stderr(Stdio::piped()).spawn().expect("promtool starts");
    process.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads the text");
    let output = process.wait_with_output().expect("promtool exits");
    let warnings = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && warnings.is_empty(), "{warnings}\n{text}");
}

/// Starts a Python program of `tests/peers`.
pub fn peer(program: &str, arguments: &[&str]) -> Program {
    let program = format!("{}/tests/peers/{program}", env!("CARGO_MANIFEST_DIR"));
    Program::start(peers_python().arg("-u").arg(program).args(arguments))
}

/// Cargo's target directory, wherever `CARGO_TARGET_DIR` puts it.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the directory for temporary files is inside")
}

#[track_caller]
fn require(file: &Path) {
    assert!(file.exists(), "{} is missing: {SETUP}", file.display());
}

#[test]
fn target_directory_contains_the_binaries() {
    assert!(Path::new(env!("CARGO_BIN_EXE_watchpost")).starts_with(target_dir()));
}

#[test]
#[should_panic(expected = "/nonexistent/python is missing: run script/setup test")]
fn missing_file_names_the_setup_script() {
    require(Path::new("/nonexistent/python"));
}

#[test]
#[should_panic(expected = "no-such-browser is not installed: run script/setup test")]
fn missing_program_names_the_setup_script() {
    Program::start(&mut Command::new("no-such-browser"));
}
