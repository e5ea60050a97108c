use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::harness::{Bench, Board, Pi};

/// Runs `watchpost doctor` on a configuration; returns its report and whether it found no error.
fn diagnose(bench: &Bench, config: &str) -> (String, bool) {
    let file = bench.path("doctor.toml");
    fs::write(&file, config).expect("a temporary file");
    let Output { status, stdout, stderr } =
        bench.with_cameras(bench.watchpost("doctor").arg("--config").arg(file)).output().expect("it starts");
    let report = String::from_utf8(stdout).expect("text");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(report.contains("\nerror:"), !status.success(), "{status}: {report}{stderr}");
    assert!(!report.contains("os error"), "{report}");
    assert_eq!(stderr.contains("this machine cannot run "), !status.success(), "{stderr}");
    for (line, next) in report.lines().zip(report.lines().skip(1).chain([""])) {
        let has_remedy = next.starts_with("         ") && !next.trim().is_empty();
        assert_eq!(line.starts_with("warning:") || line.starts_with("error:"), has_remedy, "{line:?} in {report}");
    }
    (report, status.success())
}

/// The remedy of the finding that contains `words`.
#[track_caller]
fn finding<'a>(report: &'a str, kind: &str, words: &str) -> &'a str {
    let lines: Vec<&str> = report.lines().collect();
    let index = lines.iter().position(|line| line.starts_with(kind) && line.contains(words));
    let index = index.unwrap_or_else(|| panic!("no {kind} with {words:?} in\n{report}"));
    lines.get(index + 1).copied().unwrap_or_default().trim()
}

const CAMERA: &str = "[[camera]]\nname = \"door\"\nsource = \"pattern\"\n";
const BOUND: &str = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n";

#[test]
fn healthy_setup_reports_only_ok() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    bench.allow("pi");
    let server = bench.server("hub");
    let receiver = bench.receiver(&format!("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n{server}"));
    let board = Board::new();
    bench.plug_camera_of(40, "MJPG 640x480 30 film");
    let (port, link) = (board.path.display(), &receiver.link);
    let config = format!(
        "name = \"shed\"\n[[serial]]\nname = \"gas\"\nport = \"{port}\"\n\
         [[camera]]\nname = \"yard\"\nsource = \"/dev/video40\"\n{CAMERA}\
         [[link]]\npattern = \"dealer\"\nconnect = \"{link}\"\n{}",
        bench.client("pi", "hub")
    );
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(is_ok && report.lines().all(|line| line.starts_with("ok       ")), "{report}");
    for words in [
        "agent shed, for ",
        &format!("port gas: {port}"),
        "camera yard: /dev/video40",
        "camera door: a test picture",
        "spool.sqlite, 21.0 of 32.0 GB are free",
        &format!("link {link}: the other end is there, encrypted"),
        "the power supply is strong enough",
        "the CPU is at 48 °C",
        "the clock is synchronised",
    ] {
        finding(&report, "ok", words);
    }
}

#[test]
fn missing_devices_and_peers_are_reported_with_advice() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let file = bench.path("file");
    fs::write(&file, "").expect("a temporary file");
    let config = format!(
        "[[serial]]\nport = \"/dev/serial/by-id/none\"\n[[serial]]\nname = \"file\"\nport = \"{}\"\n\
         [[camera]]\nname = \"yard\"\nsource = \"/dev/video41\"\n\
         [[camera]]\nname = \"film\"\nsource = \"http://127.0.0.1:{port}/\"\n{CAMERA}\
         [[link]]\npattern = \"pair\"\nconnect = \"tcp://127.0.0.1:{port}\"\n\
         [[link]]\npattern = \"pair\"\nconnect = \"tcp://nowhere.invalid:5559\"\nplaintext = true\n\
         [[link]]\npattern = \"pair\"\nconnect = \"ipc://{}\"\n\
         [spool]\npath = \"{}/spool.sqlite\"\n",
        file.display(),
        bench.path("socket").display(),
        file.display(),
    );
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(!is_ok, "{report}");
    assert!(
        finding(&report, "error:", "port none: /dev/serial/by-id/none does not exist").contains("watchpost devices")
    );
    finding(&report, "error:", "is not a device");
    finding(&report, "error:", "camera yard: /dev/video41 does not exist");
    finding(&report, "error:", "camera film: http://127.0.0.1:");
    let remedy = finding(&report, "error:", &format!("link tcp://127.0.0.1:{port}: nothing listens there"));
    assert!(remedy.contains("running"), "{remedy}");
    finding(&report, "error:", "link tcp://nowhere.invalid:5559: nowhere.invalid has no address");
    finding(&report, "error:", "socket: nothing listens there: No such file or directory");
    finding(&report, "error:", "is not a directory");
}

#[test]
fn mismatched_keys_are_reported_before_the_agent_runs() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    bench.allow("pi");
    let server = bench.server("hub");
    let receiver = bench.receiver(&format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n{server}"));
    let link = |keys: &str| {
        let (report, is_ok) =
            diagnose(&bench, &format!("{CAMERA}[[link]]\npattern = \"pair\"\nconnect = \"{}\"\n{keys}", receiver.link));
        assert!(!is_ok, "{report}");
        report
    };
    let remedy = |words, report: &str| finding(report, "error:", words).to_owned();
    let stranger = remedy("the other end aborts the handshake", &link(&bench.client("stranger", "hub")));
    assert!(stranger.contains("allowed_keys_dir"), "{stranger}");
    let other = remedy("aborts the handshake", &link(&bench.client("pi", "other")));
    assert!(other.contains("`server_key`"), "{other}");
    let plain = remedy("the other end aborted the ZeroMQ handshake", &link(""));
    assert!(plain.contains("curve table"), "{plain}");
    fs::remove_file(bench.key("pi", "key_secret")).expect("a key");
    let missing = format!(
        "curve = {{ secret_key_file = \"{}\", server_key = \"{}\" }}",
        bench.path("keys/pi.key_secret").display(),
        bench.key("hub", "key").display()
    );
    let report = link(&missing);
    remedy("pi.key_secret", &report);
    assert_eq!(report.lines().filter(|line| line.starts_with("error:")).count(), 1, "{report}");
}

#[test]
fn unhealthy_host_only_warns_until_the_disk_is_full() {
    let bench = Bench::new();
    let pi = Pi::new(&bench);
    pi.set("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    pi.set("sys/class/thermal/thermal_zone0/temp", "83000\n");
    pi.set("dev/vcio_gencmd", "throttled=0x40004\n");
    pi.set("disk", "32000 640\n");
    pi.remove("synchronised");
    let config = format!("{CAMERA}{BOUND}");
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(is_ok, "{report}");
    assert!(finding(&report, "warning:", "the power supply is too weak").contains("Pi maker's power supply"));
    assert!(finding(&report, "warning:", "the CPU is at 83 °C, where it is throttled").contains("fan"));
    finding(&report, "warning:", "the CPU is throttled");
    assert!(finding(&report, "warning:", "the disk is 98 % full, 0.6 of 32.0 GB are free").contains("free some space"));
    let clock = finding(&report, "warning:", "the clock is not synchronised");
    assert!(clock.contains("timedatectl") || clock.contains("apt install systemd-timesyncd"), "{clock}");

    pi.set("dev/vcio_gencmd", "throttled=0x50000\n");
    pi.set("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
    pi.set("disk", "32000 0\n");
    let begun = Instant::now();
    let (report, _) = diagnose(&bench, &config);
    let usual = begun.elapsed();
    finding(&report, "warning:", "the power supply has been too weak since");
    finding(&report, "warning:", "the CPU has been throttled since");
    finding(&report, "error:", "the disk is full");

    pi.set("hang", "");
    let begun = Instant::now();
    let (report, _) = diagnose(&bench, &config);
    finding(&report, "error:", "the disk did not respond within 3 s");
    // Twice as long as without the fault, for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(4) + 2 * usual, "{:?}, usually {usual:?}", begun.elapsed());
}

#[test]
fn disk_of_recordings_is_reported_before_they_are_deleted_early() {
    let bench = Bench::new();
    let pi = Pi::new(&bench);
    let config = format!(
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"127.0.0.1:0\"\n[history]\noff = true\n\
         [record]\ndir = \"{}\"\n",
        bench.path("recordings").display()
    );
    pi.set("disk", "32000 4480\n");
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(is_ok, "{report}");
    finding(&report, "warning:", "the disk is 86 % full");
    let output = bench.with_cameras(bench.watchpost("check").arg("--config").arg(bench.path("doctor.toml"))).output();
    let text = String::from_utf8(output.expect("it starts").stdout).expect("text");
    assert!(text.contains("warning: its disk is 86 % full"), "{text}");
    pi.set("disk", "32000 5120\n");
    assert!(!diagnose(&bench, &config).0.contains("% full"));
}

#[test]
fn unusable_keys_are_an_error_without_an_ok_for_the_other_end() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let config = format!(
        "{CAMERA}[[link]]\npattern = \"pair\"\nconnect = \"{}\"\n[link.curve]\nsecret_key_file = \"/none.key_secret\"\n\
         server_key = \"/none.key\"\n",
        receiver.link
    );
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(!is_ok && !report.contains("the other end is there"), "{report}");
}

#[test]
fn cameras_exceeding_bus_bandwidth_are_reported() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    let cameras = (40..43).map(|node| {
        bench.plug_camera_of(node, "YUYV 640x480 30 film");
        format!("[[camera]]\nname = \"c{node}\"\nsource = \"/dev/video{node}\"\nfps = 30\n")
    });
    let (report, is_ok) = diagnose(&bench, &format!("{}{BOUND}", cameras.collect::<String>()));
    assert!(is_ok, "{report}");
    let remedy = finding(&report, "warning:", "c40, c41 and c42 need 55.3 MB/s of USB bus 0000:01:00.0");
    assert!(remedy.contains("choose smaller sizes"), "{remedy}");
}

#[test]
fn receiver_problems_are_reported_with_advice() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    let in_use = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = in_use.local_addr().expect("an address").port();
    let file = bench.path("file");
    fs::write(&file, "").expect("a temporary file");
    let config = format!(
        "[[link]]\npattern = \"router\"\nbind = \"tcp://192.0.2.7:5559\"\nplaintext = true\n\
         [[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\n[history]\npath = \"{}/history.sqlite\"\n[record]\ndir = \"{}\"\n",
        file.display(),
        bench.path("recordings").display(),
    );
    let (report, is_ok) = diagnose(&bench, &config);
    assert!(!is_ok, "{report}");
    let remedy = finding(&report, "error:", "link tcp://192.0.2.7:5559: 192.0.2.7 is not an address of this machine");
    assert!(remedy.contains("ip address"), "{remedy}");
    finding(&report, "ok", &format!("link tcp://127.0.0.1:{port}: in use, by watchpost itself if it is running"));
    finding(&report, "ok", "page http://127.0.0.1:0/: free");
    finding(&report, "error:", "history: ");
    finding(&report, "ok", "recordings, 21.0 of 32.0 GB are free");
    assert!(!bench.path("recordings").exists(), "it was made");
}

#[test]
fn non_zeromq_listener_is_reported_as_an_error() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let link = format!("[[link]]\npattern = \"pair\"\nconnect = \"tcp://127.0.0.1:{port}\"\n");
    let (report, is_ok) = diagnose(&bench, &format!("{CAMERA}{link}"));
    assert!(!is_ok, "{report}");
    finding(
        &report,
        "error:",
        &format!("link tcp://127.0.0.1:{port}: the program that listens there does not speak ZeroMQ"),
    );
}

#[test]
fn port_without_zeromq_is_not_reported_as_key_problem() {
    let bench = Bench::new();
    let _machine = Pi::new(&bench);
    bench.allow("pi");
    bench.server("hub");
    let ssh = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = ssh.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        ssh.incoming().try_for_each(|stream| stream?.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
    });
    let keys = bench.client("pi", "hub");
    let link = format!("[[link]]\npattern = \"pair\"\nconnect = \"tcp://127.0.0.1:{port}\"\n{keys}");
    let (report, is_ok) = diagnose(&bench, &format!("{CAMERA}{link}"));
    assert!(!is_ok, "{report}");
    let remedy = finding(&report, "error:", "does not speak ZeroMQ");
    assert!(remedy.contains("check host and port") && !report.contains("server_key"), "{report}");
}

#[test]
fn invalid_configuration_is_explained() {
    let bench = Bench::new();
    fs::write(bench.path("wrong.toml"), "nmae = \"x\"").expect("a temporary file");
    let output =
        bench.watchpost("doctor").arg("--config").arg(bench.path("wrong.toml")).output().expect("watchpost starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `name`?"), "{output:?}");
}
