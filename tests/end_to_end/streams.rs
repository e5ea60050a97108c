use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Bench, Program};
use crate::network_camera::{NetworkCamera, Viewer};

/// What a picture may take from the network camera to the viewer, on a busy machine.
const SOON: Duration = Duration::from_millis(500);

fn agent(bench: &Bench, viewer: &Viewer, cameras: &[String]) -> Program {
    let link = &viewer.link;
    bench
        .agent(&format!("camera = [{}]\nlink = [{{ pattern = \"pair\", connect = \"{link}\" }}]\n", cameras.join(", ")))
}

fn table(name: &str, source: &str) -> String {
    format!("{{ name = \"{name}\", source = \"{source}\" }}")
}

#[test]
fn four_streams_arrive_at_once_and_none_is_late() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    // The last one is slow, as some are in the dark.
    let cameras = [25, 25, 25, 1].map(|fps| NetworkCamera::start(0, "480x320", fps));
    let names = ["north", "east", "south", "west"];
    let tables: Vec<String> = cameras.iter().zip(names).map(|(camera, name)| table(name, &camera.address)).collect();
    let _agent = agent(&bench, &viewer, &tables);
    for name in names {
        let count = if name == "west" { 5 } else { 50 };
        let delays = viewer.first_delays(name, count);
        assert!(delays.iter().all(|delay| *delay < SOON), "{name}: {delays:?}");
    }
}

#[test]
fn a_stream_that_is_killed_is_named_so_and_comes_back_within_five_seconds() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let agent = agent(&bench, &viewer, &[table("door", &camera.address), table("other", "pattern")]);
    viewer.next_of("door");
    let port = camera.port();
    drop(camera);
    agent.logs("/camera): ended", "");
    // For so long that the waits between tries are as long as they get.
    viewer.status("the cause", |cameras| {
        cameras[0]["cause"] == "refuses the connection" && cameras[0]["for_ms"].as_u64() > Some(8_000)
    });
    viewer.next_of("other");
    let _camera = NetworkCamera::start(port, "480x320", 25);
    let there = Instant::now();
    viewer.next_of("door");
    assert!(there.elapsed() < Duration::from_secs(5), "{:?}", there.elapsed());
}

#[test]
fn a_stream_that_falls_silent_is_opened_anew_and_holds_up_no_shutdown() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let mut agent = agent(&bench, &viewer, &[table("door", &camera.address)]);
    viewer.next_of("door");
    camera.signal(Signal::SIGSTOP);
    viewer.status("the cause", |cameras| cameras[0]["cause"] == "gives no frames");
    camera.signal(Signal::SIGCONT);
    viewer.next_of("door");
    camera.signal(Signal::SIGSTOP);
    let (status, took) = agent.terminate();
    camera.signal(Signal::SIGCONT);
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[test]
fn an_address_that_takes_a_connection_or_not_and_says_nothing_is_named_so() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (deaf, _queue) = deaf();
    let [rtsp, http] = [&silent, &deaf].map(|listener| listener.local_addr().expect("an address"));
    let tables = [table("silent", &format!("rtsp://{rtsp}/camera")), table("deaf", &format!("http://{http}/camera"))];
    let mut agent = agent(&bench, &viewer, &tables);
    for camera in 0..2 {
        viewer.status("the cause", |cameras| cameras[camera]["cause"] == "gave no answer for 5 s");
    }
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

/// A port that takes no connection and refuses none, because its queue is full.
fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    (listener, std::iter::from_fn(connect).collect())
}

#[test]
fn an_encoder_that_is_slower_than_its_stream_builds_no_delay() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "160x120", 200);
    let source = format!(
        "{{ name = \"door\", source = \"{}\", size = \"1920x1080\", quality = 100, fps = 240 }}",
        camera.address
    );
    let _agent = agent(&bench, &viewer, &[source]);
    let delays = viewer.first_delays("door", 300);
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
    let status = viewer.status("the count of what the encoder had no time for", |cameras| {
        cameras[0]["counts"]["frames_replaced"].as_u64() > Some(100)
    });
    assert_eq!(status[0]["counts"]["opened"], 1);
}

#[test]
fn a_pipeline_is_a_source_and_comes_back_when_it_ended() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let pipeline = format!(
        "rtspsrc location={} protocols=tcp latency=0 ! rtpjpegdepay ! jpegdec ! videoconvert ! appsink",
        camera.address
    );
    let mut agent = agent(&bench, &viewer, &[table("door", &pipeline)]);
    let delays = viewer.first_delays("door", 50);
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
    let port = camera.port();
    drop(camera);
    viewer.status("the cause", |cameras| cameras[0]["cause"] == "refuses the connection");
    let _camera = NetworkCamera::start(port, "480x320", 25);
    viewer.next_of("door");
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[test]
fn a_pipeline_that_stalls_for_ever_is_killed_and_started_anew() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    // Ten pictures, and then the funnel waits for the other test picture, which the valve keeps.
    let pipeline = "videotestsrc num-buffers=10 is-live=true ! videoconvert ! funnel name=both ! appsink \
                    videotestsrc is-live=true ! valve drop=true ! both.";
    let mut agent = agent(&bench, &viewer, &[table("door", pipeline)]);
    agent.logs("hangs in its driver or stream", "");
    viewer.first_delays("door", 11);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}
