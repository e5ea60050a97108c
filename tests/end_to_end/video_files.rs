use serde_json::{Value, json};

use crate::harness::{Bench, Board, eventually, peer, sample_video};

/// The example in config/, with devices and addresses of this test.
fn example(boards: &[Board; 2], ports: &[u64]) -> String {
    let example = include_str!("../../config/examples/two-boards-four-cameras.toml");
    let mut text = example
        .replace("/dev/ttyUSB1", &boards[0].path.to_string_lossy())
        .replace("/dev/ttyUSB0", &boards[1].path.to_string_lossy())
        .replace("tcp://*:5560", "tcp://127.0.0.1:*");
    for (camera, port) in
        ["/dev/video0", "/dev/video2", "/dev/video4", "/dev/video6"].iter().zip([5559, 5556, 5557, 5558])
    {
        let index = [5559, 5556, 5557, 5558].iter().position(|p| *p == port).expect("one of four");
        text = text.replace(&format!("\"{camera}\""), &format!("\"{}\"", sample_video()));
        text = text.replace(&format!("192.168.137.1:{port}"), &format!("127.0.0.1:{}", ports[index]));
    }
    assert!(!text.contains("192.168") && !text.contains("/dev/video"), "{text}");
    text
}

#[test]
fn four_camera_example_reaches_python_peers() {
    let bench = Bench::new();
    let receiver = peer("four_ports.py", &[]);
    let ports = receiver.wait_for_json("its ports", |line| line["ports"].is_array());
    let ports: Vec<u64> = ports["ports"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    let mut boards = [Board::new(), Board::new()];
    let agent = bench.agent(&example(&boards, &ports));
    let subscriber = peer("subscriber.py", &[&agent.wait_for_log("bound to ", ""), "frame/greenhouse-1/south"]);
    // The ports open in any order.
    eventually("both ports", || (agent.log().matches("open at").count() == 2).then_some(()));
    boards[0].write_line("t-25-h-60");
    boards[1].write_line("mq2-312-light-540-mq9-120");

    for port in ports {
        eventually(&format!("20 frames on port {port}; {}", agent.log()), || {
            let out = receiver.out();
            let frames = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let frames: Vec<Value> = frames.filter(|frame| frame["port"] == port).collect();
            assert!(frames.iter().all(|frame| frame["size"] == json!([480, 320])));
            (frames.len() >= 20).then_some(())
        });
    }
    subscriber.wait_for_json("a frame with all five quantities", |frame| {
        let readings = frame["header"]["readings"].as_array().expect("a list");
        let value = |quantity: &str| {
            readings.iter().find(|r| r["quantity"] == quantity).and_then(|reading| reading["value"].as_f64())
        };
        frame["size"] == json!([480, 320])
            && ["temperature", "humidity", "mq2", "light", "mq9"].map(value)
                == [25.0, 60.0, 312.0, 540.0, 120.0].map(Some)
    });
}

#[test]
fn video_file_loops() {
    // A short file, so that it ends soon.
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let (film, jpegs) = crate::harness::film(&bench, "film.mjpeg", 7);
    let agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "door", source = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        film.display(),
        receiver.link
    ));
    let three_rounds = 3 * jpegs.len() as u64;
    receiver.program.wait_for_json("more frames than the file has", |message| {
        message["type"] == "frame" && message["seq"].as_u64() > Some(three_rounds)
    });
    assert!(!agent.log().contains("ended"), "{}", agent.log());
}

#[test]
fn video_file_plays_at_its_own_rate() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "door", source = "{}", fps = 100 }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        sample_video(),
        receiver.link
    ));
    let is_frame = |message: &Value| message["type"] == "frame";
    receiver.program.wait_for_json("frames", |message| is_frame(message) && message["seq"].as_u64() > Some(30));
    let output = receiver.program.out();
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let times = messages.filter(is_frame).filter_map(|frame| frame["captured_at_us"].as_i64()).collect::<Vec<_>>();
    // The median, because a busy machine delays some frames.
    let mut intervals: Vec<i64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    intervals.sort_unstable();
    let median = intervals[intervals.len() / 2];
    assert!((80_000..150_000).contains(&median), "{median} us between frames at 10 a second: {intervals:?}");
}
