use std::collections::{BTreeMap, BTreeSet};

use crate::harness::http::get;
use crate::harness::{Bench, Board, eventually};

/// What a text in Prometheus' format says: the value of each sample, by its name and labels as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads the text as strictly as Prometheus does: each family once, with help and type before its samples, none of
/// which is there twice.
fn read(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let mut family = String::new();
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            help.split_once(' ').expect("words").0.clone_into(&mut family);
            assert!(families.insert(family.clone()), "{family} is there twice");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {family} "))).expect("its type");
            let is_counter = family.ends_with("_total");
            assert_eq!(kind, if is_counter { "counter" } else { "gauge" }, "{family}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert_eq!(name.split('{').next(), Some(family.as_str()), "{line}");
        labels(name.strip_prefix(&family).expect("its name"));
        let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} is there twice");
    }
    samples
}

/// Nothing, or `{name="text",…}` with names of letters and text that is escaped.
fn labels(text: &str) {
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
fn prometheus_is_told_of_agents_cameras_ports_links_spool_and_viewers() {
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
    agent.logs("climate", "open at");
    board.say("t-21.5-h-nan");
    let told = |what: &str, sample: &str, is_so: &dyn Fn(f64) -> bool| {
        eventually(what, || {
            let answer = get(&receiver.page, "/metrics");
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            read(&answer.text()).get(&format!("watchpost_{sample}")).copied().filter(|value| is_so(*value))
        })
    };
    let above = |least: f64| move |value: f64| value > least;
    let is = |expected: f64| move |value: f64| (value - expected).abs() < 1e-9;
    told("the agent is up", "agent_up{agent=\"shed\"}", &is(1.0));
    told("it was heard", "agent_last_message_age_seconds{agent=\"shed\"}", &|value| (0.0..5.0).contains(&value));
    told("frames", "frames_total{agent=\"shed\",camera=\"door\"}", &above(5.0));
    told("their bytes", "frame_bytes_total{agent=\"shed\",camera=\"door\"}", &above(5_000.0));
    told("their rate", "frames_per_second{agent=\"shed\",camera=\"door\"}", &above(10.0));
    told("their age", "frame_age_seconds{agent=\"shed\",camera=\"door\"}", &|value| (0.0..5.0).contains(&value));
    told("one's bytes", "frame_size_bytes{agent=\"shed\",camera=\"door\"}", &above(500.0));
    told("a camera is up", "agent_camera_up{agent=\"shed\",camera=\"door\"}", &is(1.0));
    told("a camera is down", "agent_camera_up{agent=\"shed\",camera=\"gate\"}", &is(0.0));
    told("a port is up", "agent_port_up{agent=\"shed\",port=\"climate\"}", &is(1.0));
    told("a port is down", "agent_port_up{agent=\"shed\",port=\"gone\"}", &is(0.0));
    told("a reading", "reading{agent=\"shed\",port=\"climate\",quantity=\"temperature\",unit=\"°C\"}", &is(21.5));
    let refused = "agent_port_refused_total{agent=\"shed\",port=\"climate\",cause=\"not_a_number\"}";
    told("a refusal", refused, &is(1.0));
    told(
        "the link is up",
        "link_up{link=\"tcp://127.0.0.1:*\"}".replace("tcp://127.0.0.1:*", &receiver.link).as_str(),
        &is(1.0),
    );
    told("its messages", &format!("link_messages_total{{link=\"{}\",type=\"frame\"}}", receiver.link), &above(5.0));
    told("the spool is up", "agent_spool_up{agent=\"shed\",spool=\"spool\"}", &is(1.0));
    told("what waits in it", "agent_spool_readings_in_memory{agent=\"shed\"}", &above(-1.0));
    told("readings are kept", "history_up", &is(1.0));
    told("frames are not recorded", "recorder_up", &is(0.0));
    told("nobody watches", "viewers", &is(0.0));
    let _viewer = std::net::TcpStream::connect(&receiver.page).inspect(|mut viewer| {
        use std::io::Write as _;
        let request = "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        viewer.write_all(request.as_bytes()).expect("it is sent");
    });
    told("somebody watches", "viewers", &is(1.0));
}

#[test]
fn what_is_recorded_is_counted() {
    let bench = Bench::new();
    let dir = bench.path("recordings");
    let link = "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"";
    let receiver = bench.receiver(&format!("{link}\n[record]\ndir = \"{}\"", dir.display()));
    let camera = "camera = [{ name = \"door\", source = \"pattern\" }]";
    let _agent = bench.agent(&format!("{camera}\nlink = [{{ pattern = \"pair\", connect = \"{}\" }}]", receiver.link));
    let told = |sample: &str| read(&get(&receiver.page, "/metrics").text()).get(sample).copied();
    for sample in ["watchpost_recorder_frames_total", "watchpost_recorder_written_bytes_total"] {
        eventually(sample, || told(sample).filter(|count| *count > 20.0));
    }
    assert_eq!(told("watchpost_recorder_up"), Some(1.0));
    assert_eq!(get(&receiver.page, "/health").text(), "ok\n");
}

#[test]
fn what_is_no_message_is_counted_by_what_is_wrong() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
    socket.connect(&receiver.link).expect("an address");
    socket.send_multipart(["topic", "{\"type\":\"status\",\"v\":9}"], 0).expect("it is sent");
    socket.send_multipart(["topic", "[", "jpeg", "more"], 0).expect("it is sent");
    for cause in ["version", "parts"] {
        let sample = format!("watchpost_link_malformed_total{{link=\"{}\",cause=\"{cause}\"}}", receiver.link);
        let told = || read(&get(&receiver.page, "/metrics").text()).get(&sample).copied();
        eventually(cause, || told().filter(|count| (count - 1.0).abs() < 1e-9));
    }
}
