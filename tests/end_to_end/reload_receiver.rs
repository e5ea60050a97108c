use std::process::Command;

use serde_json::Value;

use crate::harness::{
    Bench, Manager, Program, Receiver, STALL_LIMIT, SuspendedThread, WATCHDOG, eventually, free_port, http,
};

fn bound(port: u16, more: &str) -> String {
    format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"\n{more}")
}

/// Starts an agent with one camera, slow enough that a busy machine skips none of its frames.
fn agent(bench: &Bench, name: &str, port: u16) -> Program {
    bench.agent(&format!(
        r#"
        name = "{name}"
        camera = [{{ name = "door", source = "pattern", size = "320x240", fps = 2 }}]
        link = [{{ pattern = "pair", connect = "tcp://127.0.0.1:{port}" }}]
        "#
    ))
}

fn is_frame_of(agent: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "frame" && message["agent"] == agent
}

/// Returns the sequence numbers of the agent's frames so far.
fn frame_numbers(receiver: &Receiver, agent: &'static str) -> Vec<u64> {
    let output = receiver.program.out();
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter(is_frame_of(agent)).filter_map(|frame| frame["seq"].as_u64()).collect()
}

#[test]
fn adding_and_removing_a_link_costs_others_no_frame() {
    let (one, two) = (Bench::new(), Bench::new());
    let (first, second) = (free_port(), free_port());
    let web = "[web]\nlisten = \"127.0.0.1:0\"\n";
    let receiver = one.receiver_of(&bound(first, web));
    let _shed = agent(&one, "shed", first);
    let _barn = agent(&two, "barn", second);
    receiver.program.wait_for_json("a frame", is_frame_of("shed"));
    one.reload_receiver(&receiver, &format!("{}{}", bound(first, ""), bound(second, web)));
    receiver.program.wait_for_json("a frame over the new link", is_frame_of("barn"));
    let up = |link: u16| format!("watchpost_link_up{{link=\"tcp://127.0.0.1:{link}\"}} 1");
    let metrics = || http::get(&receiver.page, "/metrics").text();
    eventually("both links in the metrics", || {
        [first, second].iter().all(|port| metrics().contains(&up(*port))).then_some(())
    });

    one.reload_receiver(&receiver, &bound(first, web));
    receiver.program.wait_for_log("configuration reloaded; links stopped: 1, started: 0", "");
    assert!(!metrics().contains(&up(second)) && metrics().contains(&up(first)), "{}", metrics());
    let last = frame_numbers(&receiver, "shed").last().copied();
    eventually("more frames", || {
        (frame_numbers(&receiver, "shed").last().copied() > last.map(|last| last + 5)).then_some(())
    });
    let all = frame_numbers(&receiver, "shed");
    assert!(all.windows(2).all(|two| two[1] == two[0] + 1), "{all:?}");
}

#[test]
fn invalid_or_unusable_file_keeps_the_current_config() {
    let (bench, port, taken) = (Bench::new(), free_port(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let good = bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n");
    let receiver = bench.receiver_of(&good);
    let _agent = agent(&bench, "shed", port);
    receiver.program.wait_for_json("a frame", is_frame_of("shed"));
    bench.reload_receiver(&receiver, &good.replace("listen", "lisnet"));
    let message = receiver.program.wait_for_log("configuration not reloaded, keeping the current one: ", "");
    assert!(message.contains("receiver.toml, line 5") && message.contains("lisnet"), "{message}");

    let address = taken.local_addr().expect("an address");
    bench.reload_receiver(&receiver, &bound(port, &format!("[web]\nlisten = \"{address}\"\n")));
    receiver.program.wait_for_log(&format!("reverting to the previous one: cannot serve the page on {address}"), "");
    receiver.program.clear_output();
    receiver.program.wait_for_json("a frame after the reload", is_frame_of("shed"));
}

#[test]
fn changed_page_address_restarts_the_receiver() {
    let (bench, port, page) = (Bench::new(), free_port(), free_port());
    let receiver = bench.receiver_of(&bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n"));
    let _agent = agent(&bench, "shed", port);
    receiver.program.wait_for_json("a frame", is_frame_of("shed"));
    bench.reload_receiver(&receiver, &bound(port, &format!("[web]\nlisten = \"127.0.0.1:{page}\"\n")));
    receiver.program.wait_for_log(&format!("the page is at http://127.0.0.1:{page}/"), "");
    receiver.program.clear_output();
    receiver.program.wait_for_json("a frame after the reload", is_frame_of("shed"));
    assert_eq!(http::get(&format!("127.0.0.1:{page}"), "/health").text(), "ok\n");
}

#[test]
fn systemd_gets_status_reload_and_watchdog_messages() {
    let (bench, port) = (Bench::new(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let config = bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n");
    let mut receiver = bench.receiver_by(command, &config);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    let agent = agent(&bench, "shed", port);
    manager.wait_for(&format!("STATUS=agents connected: 1; page at http://{}/", receiver.page));
    bench.reload_receiver(&receiver, "nonsense");
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    manager.wait_for("the last configuration was rejected, see the log");
    drop(agent);
    manager.wait_for(&format!("STATUS=agents connected: 0; page at http://{}/; 1 agent is away", receiver.page));
    let held = SuspendedThread::of(&receiver.program, "history");
    let fed = manager.watchdog_fed_for(WATCHDOG, STALL_LIMIT);
    assert!(fed > WATCHDOG && fed + WATCHDOG < STALL_LIMIT, "fed for {fed:?}");
    drop(held);
    manager.wait_for("WATCHDOG=1");
    let (status, _) = receiver.program.terminate();
    assert!(status.success(), "{status}");
    manager.wait_for("STOPPING=1");
}
