use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::ffmpeg::{frame_times, output, pictures};
use crate::harness::recordings::{files, frames_in, frames_of, is_finished, jpegs, recording};
use crate::harness::{Bench, Sender, eventually, now_us};

#[test]
fn frames_are_recorded_byte_for_byte_with_their_times() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 15);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let sent = sender.send_all(&jpegs, 150);
    eventually("all but the last second", || (frames_in(&bench) >= 150 - 25).then_some(()));
    let (status, took) = receiver.program.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} {took:?}");
    let files = files(&bench, "door");
    assert!(files.len() == 1 && is_finished(&files[0]), "{files:?}\n{}", receiver.program.log());
    assert_eq!(pictures(&files[0]), jpegs.concat().repeat(10));
    let recorded = frame_times(&files[0]);
    assert_eq!(recorded.len(), sent.len());
    for (recorded, sent) in recorded.iter().zip(&sent) {
        assert!(recorded.abs_diff(*sent) < 1_000, "{recorded} is not {sent}");
    }
    let printed =
        output("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"], &files[0], &[]);
    let duration: f64 = String::from_utf8_lossy(&printed).trim().parse().expect("seconds");
    assert!((duration - 6.0).abs() < 0.002, "{duration}");
}

#[test]
fn readings_are_recorded_as_subtitles() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let reading = |seq: u64, quantity: &str, value: f64, unit: &str, age_ms: u64| {
        json!({ "seq": seq, "port": "climate", "quantity": quantity, "value": value, "unit": unit,
                "captured_at_us": now_us(), "age_ms": age_ms, "stale_after_ms": 60_000, "stale": false })
    };
    sender.readings = json!([
        reading(1, "temperature", 23.5, "°C", 0),
        reading(2, "humidity", 61.0, "%RH", 0),
        reading(3, "light", 7.0, "", 70_000),
    ]);
    let text = "humidity 61 %RH\ntemperature 23.5 °C";
    eventually("the readings in the file", || {
        sender.send(&jpegs[0], now_us());
        let bytes = fs::read(files(&bench, "door").first()?).ok()?;
        bytes.windows(text.len()).any(|part| part == text.as_bytes()).then_some(())
    });
    receiver.program.terminate();
    let file = &files(&bench, "door")[0];
    let subtitles = output("ffmpeg", &["-v", "error", "-i"], file, &["-map", "0:s", "-f", "srt", "-"]);
    let subtitles = String::from_utf8(subtitles).expect("UTF-8").replace('\r', "");
    assert!(subtitles.contains(text) && !subtitles.contains("light"), "{subtitles}");
}

#[test]
fn agent_restart_or_clock_step_starts_a_new_file() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "");
    let mut sender = Sender::new(&receiver.link, "door");
    let start = now_us() - 20_000_000;
    let mut send = |number: i64, clock: i64, boot: &str| {
        let at_us = start + number * 100_000;
        sender.send_as(&jpegs[0], at_us + clock, now_us() - at_us, boot);
    };
    (0..20).for_each(|number| send(number, 0, "b1"));
    (20..40).for_each(|number| send(number, 0, "b2"));
    (40..60).for_each(|number| send(number, 86_400_000_000, "b2"));
    (60..80).for_each(|number| send(number, -86_400_000_000, "b2"));
    eventually("four files", || (files(&bench, "door").len() == 4).then_some(()));
    receiver.program.terminate();
    let all: Vec<i64> = files(&bench, "door").iter().flat_map(|file| frame_times(file)).collect();
    assert_eq!(all.len(), 80);
    for (number, recorded) in (0..).zip(&all) {
        // The receiver estimates a wrong clock's offset from arrival times, which include the transmission delay.
        let tolerance = if number < 40 { 1_000 } else { 900_000 };
        let wanted: i64 = start + number * 100_000;
        assert!(recorded.abs_diff(wanted) < tolerance, "{number}: {recorded} is not {wanted}");
    }
}

#[test]
fn only_chosen_cameras_are_recorded_at_the_chosen_rate() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "fps = 5\ncameras = [\"shed/door\"]");
    let mut sender = Sender::new(&receiver.link, "yard");
    sender.send_all(&jpegs, 10);
    (sender.camera, sender.seq) = ("door", 0);
    sender.send_all(&jpegs, 100);
    eventually("frames", || (frames_in(&bench) > 15).then_some(()));
    receiver.program.terminate();
    let intervals: Vec<i64> = frame_times(&files(&bench, "door")[0]).windows(2).map(|two| two[1] - two[0]).collect();
    assert!((18..=20).contains(&intervals.len()), "{intervals:?}");
    assert!(intervals.iter().all(|interval| (120_000..=280_000).contains(interval)), "{intervals:?}");
    assert!(!bench.path("recordings/shed/yard").exists());
}

#[test]
fn low_frame_rate_does_not_split_files() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let mut receiver = recording(&bench, "fps = 0.25");
    let mut sender = Sender::new(&receiver.link, "door");
    sender.send_all(&jpegs, 400);
    eventually("frames", || (frames_in(&bench) >= 4).then_some(()));
    receiver.program.terminate();
    let files = files(&bench, "door");
    assert_eq!(files.len(), 1, "{files:?}");
    let intervals: Vec<i64> = frame_times(&files[0]).windows(2).map(|two| two[1] - two[0]).collect();
    assert!(intervals.len() >= 3 && intervals.iter().all(|us| us.abs_diff(4_000_000) < 1_500_000), "{intervals:?}");
}

#[test]
fn slow_camera_gets_few_files() {
    let bench = Bench::in_memory();
    let jpegs = jpegs(&bench, 1);
    let receiver = recording(&bench, "segment = \"1h\"");
    let mut sender = Sender::new(&receiver.link, "door");
    let cameras = [("door", 3_000_000), ("yard", 30_000_000)];
    for (camera, interval_us) in cameras {
        (sender.camera, sender.seq) = (camera, 0);
        let first_us = now_us() - 20 * interval_us;
        (0..20).for_each(|number| sender.send(&jpegs[0], first_us + number * interval_us));
    }
    for (camera, _) in cameras {
        // The recorder learns the interval from the second frame, which therefore starts another file.
        eventually("two files", || (frames_of(&bench, camera) == 20).then_some(()));
        assert_eq!(files(&bench, camera).len(), 2, "{camera}");
    }
}
