use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::film::numbered;
use crate::harness::http::{get_json, post};
use crate::harness::hub::{Hub, ack, hello, spooling, take, waits_for};
use crate::harness::{Bench, Board, Intruder, PATIENCE, Program, Receiver, Shows, batch, eventually};
use crate::history::open_history;

/// A receiver with two router links, and keys for `shed`, the victim, and `pi`, the intruder.
struct Scene {
    bench: Bench,
    receiver: Receiver,
    links: Vec<String>,
    is_encrypted: bool,
}

impl Scene {
    fn new(is_encrypted: bool) -> Scene {
        let bench = Bench::new();
        bench.allow("shed");
        bench.allow("pi");
        let keys = if is_encrypted {
            bench.server("hub").replace(" }", ", agents = { pi = [\"yard\"] } }")
        } else {
            String::new()
        };
        let link = format!("[[link]]\npattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"\n{keys}\n");
        let receiver = bench.receiver_of(&format!("{link}{link}[web]\nlisten = \"127.0.0.1:0\"\n"));
        let log = receiver.program.log();
        let addresses = log.lines().filter_map(|line| line.split_once("link tcp://")?.1.split_once(": open"));
        let links = addresses.map(|(address, _)| format!("tcp://{address}")).collect();
        Scene { bench, receiver, links, is_encrypted }
    }

    fn both() -> [Scene; 2] {
        [false, true].map(Scene::new)
    }

    /// The configuration of an agent on the first link.
    fn config(&self, name: &str, key: &str, board: &Board) -> String {
        let keys = if self.is_encrypted { format!(", {}", self.bench.client(key, "hub")) } else { String::new() };
        format!(
            "name = \"{name}\"\n\
             serial = [{{ name = \"gas\", port = \"{}\" }}]\n\
             camera = [{{ name = \"door\", source = \"pattern\", size = \"320x240\" }}]\n\
             link = [{{ pattern = \"dealer\", connect = \"{}\"{keys} }}]",
            board.path.display(),
            self.links[0]
        )
    }

    fn intruder(&self, link: usize) -> Intruder {
        let shows = if self.is_encrypted { Shows::Key("pi", "hub") } else { Shows::Nothing };
        Intruder::new(&self.bench, &self.links[link], &shows)
    }

    /// Waits for a message of an agent that matches.
    #[track_caller]
    fn wait_for(&self, what: &str, agent: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.receiver.program.wait_for_json(what, |message| message["agent"] == agent && matches(message))
    }

    /// The agent of the wall with this name.
    fn on_the_wall(&self, agent: &str) -> Option<Value> {
        let (_, wall) = get_json(&self.receiver.page, "/api/wall");
        wall["agents"].as_array()?.iter().find(|known| known["name"] == agent).cloned()
    }

    /// The values of an agent's port in the history.
    fn stored(&self, agent: &str, port: &str) -> BTreeSet<u64> {
        let history = open_history(&self.bench.history());
        let mut select = history
            .prepare("SELECT value FROM readings JOIN series ON series.id = series WHERE agent = ? AND port = ?")
            .expect("its tables");
        let rows = select.query_map([agent, port], |row| row.get::<_, f64>(0)).expect("readings");
        rows.map(|row| row.expect("a reading") as u64).collect()
    }

    #[track_caller]
    fn wait_until_stored(&self, agent: &str, values: std::ops::Range<u64>) {
        let end = Instant::now() + 2 * PATIENCE;
        loop {
            let missing: Vec<u64> =
                values.clone().collect::<BTreeSet<_>>().difference(&self.stored(agent, "gas")).copied().collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "not stored of {agent}: {missing:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until the intruder knows that it is refused, and the log names both sides.
    #[track_caller]
    fn wait_until_refused(&self, intruder: &Intruder, agent: &str) {
        eventually("a rejection", || {
            intruder.heard().iter().any(|control| control["type"] == "rejected").then_some(())
        });
        let words = if self.is_encrypted {
            format!("refused 127.0.0.1 (key pi) as agent {agent}: its key permits the name pi, yard; ")
        } else {
            format!("agent {agent} is connected from 127.0.0.1, and another connection from 127.0.0.1 is refused; ")
        };
        self.receiver.program.wait_for_log(&words, "");
    }
}

fn write(board: &mut Board, values: std::ops::Range<u64>) {
    for value in values {
        board.write_line(&format!("n-{value}"));
    }
}

fn is_status(message: &Value) -> bool {
    message["type"] == "status"
}

fn boot_of(message: &Value) -> String {
    message["boot"].as_str().expect("a boot").to_owned()
}

/// Without a check, the history takes the victim's readings for known ones: it acknowledges and drops them.
#[test]
fn intruder_cannot_use_up_the_numbers_of_another_agent() {
    for scene in Scene::both() {
        for link in [0, 1] {
            let mut board = Board::new();
            let victim = scene.bench.agent(&scene.config("shed", "shed", &board));
            victim.wait_for_log("open at ", "");
            let boot = boot_of(&scene.wait_for("a status", "shed", is_status));
            let intruder = scene.intruder(link);
            for backlog in [false, true] {
                intruder.send_readings("shed", &boot, backlog, &[batch(1, 2_000)]);
            }
            scene.wait_until_refused(&intruder, "shed");
            let first = link as u64 * 500;
            write(&mut board, first..first + 500);
            scene.wait_until_stored("shed", first..first + 500);
            assert_eq!(scene.stored("shed", "climate"), BTreeSet::new(), "the intruder's readings");
            assert!(intruder.heard().iter().all(|control| control["type"] == "rejected"));
        }
    }
}

#[test]
fn intruder_cannot_hide_cameras_or_get_commands() {
    let jpeg = numbered(1);
    for scene in Scene::both() {
        let board = Board::new();
        let victim = scene.bench.agent(&scene.config("shed", "shed", &board));
        let is_frame = |message: &Value| message["type"] == "frame";
        let boot = boot_of(&scene.wait_for("a frame", "shed", is_frame));
        let intruders = [scene.intruder(0), scene.intruder(1)];
        for round in 0..20 {
            for intruder in &intruders {
                for boot in [&boot, "another"] {
                    intruder.send_status("shed", boot);
                    intruder.send_frame("shed", boot, "door", &jpeg);
                }
            }
            let wall = scene.on_the_wall("shed").expect("the victim");
            assert_eq!(wall["cameras"][0]["name"], "door", "{wall}");
            assert_eq!(wall["cameras"][0]["width"], 320, "{wall}");
            assert!(!wall.to_string().contains(&boot), "viewers see the boot");
            let fps = round + 1;
            let answer = post(&scene.receiver.page, "/api/cameras/shed/door", &json!({ "fps": fps }).to_string());
            assert_eq!(answer.status, 202, "{}", answer.text());
            scene.wait_for("the changed setting", "shed", |message| {
                is_status(message) && message["cameras"][0]["settings"]["fps"] == f64::from(fps)
            });
        }
        let seq = scene.wait_for("a frame", "shed", is_frame)["seq"].as_u64();
        scene.wait_for("the next frame", "shed", |message| is_frame(message) && message["seq"].as_u64() > seq);
        for intruder in &intruders {
            let heard = intruder.heard();
            assert!(!heard.is_empty() && heard.iter().all(|control| control["type"] == "rejected"), "{heard:?}");
        }
        let log = scene.receiver.program.log();
        assert!(log.matches("refused").count() <= 2, "{log}");
        assert_eq!(log.matches("restarted").count(), 0, "{log}");
        assert!(!victim.log().contains("refuses this agent"), "{}", victim.log());
    }
}

#[test]
fn second_name_on_a_connection_is_refused() {
    for scene in Scene::both() {
        let intruder = scene.intruder(0);
        intruder.send_status("pi", "b");
        intruder.send_status("yard", "b");
        scene.receiver.program.wait_for_log("as agent yard: its connection belongs to agent pi; ", "");
        assert!(scene.on_the_wall("pi").is_some());
        assert!(scene.on_the_wall("yard").is_none());
        let other = scene.intruder(0);
        other.send_status("yard", "b");
        scene.wait_for("a status over its own connection", "yard", is_status);
    }
}

/// An agent in a bench of its own.
struct Named {
    bench: Bench,
    board: Board,
    program: Program,
}

impl Named {
    fn start(scene: &Scene, name: &str) -> Named {
        Named::start_in(Bench::new(), scene, name)
    }

    fn start_in(bench: Bench, scene: &Scene, name: &str) -> Named {
        let board = Board::new();
        let program = bench.agent(&scene.config(name, "shed", &board));
        program.wait_for_log("open at ", "");
        Named { bench, board, program }
    }
}

#[test]
fn agents_with_one_name_are_kept_apart() {
    for scene in Scene::both() {
        let mut first = Named::start(&scene, "shed");
        let boot = boot_of(&scene.wait_for("a status", "shed", is_status));
        let mut others = [Named::start(&scene, "shed"), Named::start(&scene, "shed")];
        let key = if scene.is_encrypted {
            "have the same key: one at 127.0.0.1 (key shed)"
        } else {
            "named shed: one at 127.0.0.1"
        };
        scene.receiver.program.wait_for_log(&format!("{key} is connected, the other at "), "");
        for other in &others {
            other.program.wait_for_log("the receiver refuses this agent: another agent with its name is connected", "");
        }
        write(&mut first.board, 0..50);
        write(&mut others[0].board, 100..150);
        write(&mut others[1].board, 200..250);
        scene.wait_until_stored("shed", 0..50);
        // Only one is shown and stored, and the others' readings are not lost.
        assert!(scene.receiver.program.find_json(|message| boot_of(message) != boot).is_none());
        assert_eq!(scene.stored("shed", "gas"), (0..50).collect());
        let log = scene.receiver.program.log();
        assert!(log.matches("two agents are named").count() <= 2, "{log}");
        drop(first);
        let next = eventually("the next one", || {
            let next = scene.receiver.program.find_json(|message| is_status(message) && boot_of(message) != boot)?;
            Some(boot_of(&next))
        });
        eventually("its readings", || {
            let stored = scene.stored("shed", "gas");
            (stored.len() == 100).then_some(())
        });
        let is_third = |message: &Value| boot_of(message) != boot && boot_of(message) != next;
        assert!(scene.receiver.program.find_json(is_third).is_none());
        let [second, third] = others;
        let is_second = scene.stored("shed", "gas").contains(&100);
        drop(if is_second { second } else { third });
        eventually("the last one's readings", || (scene.stored("shed", "gas").len() == 150).then_some(()));
    }
}

#[test]
fn copied_spool_under_another_name_loses_nothing() {
    let scene = Scene::new(false);
    let mut board = Board::new();
    // Nothing listens at its address.
    let mut hub = Hub::new();
    hub.address = "tcp://127.0.0.1:1".into();
    let mut agent = spooling(&scene.bench, &board, &hub, "");
    agent.wait_for_log("open at ", "");
    write(&mut board, 0..40);
    waits_for(&scene.bench, 40);
    assert!(agent.terminate().0.success());
    let copy = Bench::new();
    fs::create_dir_all(copy.path("state/watchpost")).expect("a directory");
    let spool = "state/watchpost/spool.sqlite";
    fs::copy(scene.bench.path(spool), copy.path(spool)).expect("a spool");
    // Both now send to the receiver what waited for the hub.
    let boards = [Board::new(), Board::new()];
    let start = |bench: &Bench, name: &str, board: &Board| bench.agent(&scene.config(name, "shed", board));
    let _agents = [start(&scene.bench, "shed", &boards[0]), start(&copy, "barn", &boards[1])];
    scene.wait_until_stored("shed", 0..40);
    scene.wait_until_stored("barn", 0..40);
}

#[test]
fn restarted_agent_is_accepted_again_within_seconds() {
    for scene in Scene::both() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            let started = Instant::now();
            let mut named = Named::start_in(bench, &scene, "shed");
            let boot = named.program.wait_for_log("agent shed started, boot ", "");
            scene.wait_for("its status", "shed", |message| is_status(message) && message["boot"] == *boot);
            assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
            named.program.kill();
            bench = named.bench;
        }
        let log = scene.receiver.program.log();
        assert!(!log.contains("two agents"), "{log}");
    }
}

#[test]
fn agent_believes_no_ack_of_what_it_has_not_sent() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let mut agent = spooling(&bench, &board, &hub, "");
    hub.open();
    let boot = hub.peer().next()["boot"].clone();
    hub.close();
    agent.wait_for_log("open at ", "");
    write(&mut board, 0..50);
    waits_for(&bench, 50);
    assert!(agent.terminate().0.success());
    let agent = spooling(&bench, &board, &hub, "");
    // A hostile receiver acknowledges everything, also what no agent ever measured.
    let next = hub.open().wait_for("a status", is_status)["boot"].clone();
    let memory = agent.memory();
    for number in 0..20_000_u64 {
        hub.peer().send(&ack(&json!(format!("boot-{number}")), 1, number + 1));
    }
    for boot in [&boot, &next] {
        hub.peer().send(&ack(boot, 1, i64::MAX as u64));
        for number in 0..5_000 {
            hub.peer().send(&ack(boot, 10 * number + 1_000, 10 * number + 1_001));
        }
        hub.peer().send(&json!({ "type": "seen", "camera": "door", "boot": boot, "seq": u64::MAX }));
    }
    hub.peer().send(&json!({ "type": "set", "camera": "none", "fps": 1 }));
    hub.peer().wait_for("that it has read everything", |message| {
        is_status(message) && message["links"][0]["counts"]["unknown_cameras_requested"] == 1
    });
    let grown = agent.memory().saturating_sub(memory);
    assert!(grown < 8 << 20, "{grown} bytes more");
    hub.peer().send(&hello());
    take(hub.peer(), 0..50);
    write(&mut board, 50..100);
    take(hub.peer(), 50..100);
}
