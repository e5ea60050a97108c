use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::harness::{Agent, Bench, Fault, Unsent, batch};
use crate::history::{all, numbers};

/// What is not written then was not acknowledged.
#[test]
fn the_end_does_not_wait_for_a_slow_disk() {
    let bench = Bench::new();
    let mut receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    agent.sends(true, &[batch(1, 1)]);
    agent.is_told(1, 1);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync:delay_enter=30000000");
    agent.sends(true, &[batch(2, 2)]);
    receiver.program.says_json("it came", |message| message["batches"][0]["seq"] == 2);
    let start = Instant::now();
    receiver.program.signal(Signal::SIGTERM);
    receiver.program.logs("history: left behind", "");
    // Two, and what a busy machine takes; the process itself cannot end while strace holds it up.
    assert!(start.elapsed() < Duration::from_secs(3), "after {:?}", start.elapsed());
    fault.mend();
    assert!(receiver.program.wait().success());
}

#[test]
fn while_a_disk_fails_nothing_is_acknowledged_that_is_not_there_and_soon_afterwards_all_is() {
    for inject in ["fdatasync,fsync:error=EIO", "pwrite64:error=ENOSPC", "pwrite64:error=EIO"] {
        let bench = Bench::new();
        let receiver = bench.pair_receiver();
        let agent = Agent::on(&receiver);
        agent.sends(true, &[batch(1, 10)]);
        agent.is_told(1, 10);
        let fault = Fault::new(&receiver.program, inject);
        agent.sends(true, &[batch(11, 20)]);
        agent.sends(false, &[batch(21, 30)]);
        receiver.program.logs("history: readings cannot be stored in ", "; retrying every second");
        receiver.program.says_json("it runs on", |message| message["batches"][0]["seq"] == 21);
        // Three seconds of hellos without an ack; what is sent again is not there because it was sent.
        for _ in 0..3 {
            assert!(agent.greeted(), "{inject}");
            agent.sends(true, &[batch(5, 15)]);
        }
        fault.mend();
        let mended = Instant::now();
        agent.is_told(1, 30);
        assert!(mended.elapsed() < Duration::from_secs(5), "{inject}: {:?}", mended.elapsed());
        receiver.program.logs("history: storing readings in ", " again, after ");
        assert_eq!(numbers(&bench.history(), "shed", "b1"), all(30));
    }
}

#[test]
fn what_a_failing_disk_does_not_take_does_not_fill_memory_and_comes_again() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    agent.sends(true, &[batch(1, 1)]);
    agent.is_told(1, 1);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync:error=EIO");
    let mut unsent = Unsent::new(200_000);
    let mut next = 1;
    while let Some(behind) = unsent.send(&agent, next, 500) {
        next = behind;
    }
    receiver.program.logs("readings are not kept: they come faster than they are written", "");
    receiver.program.says_json("all came", |message| message["batches"][0]["seq"] == 199_501);
    assert!(receiver.program.memory() < 48 << 20, "{} bytes of memory", receiver.program.memory());
    fault.mend();
    unsent.finish(&agent);
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(200_000));
}

#[test]
fn a_file_that_is_damaged_or_taken_away_is_followed_by_a_new_one() {
    let bench = Bench::new();
    let path = bench.history();
    let aside = |number: u32| path.with_file_name(format!("history.sqlite.damaged-{number}"));
    fs::create_dir_all(path.parent().expect("a directory")).expect("a temporary directory");
    fs::write(&path, "no history").expect("a temporary file");
    let receiver = bench.pair_receiver();
    assert_eq!(fs::read(aside(1)).expect("what was there"), b"no history");
    let agent = Agent::on(&receiver);
    agent.sends(true, &[batch(1, 10)]);
    agent.is_told(1, 10);
    // Damage that is met while it runs.
    Connection::open(&path).and_then(|history| history.execute_batch("DROP TABLE readings")).expect("a history");
    agent.sends(true, &[batch(11, 20)]);
    agent.is_told(11, 20);
    assert_eq!(numbers(&path, "shed", "b1"), (11..=20).collect::<Vec<_>>());
    receiver.program.logs("history.sqlite could not be used (", "history.sqlite.damaged-2");
    assert!(aside(2).exists());
    fs::remove_file(&path).expect("a history");
    agent.sends(false, &[batch(21, 30)]);
    agent.is_told(21, 30);
    assert_eq!(numbers(&path, "shed", "b1"), (21..=30).collect::<Vec<_>>());
    // What only a start finds: the table is read but then.
    drop(receiver);
    Connection::open(&path).and_then(|history| history.execute_batch("DROP TABLE series")).expect("a history");
    let receiver = bench.pair_receiver();
    receiver.program.logs("history.sqlite could not be used (", "history.sqlite.damaged-3");
    let agent = Agent::on(&receiver);
    agent.sends(true, &[batch(31, 40)]);
    agent.is_told(31, 40);
}
