//! Kills agents and receivers at random moments and looks for lost or duplicate readings. An endurance test uses it, too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::harness::{Bench, Board, Program, Receiver, eventually, free_port};

/// Lines that the board writes per second.
const LINES_PER_SECOND: u32 = 200;

/// Readings of this age are on the disk when the agent is killed.
const COMMITTED: Duration = Duration::from_secs(1);

/// The time before each kill, in milliseconds.
const LIFETIME_MS: std::ops::Range<u64> = 100..2_600;

/// The programs that are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Agent,
    Receiver,
    Both,
}

/// The outcome for the readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows in the history.
    pub kept: usize,
    /// Missing, although they were measured long enough before a kill.
    pub lost: usize,
    /// Stored more than once.
    pub twice: usize,
    /// Dated in a different order than they were measured.
    pub disordered: usize,
}

/// For each agent process: when it has opened its port, and when it is killed; earlier by the time for which it waited for a
/// processor.
type Lives = Vec<(Instant, Instant)>;

/// Kills the programs `times` times at random moments, while a board sends readings.
pub fn kill(killed: Killed, times: u32, seed: u64) -> Found {
    let (bench, board) = (Bench::in_memory(), Board::new());
    let path = board.path.display().to_string();
    let end = AtomicBool::new(false);
    let (sent, lives) = scope(|scope| {
        let board_thread = scope.spawn(|| write_numbers(board, &end));
        let ends = Ends { bench: &bench, board: path, address: format!("tcp://127.0.0.1:{}", free_port()) };
        let lives = ends.kill(killed, times, &mut fastrand::Rng::with_seed(seed), &end);
        (board_thread.join().expect("the board's thread finishes"), lives)
    });
    evaluate(&bench, &sent, &lives)
}

/// Writes the numbers from 0 on; returns when each was written. Without a reader numbers are lost, as on a wire.
fn write_numbers(mut board: Board, end: &AtomicBool) -> Vec<Option<Instant>> {
    let (start, mut sent, mut rest) = (Instant::now(), Vec::new(), Vec::new());
    board.set_nonblocking();
    while !end.load(Ordering::Relaxed) {
        // The rest of a line that did not fit comes first: its beginning alone would be another number.
        let is_next = rest.is_empty();
        if is_next {
            rest = format!("\nn-{}\n", sent.len()).into_bytes();
        }
        let written = board.try_write(&rest).unwrap_or(0);
        rest.drain(..written);
        sent.push((is_next && rest.is_empty()).then(Instant::now));
        sleep((Duration::from_secs(1) * sent.len() as u32 / LINES_PER_SECOND).saturating_sub(start.elapsed()));
    }
    sent
}

struct Ends<'a> {
    bench: &'a Bench,
    board: String,
    address: String,
}

impl Ends<'_> {
    fn kill(&self, killed: Killed, times: u32, random: &mut fastrand::Rng, end: &AtomicBool) -> Lives {
        let (mut agent, mut receiver) = (self.agent(), self.receiver());
        let (mut since, mut stopwatch) = (Instant::now(), agent.stopwatch());
        let mut lives = Lives::new();
        for _ in 0..times {
            sleep(Duration::from_millis(random.u64(LIFETIME_MS)));
            if killed != Killed::Receiver {
                lives.push((since, since + stopwatch.elapsed()));
                agent.kill();
            }
            if killed != Killed::Agent {
                receiver.program.kill();
                receiver = self.receiver();
            }
            if killed != Killed::Receiver {
                agent = self.agent();
                (since, stopwatch) = (Instant::now(), agent.stopwatch());
            }
        }
        sleep(2 * COMMITTED);
        lives.push((since, Instant::now()));
        end.store(true, Ordering::Relaxed);
        let is_done = |status: &serde_json::Value| {
            let counts = &status["spool"]["counts"];
            counts["readings_in_memory"] == 0 && counts["readings_on_disk"] == 0
        };
        receiver.program.clear_output();
        receiver.program.wait_for_json("an ack for every reading", is_done);
        lives
    }

    fn agent(&self) -> Program {
        let (board, address) = (&self.board, &self.address);
        let agent = self.bench.agent(&format!(
            "serial = [{{ name = \"b\", port = \"{board}\" }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{address}\" }}]"
        ));
        agent.wait_for_log("open at", "");
        agent
    }

    fn receiver(&self) -> Receiver {
        self.bench.receiver(&format!("pattern = \"pair\"\nbind = \"{}\"", self.address))
    }
}

fn evaluate(bench: &Bench, sent: &[Option<Instant>], lives: &Lives) -> Found {
    let history = eventually("the history", || Connection::open(bench.history()).ok());
    let sql = "SELECT value FROM readings ORDER BY at_us, seq";
    let mut select = history.prepare(sql).expect("its tables");
    let values = select.query_map([], |row| row.get::<_, f64>(0)).expect("rows");
    let values: Vec<usize> = values.map(|value| value.expect("a number") as usize).collect();
    let mut times = BTreeMap::<usize, usize>::new();
    for value in &values {
        *times.entry(*value).or_default() += 1;
    }
    // Numbers from just before an agent starts may arrive, too: the terminal buffers them. They do not count as due.
    let is_due = |at: &Instant| lives.iter().any(|(from, to)| *at > *from && *at + COMMITTED < *to);
    let due = sent.iter().enumerate().filter(|(_, at)| at.as_ref().is_some_and(is_due)).map(|(number, _)| number);
    Found {
        kept: values.len(),
        lost: due.filter(|number| !times.contains_key(number)).count(),
        twice: times.values().filter(|times| **times > 1).count(),
        disordered: values.windows(2).filter(|pair| pair[0] > pair[1]).count(),
    }
}

#[test]
fn kills_lose_and_duplicate_no_readings() {
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
