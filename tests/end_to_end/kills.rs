//! What is left of readings when agent and receiver are killed at any moment. A bench does the same many times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::harness::{Bench, Board, Program, Receiver, eventually, free_port};

/// What the board says so many times a second.
const LINES: u32 = 200;

/// What was measured so long before an agent is killed is on the disk.
const COMMITTED: Duration = Duration::from_secs(1);

/// A program lives between these, milliseconds.
const LIFE: std::ops::Range<u64> = 100..2_600;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Agent,
    Receiver,
    Both,
}

/// What became of the readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the history.
    pub kept: usize,
    /// Not there, though they were measured long enough before a kill.
    pub lost: usize,
    /// There more than once.
    pub twice: usize,
    /// Dated in another order than they were measured in.
    pub disordered: usize,
}

/// The moments from which on an agent hears its board, and until it is killed.
type Lives = Vec<(Instant, Instant)>;

/// Kills so often, at random moments, while a board speaks.
pub fn kill(killed: Killed, times: u32, seed: u64) -> Found {
    let (bench, board) = (Bench::in_memory(), Board::new());
    let path = board.path.display().to_string();
    let end = AtomicBool::new(false);
    let (said, lives) = scope(|scope| {
        let speaking = scope.spawn(|| speak(board, &end));
        let ends = Ends { bench: &bench, board: path, address: format!("tcp://127.0.0.1:{}", free_port()) };
        let lives = ends.kill(killed, times, &mut fastrand::Rng::with_seed(seed), &end);
        (speaking.join().expect("it ends"), lives)
    });
    found(&bench, &said, &lives)
}

/// Says numbers from 0 on; gives when each was said.
fn speak(mut board: Board, end: &AtomicBool) -> Vec<Instant> {
    let (start, mut said) = (Instant::now(), Vec::new());
    board.never_wait();
    while !end.load(Ordering::Relaxed) {
        // While nobody listens it is lost, as on a wire.
        let _ = board.try_write(format!("\nn-{}\n", said.len()).as_bytes());
        said.push(Instant::now());
        sleep((Duration::from_secs(1) * said.len() as u32 / LINES).saturating_sub(start.elapsed()));
    }
    said
}

struct Ends<'a> {
    bench: &'a Bench,
    board: String,
    address: String,
}

impl Ends<'_> {
    fn kill(&self, killed: Killed, times: u32, random: &mut fastrand::Rng, end: &AtomicBool) -> Lives {
        let (mut agent, mut receiver) = (self.agent(), self.receiver());
        let mut hears = Instant::now();
        let mut lives = Lives::new();
        for _ in 0..times {
            sleep(Duration::from_millis(random.u64(LIFE)));
            if killed != Killed::Receiver {
                lives.push((hears, Instant::now()));
                agent.kill();
            }
            if killed != Killed::Agent {
                receiver.program.kill();
                receiver = self.receiver();
            }
            if killed != Killed::Receiver {
                agent = self.agent();
                hears = Instant::now();
            }
        }
        sleep(2 * COMMITTED);
        lives.push((hears, Instant::now()));
        end.store(true, Ordering::Relaxed);
        let is_done = |status: &serde_json::Value| {
            let counts = &status["spool"]["counts"];
            counts["readings_in_memory"] == 0 && counts["readings_on_disk"] == 0
        };
        receiver.program.forget();
        receiver.program.says_json("everything was acknowledged", is_done);
        lives
    }

    fn agent(&self) -> Program {
        let (board, address) = (&self.board, &self.address);
        let agent = self.bench.agent(&format!(
            "serial = [{{ name = \"b\", port = \"{board}\" }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{address}\" }}]"
        ));
        agent.logs("open at", "");
        agent
    }

    fn receiver(&self) -> Receiver {
        self.bench.receiver(&format!("pattern = \"pair\"\nbind = \"{}\"", self.address))
    }
}

fn found(bench: &Bench, said: &[Instant], lives: &Lives) -> Found {
    let history = eventually("the history", || Connection::open(bench.history()).ok());
    let sql = "SELECT value FROM readings ORDER BY at_us, seq";
    let mut select = history.prepare(sql).expect("its tables");
    let values = select.query_map([], |row| row.get::<_, f64>(0)).expect("rows");
    let values: Vec<usize> = values.map(|value| value.expect("a number") as usize).collect();
    let mut times = BTreeMap::<usize, usize>::new();
    for value in &values {
        *times.entry(*value).or_default() += 1;
    }
    // A terminal keeps what is written until it is read: a life begins with what was said a moment before.
    let is_due = |at: &Instant| lives.iter().any(|(from, to)| *at > *from && *at + COMMITTED < *to);
    let due = said.iter().enumerate().filter(|(_, at)| is_due(at)).map(|(number, _)| number);
    Found {
        kept: values.len(),
        lost: due.filter(|number| !times.contains_key(number)).count(),
        twice: times.values().filter(|times| **times > 1).count(),
        disordered: values.windows(2).filter(|pair| pair[0] > pair[1]).count(),
    }
}

#[test]
fn whoever_is_killed_nothing_is_lost_and_nothing_is_there_twice() {
    scope(|scope| {
        for killed in [Killed::Agent, Killed::Receiver, Killed::Both] {
            scope.spawn(move || {
                let found = kill(killed, 4, 1);
                assert!(found.kept > 500, "{killed:?}: {found:?}");
                assert_eq!((found.lost, found.twice, found.disordered), (0, 0, 0), "{killed:?}: {found:?}");
            });
        }
    });
}
