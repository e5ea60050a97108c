//! Reads recordings with ffmpeg and ffprobe.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::program::started;

/// Runs a program on a file and returns its standard output.
pub fn output(program: &str, arguments: &[&str], file: &Path, more: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    let result = command.args(arguments).arg(file).args(more).output();
    let output = started(&command, result);
    assert!(output.status.success(), "{program} {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The pictures of a file, concatenated, as ffmpeg reads them.
pub fn pictures(file: &Path) -> Vec<u8> {
    output("ffmpeg", &["-v", "fatal", "-i"], file, &["-map", "0:v", "-c", "copy", "-f", "mjpeg", "-"])
}

/// The capture time of each frame in microseconds since 1970: the file's date plus the frame's time, from ffprobe.
pub fn frame_times(file: &Path) -> Vec<i64> {
    let entries = "packet=pts_time:format_tags=creation_time";
    let probed =
        output("ffprobe", &["-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "json"], file, &[]);
    let probed: Value = serde_json::from_slice(&probed).expect("JSON");
    let date = probed["format"]["tags"]["creation_time"].as_str().expect("a date");
    let date: jiff::Timestamp = date.parse().expect("a date");
    let packets = probed["packets"].as_array().expect("packets").iter();
    let seconds = packets.map(|packet| packet["pts_time"].as_str().expect("a time").parse::<f64>().expect("a time"));
    seconds.map(|seconds| date.as_microsecond() + (seconds * 1e6).round() as i64).collect()
}
