use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, GIVEN_UP, Held, Manager, Program, Receiver, WATCHDOG, eventually, free_port, http};

fn bound(port: u16, more: &str) -> String {
    format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:{port}\"\n{more}")
}

/// An agent that sends one camera, slowly enough that no frame of it is skipped on a busy machine.
fn agent(bench: &Bench, name: &str, port: u16) -> Program {
    bench.agent(&format!(
        r#"
        name = "{name}"
        camera = [{{ name = "door", source = "pattern", size = "320x240", fps = 5 }}]
        link = [{{ pattern = "pair", connect = "tcp://127.0.0.1:{port}" }}]
        "#
    ))
}

fn is_frame_of(agent: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "frame" && message["agent"] == agent
}

/// The numbers of the agent's frames so far.
fn numbers(receiver: &Receiver, agent: &'static str) -> Vec<u64> {
    let said = receiver.program.out();
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter(is_frame_of(agent)).filter_map(|frame| frame["seq"].as_u64()).collect()
}

#[test]
fn a_link_joins_and_leaves_while_another_loses_no_frame() {
    let (one, two) = (Bench::new(), Bench::new());
    let (first, second) = (free_port(), free_port());
    let web = "[web]\nlisten = \"127.0.0.1:0\"\n";
    let receiver = one.receiver_of(&bound(first, web));
    let _shed = agent(&one, "shed", first);
    let _barn = agent(&two, "barn", second);
    receiver.program.says_json("a frame", is_frame_of("shed"));
    one.reload_receiver(&receiver, &format!("{}{}", bound(first, ""), bound(second, web)));
    receiver.program.says_json("a frame over the link that is new", is_frame_of("barn"));
    let up = |link: u16| format!("watchpost_link_up{{link=\"tcp://127.0.0.1:{link}\"}} 1");
    let metrics = || http::get(&receiver.page, "/metrics").text();
    eventually("both links in the metrics", || {
        [first, second].iter().all(|port| metrics().contains(&up(*port))).then_some(())
    });

    one.reload_receiver(&receiver, &bound(first, web));
    receiver.program.logs("configuration reloaded; links stopped: 1, started: 0", "");
    assert!(!metrics().contains(&up(second)) && metrics().contains(&up(first)), "{}", metrics());
    let last = numbers(&receiver, "shed").last().copied();
    eventually("more frames", || {
        (numbers(&receiver, "shed").last().copied() > last.map(|last| last + 5)).then_some(())
    });
    let all = numbers(&receiver, "shed");
    assert!(all.windows(2).all(|two| two[1] == two[0] + 1), "{all:?}");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_with_one_that_cannot_be_used_all_goes_on_as_before() {
    let (bench, port, taken) = (Bench::new(), free_port(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let good = bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n");
    let receiver = bench.receiver_of(&good);
    let _agent = agent(&bench, "shed", port);
    receiver.program.says_json("a frame", is_frame_of("shed"));
    bench.reload_receiver(&receiver, &good.replace("listen", "lisnet"));
    let said = receiver.program.logs("configuration not reloaded, keeping the current one: ", "");
    assert!(said.contains("receiver.toml, line 5") && said.contains("lisnet"), "{said}");

    let address = taken.local_addr().expect("an address");
    bench.reload_receiver(&receiver, &bound(port, &format!("[web]\nlisten = \"{address}\"\n")));
    receiver.program.logs(&format!("reverting to the previous one: cannot serve the page on {address}"), "");
    receiver.program.forget();
    receiver.program.says_json("a frame after it", is_frame_of("shed"));
}

#[test]
fn with_another_page_all_begins_anew_and_the_history_goes_on() {
    let (bench, port, page) = (Bench::new(), free_port(), free_port());
    let receiver = bench.receiver_of(&bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n"));
    let _agent = agent(&bench, "shed", port);
    receiver.program.says_json("a frame", is_frame_of("shed"));
    bench.reload_receiver(&receiver, &bound(port, &format!("[web]\nlisten = \"127.0.0.1:{page}\"\n")));
    receiver.program.logs(&format!("the page is at http://127.0.0.1:{page}/"), "");
    receiver.program.forget();
    receiver.program.says_json("a frame after it", is_frame_of("shed"));
    assert_eq!(http::get(&format!("127.0.0.1:{page}"), "/health").text(), "ok\n");
}

#[test]
fn the_manager_is_told_how_it_goes_and_that_it_lives() {
    let (bench, port) = (Bench::new(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let manager = Manager::of(&bench, &mut command, Some(WATCHDOG));
    let config = bound(port, "[web]\nlisten = \"127.0.0.1:0\"\n");
    let mut receiver = bench.receiver_by(command, &config);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    let agent = agent(&bench, "shed", port);
    manager.hears(&format!("STATUS=agents heard: 1; the page is at http://{}/", receiver.page));
    bench.reload_receiver(&receiver, "nonsense");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    manager.hears("the last configuration was not taken, see the log");
    drop(agent);
    manager.hears("STATUS=agents heard: 0, silent: 1");
    let held = Held::of(&receiver.program, "history");
    let fed = manager.was_fed_for(WATCHDOG, GIVEN_UP);
    assert!(fed > WATCHDOG && fed + WATCHDOG < GIVEN_UP, "fed for {fed:?}");
    drop(held);
    manager.hears("WATCHDOG=1");
    let (status, _) = receiver.program.terminate();
    assert!(status.success(), "{status}");
    manager.hears("STOPPING=1");
}
