//! How soon frames flow again when a receiver is killed, when an agent is, and when the cable between them was cut, each
//! many times in every pattern; and whether the one that lives on keeps its memory, threads and descriptors. The two
//! have a network namespace each, so it has to be root who runs it: `cargo bench --bench cuts -- --times 100`, perhaps with
//! the names of some patterns.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/end_to_end/harness/mod.rs"]
mod harness;
#[path = "../network/mod.rs"]
mod network;

use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::program::PEERS_PYTHON;
use harness::{Bench, Program};
use network::{AGENT, Network, RECEIVER};

/// The cable stays cut for longer than the kernel looks for a peer that is silent.
const CUT: Duration = Duration::from_secs(6);

/// Time enough for what is left of a fault, when it is told whether something grew.
const SETTLED: Duration = Duration::from_secs(1);

const PORT: u16 = 5561;

const MIB: f64 = 1024.0 * 1024.0;

/// What the two ends have as their link.
struct Pattern {
    name: &'static str,
    agent: &'static str,
    receiver: Option<&'static str>,
}

/// `A` is the agent's address, `R` the receiver's. Without a receiver of ours it is imagezmq's hub.
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

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let times = arguments.iter().skip_while(|argument| *argument != "--times").nth(1);
    let times = times.map_or(10, |times| times.parse().expect("--times N"));
    println!("Back within, seconds, {times} times each; wanted: 5. What lives on, before and after\n");
    println!("{:<20}{:<18}{:>6}{:>6}   {:<16}{:<12}descriptors", "", "", "half", "all", "MiB", "threads");
    let is_named = |pattern: &&Pattern| arguments.iter().any(|argument| argument == pattern.name);
    let named: Vec<&Pattern> = PATTERNS.iter().filter(is_named).collect();
    let all = PATTERNS.iter().filter(|_| named.is_empty());
    for pattern in all.chain(named.iter().copied()) {
        let mut ends = Ends::start(pattern);
        ends.fault("receiver killed", times, |ends| ends.receiver = None);
        ends.fault("agent killed", times, |ends| ends.agent = None);
        ends.fault("cable cut", times, |ends| {
            ends.network.cable("down");
            sleep(CUT);
            ends.network.cable("up");
        });
    }
}

/// An agent and a receiver, each in its namespace.
struct Ends {
    pattern: &'static Pattern,
    bench: Bench,
    agent: Option<Program>,
    receiver: Option<Program>,
    // Last: it goes when nobody is in it.
    network: Network,
}

impl Ends {
    fn start(pattern: &'static Pattern) -> Ends {
        let mut ends = Ends { pattern, bench: Bench::new(), agent: None, receiver: None, network: Network::new() };
        ends.start_what_is_missing();
        ends.receives();
        ends
    }

    fn start_what_is_missing(&mut self) {
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
                Program::start(self.network.within("r").args([PEERS_PYTHON, "-u", hub, &address, "answers"]))
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
    fn receives(&self) {
        let receiver = self.receiver.as_ref().expect("it is there");
        receiver.forget();
        receiver.says_json("a frame", |message| message["type"] == "frame" || message["msg"] == "a c");
    }

    fn fault(&mut self, what: &str, times: u32, fault: impl Fn(&mut Ends)) {
        let (mut back, mut before) = (Vec::new(), None);
        for _ in 0..times {
            fault(self);
            let healed = Instant::now();
            self.start_what_is_missing();
            self.receives();
            back.push(healed.elapsed());
            // The first one of a kind may take what it keeps.
            if before.is_none() {
                sleep(SETTLED);
                before = Some(self.used(what));
            }
        }
        sleep(SETTLED);
        let (before, after) = (before.expect("at least once"), self.used(what));
        back.sort();
        let at = |share: f64| back[((back.len() - 1) as f64 * share) as usize].as_secs_f64();
        println!(
            "{:<20}{what:<18}{:>6.2}{:>6.2}   {:<16}{:<12}{} {}",
            self.pattern.name,
            at(0.5),
            at(1.0),
            format!("{:.2} {:.2}", before.0, after.0),
            format!("{} {}", before.1, after.1),
            before.2,
            after.2
        );
    }

    /// Memory in MiB, threads and descriptors of the one that lives on; the agent, when both do.
    fn used(&self, what: &str) -> (f64, usize, usize) {
        let lives = if what == "agent killed" { &self.receiver } else { &self.agent };
        let lives = lives.as_ref().expect("it is there");
        (lives.memory() as f64 / MIB, lives.threads(), lives.descriptors())
    }
}
