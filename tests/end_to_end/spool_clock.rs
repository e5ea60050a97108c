use std::ops::Range;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::hub::{Hub, seq, spooling_of, take, value, waits_for};
use crate::harness::{Bench, Board, Clock, Program, eventually, now_us};

const HOUR: i64 = 3600;

/// A machine with a board and its own wall clock, whose receiver is not running yet.
struct Machine {
    bench: Bench,
    board: Board,
    hub: Hub,
    clock: Clock,
    agent: Option<Program>,
    /// The spool's line in its configuration, or empty.
    spool: &'static str,
    /// When each reading was measured by the correct clock, in microseconds.
    measured: Vec<Range<i64>>,
}

/// Seconds from the correct time to 1970.
fn to_1970() -> i64 {
    -now_us() / 1_000_000
}

impl Machine {
    /// Starts an agent on a machine whose clock is off by `seconds`.
    fn new(seconds: i64, synchronised: bool) -> Machine {
        let bench = Bench::new();
        let clock = Clock::new(&bench);
        clock.set(seconds, synchronised, "first");
        let machine = Machine {
            board: Board::new(),
            hub: Hub::new(),
            clock,
            agent: None,
            spool: "",
            measured: Vec::new(),
            bench,
        };
        machine.started()
    }

    fn started(mut self) -> Machine {
        let agent = spooling_of(self.clock.watchpost(), &self.bench, &self.board, &self.hub, self.spool);
        agent.wait_for_log("open at", "");
        self.agent = Some(agent);
        self
    }

    fn killed(mut self) -> Machine {
        let mut agent = self.agent.take().expect("it runs");
        agent.kill();
        self
    }

    /// Cuts the power and boots with a clock that is off by `seconds`.
    fn rebooted(self, seconds: i64, synchronised: bool) -> Machine {
        let machine = self.killed();
        machine.clock.set(seconds, synchronised, "second");
        machine.started()
    }

    /// Measures the next number and waits until it is on the disk.
    fn measure(&mut self) {
        let (start, number) = (now_us(), self.measured.len() as u64 + 1);
        self.board.write_line(&format!("n-{number}"));
        waits_for(&self.bench, number);
        self.measured.push(start..now_us());
    }

    /// Sets the clock, and measures until readings are marked accordingly.
    fn set(&mut self, seconds: i64, synchronised: bool) {
        self.clock.set(seconds, synchronised, "first");
        eventually("the clock's state in a reading", || {
            self.measure();
            let path = self.bench.path("state/watchpost/spool.sqlite");
            let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a spool");
            let newest = "SELECT synchronised FROM batches ORDER BY start DESC, seq DESC LIMIT 1";
            let is_synchronised = file.query_row(newest, [], |row| row.get::<_, bool>(0)).expect("a reading");
            (is_synchronised == synchronised).then_some(())
        });
    }

    /// Connects the receiver and returns all readings, which must arrive in order for each start of the agent.
    fn deliver(&mut self) -> Vec<Value> {
        let all = 1..=self.measured.len() as u64;
        let mut received = take(self.hub.open(), all.clone());
        // Readings in this start's memory may arrive before older ones.
        let newest = received.iter().max_by_key(|reading| value(reading)).expect("a reading")["boot"].clone();
        received.sort_by_key(|reading| reading["boot"] == newest);
        assert_eq!(received.iter().map(value).collect::<Vec<_>>(), all.collect::<Vec<_>>(), "in order, once");
        received
    }

    /// Asserts that a reading's date is off by `seconds`.
    #[track_caller]
    fn assert_dated(&self, reading: &Value, seconds: i64) {
        let measured = &self.measured[value(reading) as usize - 1];
        let date = reading["captured_at_us"].as_i64().expect("a number") - seconds * 1_000_000;
        // Clocks are off by whole seconds; the agent's estimate must be more exact than this.
        let tolerance = 20_000;
        assert!(
            (measured.start - tolerance..measured.end + tolerance).contains(&date),
            "{date} in {measured:?}: {reading}"
        );
    }
}

fn is_synchronised(reading: &Value) -> bool {
    reading["synchronised"] != json!(false)
}

fn has_age(reading: &Value) -> bool {
    reading["age_ms"].as_u64().is_some_and(|age| age < 60_000)
}

#[test]
fn readings_from_1970_are_redated_once_the_clock_is_set() {
    let mut machine = Machine::new(to_1970(), false);
    machine.measure();
    machine.measure();
    machine.set(0, true);
    let received = machine.deliver();
    for reading in &received {
        machine.assert_dated(reading, 0);
        assert!(is_synchronised(reading) && has_age(reading), "{reading}");
    }
    assert!(received.is_sorted_by_key(seq));
}

#[test]
fn readings_of_an_unset_clock_are_marked_and_have_an_age() {
    let seconds = to_1970();
    let mut machine = Machine::new(seconds, false);
    machine.measure();
    // The monotonic clock continues when only the agent restarts.
    let mut machine = machine.killed().started();
    machine.measure();
    for reading in &machine.deliver() {
        machine.assert_dated(reading, seconds);
        assert!(!is_synchronised(reading) && has_age(reading), "{reading}");
    }
}

#[test]
fn clock_jumps_do_not_reorder_or_lose_readings() {
    let mut machine = Machine::new(0, true);
    let jumps = [0, HOUR, -HOUR, 0];
    for seconds in jumps {
        machine.clock.set(seconds, true, "first");
        machine.measure();
    }
    let received = machine.deliver();
    assert!(received.is_sorted_by_key(seq));
    for (reading, seconds) in received.iter().zip(jumps) {
        machine.assert_dated(reading, seconds);
        assert!(is_synchronised(reading) && has_age(reading), "{reading}");
    }
}

#[test]
fn age_across_boots_needs_both_clocks_synchronised() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let seconds = |right: bool| if right { 0 } else { to_1970() };
        let first_offset = seconds(first);
        let mut machine = Machine::new(first_offset, first);
        machine.measure();
        let mut machine = machine.rebooted(seconds(second), second);
        machine.measure();
        let received = machine.deliver();
        machine.assert_dated(&received[0], first_offset);
        assert_eq!(is_synchronised(&received[0]), first, "{first} {second}: {}", received[0]);
        assert_eq!(has_age(&received[0]), first && second, "{first} {second}: {}", received[0]);
        assert!(first && second || received[0]["age_ms"].is_null(), "{first} {second}: {}", received[0]);
        assert!(has_age(&received[1]), "{}", received[1]);
    }
}

#[test]
fn readings_of_unknown_age_do_not_expire() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut machine = Machine::new(if first { 0 } else { to_1970() }, first);
        machine.measure();
        machine.spool = "spool = { keep = \"1ms\" }";
        let mut machine = machine.rebooted(if second { 0 } else { HOUR }, second);
        if first && second {
            waits_for(&machine.bench, 0);
        } else {
            machine.deliver();
        }
    }
}

#[test]
fn clock_correction_survives_a_power_cut() {
    let mut machine = Machine::new(to_1970(), false);
    machine.measure();
    machine.set(0, true);
    let mut machine = machine.rebooted(0, true);
    let received = machine.deliver();
    machine.assert_dated(&received[0], 0);
    assert!(is_synchronised(&received[0]) && has_age(&received[0]), "{}", received[0]);
}
