//! Measures how soon frames flow again after a receiver is killed, an agent is killed, or the cable between them is cut, in
//! every pattern. Compares the survivor's memory, threads and descriptors before and after. Each end has its own network
//! namespace, which needs root.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::installed::peers_python;
use crate::harness::{Bench, Program};
use crate::network::{AGENT, Network, RECEIVER};
use crate::percentile;

/// How long the cable stays cut: long enough that the kernel gives the peer up.
const CUT_DURATION: Duration = Duration::from_secs(6);

/// How long both ends settle after a fault before their resources are counted.
const SETTLE_TIME: Duration = Duration::from_secs(1);

const PORT: u16 = 5561;

const MIB: f64 = 1024.0 * 1024.0;

/// The link tables of both ends.
struct Pattern {
    name: &'static str,
    agent: &'static str,
    receiver: Option<&'static str>,
}

/// `A` stands for the agent's address, `R` for the receiver's. The pattern without a receiver table uses imagezmq's hub.
const PATTERNS: [Pattern; 5] = [
    Pattern {
        name: "pair",
        agent: r#"pattern = "pair", connect = "R""#,
        receiver: Some(r#"pattern = "pair", bind = "R""#),
    },
    Pattern {
        name: "pair, agent bound",
        agent: r#"pattern = "pair", bind = "A""#,
        receiver: Some(r#"pattern = "pair", connect = "A""#),
    },
    Pattern {
        name: "dealer",
        agent: r#"pattern = "dealer", connect = "R""#,
        receiver: Some(r#"pattern = "router", bind = "R""#),
    },
    Pattern {
        name: "pub",
        agent: r#"pattern = "pub", bind = "A""#,
        receiver: Some(r#"pattern = "sub", connect = "A""#),
    },
    Pattern { name: "req", agent: r#"pattern = "req", format = "imagezmq", connect = "R""#, receiver: None },
];

/// The patterns that can be requested.
pub fn names() -> Vec<&'static str> {
    PATTERNS.iter().map(|pattern| pattern.name).collect()
}

/// Injects each fault `times` times in each of the patterns `only`, or in every pattern if it is empty.
pub fn run(times: u32, only: &[&str]) {
    println!(
        "Seconds until frames flow again, {times} times each; goal: 5. The survivor's resources before and after\n"
    );
    println!("{:<20}{:<18}{:>7}{:>6}   {:<16}{:<12}descriptors", "", "", "median", "max", "MiB", "threads");
    for pattern in PATTERNS.iter().filter(|pattern| only.is_empty() || only.contains(&pattern.name)) {
        let mut ends = Ends::start(pattern);
        ends.fault("receiver killed", times, |ends| ends.receiver = None);
        ends.fault("agent killed", times, |ends| ends.agent = None);
        ends.fault("cable cut", times, |ends| {
            ends.network.cable("down");
            sleep(CUT_DURATION);
            ends.network.cable("up");
        });
    }
}

/// An agent and a receiver, each in its own namespace.
struct Ends {
    pattern: &'static Pattern,
    bench: Bench,
    agent: Option<Program>,
    receiver: Option<Program>,
    // Last: a namespace can be removed only after its programs have ended.
    network: Network,
}

impl Ends {
    fn start(pattern: &'static Pattern) -> Ends {
        let mut ends = Ends { pattern, bench: Bench::new(), agent: None, receiver: None, network: Network::new() };
        ends.start_missing();
        ends.wait_for_frame();
        ends
    }

    /// Starts the end that a fault killed.
    fn start_missing(&mut self) {
        let link = |link: &str| {
            let link = link.replace('A', &format!("tcp://{AGENT}:{PORT}"));
            format!("{}, plaintext = true", link.replace('R', &format!("tcp://{RECEIVER}:{PORT}")))
        };
        if self.receiver.is_none() {
            self.receiver = Some(if let Some(table) = self.pattern.receiver {
                let config = format!("link = [{{ {} }}]\nweb.listen = \"127.0.0.1:0\"\n", link(table));
                self.program("r", &config, &["receive", "--json"])
            } else {
                let hub = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/image_hub.py");
                let address = format!("tcp://{RECEIVER}:{PORT}");
                Program::start(
                    self.network.within("r").arg(peers_python().get_program()).args(["-u", hub, &address, "answers"]),
                )
            });
        }
        if self.agent.is_none() {
            let camera = r#"camera = [{ name = "c", source = "pattern", fps = 30 }]"#;
            let config = format!("name = \"a\"\n{camera}\nlink = [{{ {} }}]\n", link(self.pattern.agent));
            self.agent = Some(self.program("a", &config, &["run"]));
        }
    }

    fn program(&self, name: &str, config: &str, arguments: &[&str]) -> Program {
        let path = self.bench.path(name);
        std::fs::write(&path, config).expect("a temporary file");
        let mut command = self.network.within(name);
        command.arg(env!("CARGO_BIN_EXE_watchpost")).args(arguments).arg("--config").arg(path);
        Program::start(command.env("XDG_STATE_HOME", self.bench.path("state")))
    }

    /// Waits for the next frame.
    fn wait_for_frame(&self) {
        let receiver = self.receiver.as_ref().expect("the receiver runs");
        receiver.clear_output();
        receiver.wait_for_json("a frame", |message| message["type"] == "frame" || message["msg"] == "a c");
    }

    /// Injects a fault `times` times and prints a line about it.
    fn fault(&mut self, name: &str, times: u32, inject: impl Fn(&mut Ends)) {
        let (mut recoveries, mut before) = (Vec::new(), None);
        for _ in 0..times {
            inject(self);
            let healed = Instant::now();
            self.start_missing();
            self.wait_for_frame();
            recoveries.push(healed.elapsed());
            // The first fault of a kind may allocate buffers that stay.
            if before.is_none() {
                sleep(SETTLE_TIME);
                before = Some(self.resources(name));
            }
        }
        sleep(SETTLE_TIME);
        let (before, after) = (before.expect("at least one fault"), self.resources(name));
        recoveries.sort();
        let at = |share| percentile(&recoveries, share).as_secs_f64();
        println!(
            "{:<20}{name:<18}{:>7.2}{:>6.2}   {:<16}{:<12}{} {}",
            self.pattern.name,
            at(0.5),
            at(1.0),
            format!("{:.2} {:.2}", before.0, after.0),
            format!("{} {}", before.1, after.1),
            before.2,
            after.2
        );
    }

    /// Memory in MiB, threads and descriptors of the surviving end; of the agent if both survive.
    fn resources(&self, fault: &str) -> (f64, usize, usize) {
        let survivor = if fault == "agent killed" { &self.receiver } else { &self.agent };
        let survivor = survivor.as_ref().expect("it survived");
        (survivor.memory() as f64 / MIB, survivor.threads(), survivor.descriptors())
    }
}
