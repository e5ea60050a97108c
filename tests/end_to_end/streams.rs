use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Bench, Program};
use crate::network_camera::{NetworkCamera, Viewer};

/// Maximum delay of a picture from the network camera to the viewer.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// Whether pictures still arrive without delay in the end. A busy machine delays some, but a queue of pictures delays all.
fn keeps_up(delays: &[Duration]) -> bool {
    delays[delays.len() / 2..].iter().any(|delay| *delay < MAX_DELAY)
}

fn agent(bench: &Bench, viewer: &Viewer, cameras: &[String]) -> Program {
    let link = &viewer.link;
    bench
        .agent(&format!("camera = [{}]\nlink = [{{ pattern = \"pair\", connect = \"{link}\" }}]\n", cameras.join(", ")))
}

fn table(name: &str, source: &str) -> String {
    format!("{{ name = \"{name}\", source = \"{source}\" }}")
}

#[test]
fn four_streams_arrive_without_delay() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    // The last camera is slow, as some are in the dark.
    let cameras = [25, 25, 25, 1].map(|fps| NetworkCamera::start(0, "480x320", fps));
    let names = ["north", "east", "south", "west"];
    let tables: Vec<String> = cameras.iter().zip(names).map(|(camera, name)| table(name, &camera.address)).collect();
    let _agent = agent(&bench, &viewer, &tables);
    for name in names {
        let count = if name == "west" { 5 } else { 50 };
        let delays = viewer.first_delays(name, count);
        assert!(keeps_up(&delays), "{name}: {delays:?}");
    }
}

#[test]
fn killed_stream_is_reported_and_recovers_in_five_seconds() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let agent = agent(&bench, &viewer, &[table("door", &camera.address), table("other", "pattern")]);
    viewer.next_of("door");
    let port = camera.port();
    drop(camera);
    agent.wait_for_log("/camera): ended", "");
    // Long enough for the retry delay to reach its maximum.
    viewer.status("the cause", |cameras| {
        cameras[0]["cause"] == "connection refused" && cameras[0]["for_ms"].as_u64() > Some(8_000)
    });
    viewer.next_of("other");
    let _camera = NetworkCamera::start(port, "480x320", 25);
    let mut restarted = agent.stopwatch();
    viewer.next_of("door");
    let took = restarted.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn silent_stream_is_reopened_and_does_not_delay_shutdown() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let mut agent = agent(&bench, &viewer, &[table("door", &camera.address)]);
    viewer.next_of("door");
    camera.signal(Signal::SIGSTOP);
    viewer.status("the cause", |cameras| cameras[0]["cause"] == "sends no frames");
    camera.signal(Signal::SIGCONT);
    viewer.next_of("door");
    camera.signal(Signal::SIGSTOP);
    let (status, took) = agent.terminate();
    camera.signal(Signal::SIGCONT);
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[test]
fn unresponsive_addresses_are_reported() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (full, _queue) = port_with_full_queue();
    let [rtsp, http] = [&silent, &full].map(|listener| listener.local_addr().expect("an address"));
    let tables = [table("silent", &format!("rtsp://{rtsp}/camera")), table("full", &format!("http://{http}/camera"))];
    let mut agent = agent(&bench, &viewer, &tables);
    for camera in 0..2 {
        viewer.status("the cause", |cameras| cameras[camera]["cause"] == "no reply within 5 s");
    }
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

/// Returns a port that neither accepts nor refuses connections, because its queue is full.
fn port_with_full_queue() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    (listener, std::iter::from_fn(connect).collect())
}

#[test]
fn slow_encoder_drops_frames_instead_of_lagging() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "160x120", 100);
    let source = format!(
        "{{ name = \"door\", source = \"{}\", size = \"1920x1080\", quality = 100, fps = 240 }}",
        camera.address
    );
    let _agent = agent(&bench, &viewer, &[source]);
    let delays = viewer.first_delays("door", 300);
    assert!(keeps_up(&delays), "{delays:?}");
    let status = viewer
        .status("the count of dropped frames", |cameras| cameras[0]["counts"]["frames_replaced"].as_u64() > Some(100));
    assert_eq!(status[0]["counts"]["opened"], 1);
}

#[test]
fn pipeline_is_restarted_after_it_ends() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    let camera = NetworkCamera::start(0, "480x320", 25);
    let pipeline = format!(
        "rtspsrc location={} protocols=tcp latency=0 ! rtpjpegdepay ! jpegdec ! videoconvert ! appsink",
        camera.address
    );
    let mut agent = agent(&bench, &viewer, &[table("door", &pipeline)]);
    let delays = viewer.first_delays("door", 50);
    assert!(keeps_up(&delays), "{delays:?}");
    let port = camera.port();
    drop(camera);
    viewer.status("the cause", |cameras| cameras[0]["cause"] == "connection refused");
    let _camera = NetworkCamera::start(port, "480x320", 25);
    viewer.next_of("door");
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[test]
fn stalled_pipeline_is_killed_and_restarted() {
    let (bench, viewer) = (Bench::new(), Viewer::new());
    // After ten pictures the funnel waits for the second source, which the valve blocks.
    let pipeline = "videotestsrc num-buffers=10 is-live=true ! videoconvert ! funnel name=both ! appsink \
                    videotestsrc is-live=true ! valve drop=true ! both.";
    let mut agent = agent(&bench, &viewer, &[table("door", pipeline)]);
    agent.wait_for_log("hangs in its driver or stream", "");
    viewer.first_delays("door", 11);
    let (status, took) = agent.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}
