use std::collections::{BTreeMap, BTreeSet};

use crate::harness::http::get;
use crate::harness::installed::check_metrics;
use crate::harness::{Bench, Board, eventually};

/// The values of a text in Prometheus' format, by the names and labels of their samples as written.
type Samples = BTreeMap<String, f64>;

/// Parses the text as strictly as Prometheus does: each family once, help and type before its samples, no duplicates.
fn parse(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let mut family = String::new();
    assert!(text.ends_with('\n'), "the last line is not terminated");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            help.split_once(' ').expect("words").0.clone_into(&mut family);
            assert!(families.insert(family.clone()), "{family} appears twice");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {family} "))).expect("its type");
            let is_counter = family.ends_with("_total");
            assert_eq!(kind, if is_counter { "counter" } else { "gauge" }, "{family}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert_eq!(name.split('{').next(), Some(family.as_str()), "{line}");
        check_labels(name.strip_prefix(&family).expect("its name"));
        let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} appears twice");
    }
    samples
}

/// Checks that `text` is empty or `{name="text",…}`, with letters in the names and escaped text.
fn check_labels(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut rest = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("braces");
    loop {
        let (name, behind) = rest.split_once("=\"").expect("a label");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty(), "{text}");
        let mut escaped = false;
        let end = behind.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        rest = &behind[end.expect("a quote").0 + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return assert_eq!(rest, "", "{text}"),
        }
    }
}

#[test]
fn metrics_cover_agents_cameras_ports_links_and_spool() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let mut board = Board::new();
    let agent = bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{{ name = "climate", port = "{}" }}, {{ name = "gone", port = "/dev/none" }}]
        camera = [{{ name = "door", source = "pattern" }}, {{ name = "gate", source = "/dev/video63" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ));
    agent.wait_for_log("climate", "open at");
    board.write_line("t-21.5-h-nan");
    let metric = |what: &str, sample: &str, is_so: &dyn Fn(f64) -> bool| {
        eventually(what, || {
            let answer = get(&receiver.page, "/metrics");
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            parse(&answer.text()).get(&format!("watchpost_{sample}")).copied().filter(|value| is_so(*value))
        })
    };
    let above = |least: f64| move |value: f64| value > least;
    let is = |expected: f64| move |value: f64| (value - expected).abs() < 1e-9;
    metric("the agent is up", "agent_up{agent=\"shed\"}", &is(1.0));
    metric("its last message", "agent_last_message_age_seconds{agent=\"shed\"}", &|value| (0.0..5.0).contains(&value));
    metric("frames", "frames_total{agent=\"shed\",camera=\"door\"}", &above(5.0));
    metric("their bytes", "frame_bytes_total{agent=\"shed\",camera=\"door\"}", &above(5_000.0));
    metric("their rate", "frames_per_second{agent=\"shed\",camera=\"door\"}", &above(10.0));
    metric("their age", "frame_age_seconds{agent=\"shed\",camera=\"door\"}", &|value| (0.0..5.0).contains(&value));
    metric("the bytes of a frame", "frame_size_bytes{agent=\"shed\",camera=\"door\"}", &above(500.0));
    metric("a camera is up", "agent_camera_up{agent=\"shed\",camera=\"door\"}", &is(1.0));
    metric("a camera is down", "agent_camera_up{agent=\"shed\",camera=\"gate\"}", &is(0.0));
    metric("a port is up", "agent_port_up{agent=\"shed\",port=\"climate\"}", &is(1.0));
    metric("a port is down", "agent_port_up{agent=\"shed\",port=\"gone\"}", &is(0.0));
    metric("a reading", "reading{agent=\"shed\",port=\"climate\",quantity=\"temperature\",unit=\"°C\"}", &is(21.5));
    let refused = "agent_port_refused_total{agent=\"shed\",port=\"climate\",cause=\"not_a_number\"}";
    metric("a refusal", refused, &is(1.0));
    metric(
        "the link is up",
        "link_up{link=\"tcp://127.0.0.1:*\"}".replace("tcp://127.0.0.1:*", &receiver.link).as_str(),
        &is(1.0),
    );
    metric("its messages", &format!("link_messages_total{{link=\"{}\",type=\"frame\"}}", receiver.link), &above(5.0));
    metric("the spool is up", "agent_spool_up{agent=\"shed\",spool=\"spool\"}", &is(1.0));
    metric("its readings", "agent_spool_readings_in_memory{agent=\"shed\"}", &above(-1.0));
    metric("the history is up", "history_up", &is(1.0));
    metric("the recorder is off", "recorder_up", &is(0.0));
    metric("no viewers", "viewers", &is(0.0));
    let _viewer = std::net::TcpStream::connect(&receiver.page).inspect(|mut viewer| {
        use std::io::Write as _;
        let request = "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        viewer.write_all(request.as_bytes()).expect("a sent request");
    });
    metric("one viewer", "viewers", &is(1.0));
    check_metrics(&get(&receiver.page, "/metrics").text());
}

#[test]
fn metrics_count_recorded_frames() {
    let bench = Bench::new();
    let dir = bench.path("recordings");
    let link = "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"";
    let receiver = bench.receiver(&format!("{link}\n[record]\ndir = \"{}\"", dir.display()));
    let camera = "camera = [{ name = \"door\", source = \"pattern\" }]";
    let _agent = bench.agent(&format!("{camera}\nlink = [{{ pattern = \"pair\", connect = \"{}\" }}]", receiver.link));
    let metric = |sample: &str| parse(&get(&receiver.page, "/metrics").text()).get(sample).copied();
    for sample in ["watchpost_recorder_frames_total", "watchpost_recorder_written_bytes_total"] {
        eventually(sample, || metric(sample).filter(|count| *count > 20.0));
    }
    assert_eq!(metric("watchpost_recorder_up"), Some(1.0));
    check_metrics(&get(&receiver.page, "/metrics").text());
    assert_eq!(get(&receiver.page, "/health").text(), "ok\n");
}

#[test]
fn malformed_messages_are_counted_by_cause() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.connect(&receiver.link).expect("an address");
    socket.send_multipart(["topic", "{\"type\":\"status\",\"v\":9}"], 0).expect("it is sent");
    socket.send_multipart(["topic", "[", "jpeg", "more"], 0).expect("it is sent");
    for cause in ["version", "parts"] {
        let sample = format!("watchpost_link_malformed_total{{link=\"{}\",cause=\"{cause}\"}}", receiver.link);
        let metric = || parse(&get(&receiver.page, "/metrics").text()).get(&sample).copied();
        eventually(cause, || metric().filter(|count| (count - 1.0).abs() < 1e-9));
    }
}
