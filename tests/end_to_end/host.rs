use std::fs;

use serde_json::{Value, json};
use watchpost::host::{HostStatus, Room, Roots};

use crate::harness::http::{get, get_json};
use crate::harness::installed::check_metrics;
use crate::harness::{Bench, Browser, Peer, Pi, Program, Receiver, eventually};

fn agent(bench: &Bench, link: &str) -> Program {
    bench.agent(&format!(
        "name = \"shed\"\ncamera = [{{ name = \"door\", source = \"pattern\", size = \"320x240\" }}]\n\
         link = [{{ pattern = \"pair\", connect = \"{link}\" }}]"
    ))
}

/// Waits for a status whose data about the host matches.
#[track_caller]
fn reports(peer: &Peer, what: &str, matches: impl Fn(&Value) -> bool) {
    peer.wait_for(what, |header| header["type"] == "status" && matches(&header["machine"]));
}

#[test]
fn status_reports_host_health_and_its_changes() {
    let bench = Bench::new();
    let (pi, peer) = (Pi::new(&bench), Peer::new());
    let _agent = agent(&bench, &peer.address);
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let healthy = json!({
        "temperature_c": 48.312, "undervoltage": false, "undervoltage_since_boot": false,
        "throttled": false, "throttled_since_boot": false,
        "memory": { "bytes": 3_884_112 * 1024_u64, "available_bytes": 2_913_084 * 1024_u64 },
        "disk": { "bytes": 32_000_000_000_u64, "available_bytes": 21_000_000_000_u64 },
        "wifi": { "interface": "wlan0", "signal_dbm": -61.0 },
        "synchronised": true, "boot_id": boot_id.trim(),
    });
    reports(&peer, "a healthy host", |machine| {
        let mut machine = machine.clone();
        let uptime = machine.as_object_mut().and_then(|machine| machine.remove("uptime_s"));
        uptime.and_then(|seconds| seconds.as_u64()).is_some_and(|seconds| seconds > 0) && machine == healthy
    });

    pi.set("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    pi.set("dev/vcio_gencmd", "throttled=0x50004\n");
    pi.set("sys/class/thermal/thermal_zone0/temp", "81500\n");
    pi.remove("synchronised");
    pi.remove("proc/self");
    reports(&peer, "an unhealthy host", |machine| {
        let flags = ["undervoltage", "undervoltage_since_boot", "throttled", "throttled_since_boot"];
        flags.iter().all(|flag| machine[flag] == true)
            && machine["temperature_c"] == 81.5
            && machine["synchronised"] == false
            && machine["wifi"].is_null()
    });
}

#[test]
fn hanging_disk_blocks_nothing_not_even_shutdown() {
    let bench = Bench::new();
    let (pi, peer) = (Pi::new(&bench), Peer::new());
    pi.set("hang", "");
    let mut agent = agent(&bench, &peer.address);
    reports(&peer, "the temperature without the disk", |machine| {
        machine["temperature_c"] == 48.312 && machine["disk"].is_null()
    });
    peer.wait_for("a frame", |header| header["type"] == "frame");
    let (status, took) = agent.terminate();
    assert!(status.success() && took.as_secs_f64() < 2.0, "{status} after {took:?}");
}

#[test]
fn missing_host_sensors_are_omitted() {
    let bench = Bench::new();
    let empty = bench.path("empty");
    let roots = Roots { proc: empty.clone(), sys: empty.clone(), dev: empty };
    let HostStatus { memory, uptime_s, synchronised, .. } = HostStatus::read(&roots);
    // sysinfo(2) reports total memory and uptime only.
    assert!(memory.is_some_and(|memory| memory.bytes > 0 && memory.available_bytes.is_none()) && uptime_s > 0);
    let expected = HostStatus { memory, uptime_s, synchronised, ..HostStatus::default() };
    assert_eq!(HostStatus::read(&roots), HostStatus { uptime_s: expected.uptime_s, ..expected });
}

#[test]
fn nonsensical_sensor_files_are_ignored() {
    let bench = Bench::new();
    let pi = Pi::new(&bench);
    let look = || {
        let at = |root: &str| pi.root().join(root);
        HostStatus::read(&Roots { proc: at("proc"), sys: at("sys"), dev: at("dev") })
    };
    assert_eq!(look().temperature_c, Some(48.312));
    // The temperature of the hottest zone of the processor, not of any zone.
    pi.set("sys/class/thermal/thermal_zone1/type", "battery\n");
    pi.set("sys/class/thermal/thermal_zone1/temp", "99000\n");
    pi.set("sys/class/thermal/thermal_zone2/type", "cpu1-thermal\n");
    pi.set("sys/class/thermal/thermal_zone2/temp", "-1500\n");
    assert_eq!(look().temperature_c, Some(48.312));
    pi.set("sys/class/thermal/thermal_zone0/temp", "hot\n");
    pi.set("sys/class/hwmon/hwmon1/name", "other\n");
    pi.set("proc/meminfo", "MemTotal: many kB\nMemAvailable: 1 kB\n");
    // A driver with its own scale, up to 70.
    pi.set("proc/self/net/wireless", "a\nb\n wlan0: 0000 49. 61. 0 0 0 0 0 0 0\n");
    let HostStatus { temperature_c, undervoltage, memory, wifi, throttled, .. } = look();
    assert_eq!((temperature_c, undervoltage, wifi, throttled), (Some(-1.5), None, None, None));
    assert!(memory.is_some_and(|memory| memory.available_bytes.is_none()), "{memory:?}");
}

#[test]
fn disk_is_found_before_its_directories_exist() {
    let bench = Bench::new();
    let disk = Room::of_disk(&bench.path("not/yet/spool.sqlite")).expect("a disk");
    assert!(disk.bytes > 0 && disk.available_bytes.is_some_and(|free| free <= disk.bytes), "{disk:?}");
    let room = |bytes, available_bytes| Room { bytes, available_bytes }.used_percent();
    assert_eq!(
        [room(200, Some(9)), room(200, Some(10)), room(0, Some(0)), room(200, None), room(200, Some(300))],
        [Some(95), Some(95), None, None, Some(0)]
    );
    assert_eq!(room(u64::MAX, Some(0)), Some(100));
}

/// Starts a receiver, an agent, and a browser that shows the agent's camera live.
async fn start_with_page(bench: &Bench) -> (Receiver, Program, Browser) {
    let receiver = bench.pair_receiver();
    let agent = agent(bench, &receiver.link);
    let browser = Browser::open(bench, &receiver.page).await;
    browser.sees("article[data-camera='shed/door'][data-state=live]").await;
    (receiver, agent, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn page_and_metrics_show_host_health() {
    let bench = Bench::new();
    let pi = Pi::new(&bench);
    let (receiver, _agent, browser) = start_with_page(&bench).await;
    browser.reads(".agent-machine", &["48 °C", "memory 25 %", "disk 34 %", "wlan0 −61 dBm", "up "]).await;
    browser.reads("#health[data-tone=good]", &["Everything is live"]).await;
    let samples = [
        ("temperature_celsius{agent=\"shed\"} 48.312", true),
        ("undervoltage{agent=\"shed\"} 0", true),
        ("throttled_since_boot{agent=\"shed\"} 0", true),
        ("memory_available_bytes{agent=\"shed\"} 2982998016", true),
        ("disk_bytes{agent=\"shed\"} 32000000000", true),
        ("wifi_signal_dbm{agent=\"shed\",interface=\"wlan0\"} -61", true),
        ("clock_synchronised{agent=\"shed\"} 1", true),
        ("clock_synchronised{agent=\"shed\"} 0", false),
    ];
    let metrics = get(&receiver.page, "/metrics").text();
    for (sample, is_there) in samples {
        assert_eq!(metrics.contains(&format!("\nwatchpost_agent_machine_{sample}\n")), is_there, "{sample}: {metrics}");
    }
    check_metrics(&metrics);

    pi.set("dev/vcio_gencmd", "throttled=0x50005\n");
    pi.set("disk", "32000 640\n");
    browser.reads("#health[data-tone=bad]", &["shed: its power supply is too weak"]).await;
    browser.reads(".agent-machine [data-tone=bad]", &["undervoltage"]).await;
    browser.reads("#problems li", &["its disk is 98 % full", "its processor is throttled"]).await;
    let wall = || get_json(&receiver.page, "/api/wall").1["agents"][0]["machine"].clone();
    eventually("the free space in /api/wall", || (wall()["disk"]["available_bytes"] == 640_000_000).then_some(()));

    pi.set("dev/vcio_gencmd", "throttled=0x50000\n");
    pi.set("disk", "32000 21000\n");
    pi.set("sys/class/thermal/thermal_zone0/temp", "80000\n");
    pi.remove("synchronised");
    browser.reads("#health[data-tone=warn]", &["it is hot, 80 °C"]).await;
    browser.reads("#problems li", &["its clock is not synchronised"]).await;
    // Past undervoltage appears only in the agent's details.
    browser.reads(".agent-machine [data-about=power][data-tone=quiet]", &["undervoltage earlier"]).await;
    browser.close().await;
}

/// Older agents send no data about their host.
#[tokio::test(flavor = "multi_thread")]
async fn agent_without_host_data_is_shown_without_it() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = crate::harness::FakeAgent::on(&receiver);
    let reading = json!({
        "seq": 1, "port": "climate", "quantity": "t", "value": 21.5, "unit": "°C", "captured_at_us": 1_795_284_000_001_000_i64,
        "age_ms": 1, "stale_after_ms": 60_000, "stale": false
    });
    let status = json!({
        "type": "status", "v": 1, "agent": "shed", "boot": "b1", "cameras": [], "ports": [], "links": [], "readings": [reading]
    });
    let browser = Browser::open(&bench, &receiver.page).await;
    // Sent only now: with a slow browser, the agent would otherwise count as silent.
    agent.socket.send_multipart(["status/shed", &status.to_string()], 0).expect("the message is sent");
    browser.reads("#health[data-tone=good]", &["Everything is live"]).await;
    let line = "return document.querySelector('.agent-machine').childElementCount";
    assert_eq!(browser.run(line, &[]).await, 0);
    assert!(get_json(&receiver.page, "/api/wall").1["agents"][0]["machine"].is_null());
    assert!(!get(&receiver.page, "/metrics").text().contains("\nwatchpost_agent_machine_temperature_celsius{"));
    browser.close().await;
}
