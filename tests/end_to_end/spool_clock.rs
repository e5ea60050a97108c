use std::ops::Range;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::hub::{Hub, seq, spooling_of, take, value, waits_for};
use crate::harness::{Bench, Board, Clock, Program, eventually, now_us};

const HOUR: i64 = 3600;

/// A machine with a board and a wall clock of its own, whose receiver is not there yet.
struct Machine {
    bench: Bench,
    board: Board,
    hub: Hub,
    clock: Clock,
    agent: Option<Program>,
    /// What its configuration says of the spool.
    spool: &'static str,
    /// When each reading was taken, by the right clock: microseconds.
    taken: Vec<Range<i64>>,
}

/// From a clock that is right to one that begins in 1970.
fn to_1970() -> i64 {
    -now_us() / 1_000_000
}

impl Machine {
    /// Its clock is so many seconds from the right one, and synchronised or not.
    fn new(seconds: i64, synchronised: bool) -> Machine {
        let bench = Bench::new();
        let clock = Clock::new(&bench);
        clock.set(seconds, synchronised, "first");
        let machine =
            Machine { board: Board::new(), hub: Hub::new(), clock, agent: None, spool: "", taken: Vec::new(), bench };
        machine.started()
    }

    fn started(mut self) -> Machine {
        let agent = spooling_of(self.clock.watchpost(), &self.bench, &self.board, &self.hub, self.spool);
        agent.logs("open at", "");
        self.agent = Some(agent);
        self
    }

    fn killed(mut self) -> Machine {
        let mut agent = self.agent.take().expect("it runs");
        agent.kill();
        self
    }

    /// The power goes, and the machine boots with such a clock.
    fn boots(self, seconds: i64, synchronised: bool) -> Machine {
        let machine = self.killed();
        machine.clock.set(seconds, synchronised, "second");
        machine.started()
    }

    /// Measures the next number, which is then on the disk.
    fn measure(&mut self) {
        let (start, number) = (now_us(), self.taken.len() as u64 + 1);
        self.board.say(&format!("n-{number}"));
        waits_for(&self.bench, number);
        self.taken.push(start..now_us());
    }

    /// Sets the clock, and measures until that shows in how readings are marked.
    fn set(&mut self, seconds: i64, synchronised: bool) {
        self.clock.set(seconds, synchronised, "first");
        eventually("the agent has looked at the clock", || {
            self.measure();
            let path = self.bench.path("state/watchpost/spool.sqlite");
            let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a spool");
            let newest = "SELECT synchronised FROM batches ORDER BY start DESC, seq DESC LIMIT 1";
            let is = file.query_row(newest, [], |row| row.get::<_, bool>(0)).expect("a reading");
            (is == synchronised).then_some(())
        });
    }

    /// The receiver comes: all that was measured, in that order, as it came in each start of the agent.
    fn delivers(&mut self) -> Vec<Value> {
        let all = 1..=self.taken.len() as u64;
        let mut came = take(self.hub.open(), all.clone());
        // What this start has in memory may come before what is older.
        let newest = came.iter().max_by_key(|reading| value(reading)).expect("something")["boot"].clone();
        came.sort_by_key(|reading| reading["boot"] == newest);
        assert_eq!(came.iter().map(value).collect::<Vec<_>>(), all.collect::<Vec<_>>(), "in order, once");
        came
    }

    /// A reading is dated right but for so many seconds.
    #[track_caller]
    fn is_dated(&self, reading: &Value, seconds: i64) {
        let taken = &self.taken[value(reading) as usize - 1];
        let date = reading["captured_at_us"].as_i64().expect("a number") - seconds * 1_000_000;
        // The clock that was wrong is whole seconds from the right one; what is reckoned is exact to less than this.
        let exact = 20_000;
        assert!((taken.start - exact..taken.end + exact).contains(&date), "{date} in {taken:?}: {reading}");
    }
}

fn is_synchronised(reading: &Value) -> bool {
    reading["synchronised"] != json!(false)
}

fn has_age(reading: &Value) -> bool {
    reading["age_ms"].as_u64().is_some_and(|age| age < 60_000)
}

#[test]
fn what_was_measured_in_1970_is_dated_right_once_the_clock_is() {
    let mut machine = Machine::new(to_1970(), false);
    machine.measure();
    machine.measure();
    machine.set(0, true);
    let came = machine.delivers();
    for reading in &came {
        machine.is_dated(reading, 0);
        assert!(is_synchronised(reading) && has_age(reading), "{reading}");
    }
    assert!(came.is_sorted_by_key(seq));
}

#[test]
fn what_was_measured_by_a_clock_that_is_never_set_says_so_and_how_old_it_is() {
    let seconds = to_1970();
    let mut machine = Machine::new(seconds, false);
    machine.measure();
    // Its monotonic clock runs on when only the agent starts anew.
    let mut machine = machine.killed().started();
    machine.measure();
    for reading in &machine.delivers() {
        machine.is_dated(reading, seconds);
        assert!(!is_synchronised(reading) && has_age(reading), "{reading}");
    }
}

#[test]
fn a_clock_that_jumps_reorders_and_loses_nothing() {
    let mut machine = Machine::new(0, true);
    let jumps = [0, HOUR, -HOUR, 0];
    for seconds in jumps {
        machine.clock.set(seconds, true, "first");
        machine.measure();
    }
    let came = machine.delivers();
    assert!(came.is_sorted_by_key(seq));
    for (reading, seconds) in came.iter().zip(jumps) {
        machine.is_dated(reading, seconds);
        assert!(is_synchronised(reading) && has_age(reading), "{reading}");
    }
}

#[test]
fn how_old_a_reading_of_an_earlier_boot_is_takes_two_clocks_that_were_right() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let seconds = |right: bool| if right { 0 } else { to_1970() };
        let was = seconds(first);
        let mut machine = Machine::new(was, first);
        machine.measure();
        let mut machine = machine.boots(seconds(second), second);
        machine.measure();
        let came = machine.delivers();
        machine.is_dated(&came[0], was);
        assert_eq!(is_synchronised(&came[0]), first, "{first} {second}: {}", came[0]);
        assert_eq!(has_age(&came[0]), first && second, "{first} {second}: {}", came[0]);
        assert!(first && second || came[0]["age_ms"].is_null(), "{first} {second}: {}", came[0]);
        assert!(has_age(&came[1]), "{}", came[1]);
    }
}

#[test]
fn nothing_goes_for_its_age_while_that_is_not_known() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut machine = Machine::new(if first { 0 } else { to_1970() }, first);
        machine.measure();
        machine.spool = "spool = { keep = \"1ms\" }";
        let mut machine = machine.boots(if second { 0 } else { HOUR }, second);
        if first && second {
            waits_for(&machine.bench, 0);
        } else {
            machine.delivers();
        }
    }
}

#[test]
fn that_the_clock_was_set_outlives_the_machine_being_switched_off() {
    let mut machine = Machine::new(to_1970(), false);
    machine.measure();
    machine.set(0, true);
    let mut machine = machine.boots(0, true);
    let came = machine.delivers();
    machine.is_dated(&came[0], 0);
    assert!(is_synchronised(&came[0]) && has_age(&came[0]), "{}", came[0]);
}
