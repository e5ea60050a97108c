use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::harness::http::get;
use crate::harness::{Bench, FakeAgent, Fault, Unacknowledged, batch};
use crate::history::{all, numbers};

/// Readings that are not written yet are not acknowledged, so nothing is lost.
#[test]
fn shutdown_does_not_wait_for_a_slow_disk() {
    let bench = Bench::in_memory();
    let mut receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(1, 1)]);
    agent.expect_ack(1, 1);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync:delay_enter=30000000");
    agent.send(true, &[batch(2, 2)]);
    receiver.program.wait_for_json("the batch", |message| message["batches"][0]["seq"] == 2);
    let mut stopwatch = receiver.program.stopwatch();
    receiver.program.signal(Signal::SIGTERM);
    receiver.program.wait_for_log("history: the disk takes too long", "");
    // The limit is 2 s. The process itself cannot exit while strace delays it.
    let took = stopwatch.elapsed();
    assert!(took < Duration::from_secs(3), "after {took:?}");
    fault.repair();
    assert!(receiver.program.wait().success());
}

#[test]
fn failing_disk_delays_acks_until_readings_are_written() {
    for inject in ["fdatasync,fsync:error=EIO", "pwrite64:error=ENOSPC", "pwrite64:error=EIO"] {
        let bench = Bench::in_memory();
        let receiver = bench.pair_receiver();
        let agent = FakeAgent::on(&receiver);
        agent.send(true, &[batch(1, 10)]);
        agent.expect_ack(1, 10);
        let fault = Fault::new(&receiver.program, inject);
        agent.send(true, &[batch(11, 20)]);
        agent.send(false, &[batch(21, 30)]);
        receiver.program.wait_for_log("history: readings cannot be stored in ", "; retrying every second");
        receiver.program.wait_for_json("messages during the fault", |message| message["batches"][0]["seq"] == 21);
        // Three seconds of hellos without an ack, although readings are resent.
        for _ in 0..3 {
            assert!(agent.hello_promises_acks(), "{inject}");
            agent.send(true, &[batch(5, 15)]);
        }
        fault.repair();
        let mut repaired = receiver.program.stopwatch();
        agent.expect_ack(1, 30);
        let took = repaired.elapsed();
        assert!(took < Duration::from_secs(5), "{inject}: {took:?}");
        receiver.program.wait_for_log("history: storing readings in ", " again, after ");
        assert_eq!(numbers(&bench.history(), "shed", "b1"), all(30));
    }
}

#[test]
fn failing_disk_does_not_fill_memory_or_lose_readings() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(1, 1)]);
    agent.expect_ack(1, 1);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync:error=EIO");
    let mut unsent = Unacknowledged::new(200_000);
    let mut next = 1;
    while let Some(following) = unsent.send(&agent, next, 500) {
        next = following;
    }
    receiver.program.wait_for_log("readings not stored: they arrive faster than the disk can store them", "");
    receiver.program.wait_for_json("the last batch", |message| message["batches"][0]["seq"] == 199_501);
    assert!(receiver.program.memory() < 48 << 20, "{} bytes of memory", receiver.program.memory());
    fault.repair();
    unsent.send_until_acked(&agent);
    assert_eq!(numbers(&bench.history(), "shed", "b1"), all(200_000));
}

#[test]
fn flood_leaves_other_agents_a_share_of_the_queue() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let flood = FakeAgent::new(zmq::DEALER, &receiver.link, "flood", "b1");
    flood.send(true, &[batch(1, 1)]);
    flood.expect_ack(1, 1);
    let fault = Fault::new(&receiver.program, "fdatasync,fsync:error=EIO");
    let unsent = Unacknowledged::new(200_000);
    let mut next = 1;
    while let Some(following) = unsent.send(&flood, next, 500) {
        next = following;
    }
    receiver.program.wait_for_log("readings not stored: they arrive faster than the disk can store them", "");
    let refusals = || {
        let metrics = get(&receiver.page, "/metrics").text();
        let (_, rest) = metrics.split_once("watchpost_quota_refused_total{quota=\"history_queue_bytes\"} ")?;
        rest.lines().next()?.parse::<u64>().ok()
    };
    receiver.program.wait_for_json("the last batch", |message| message["batches"][0]["seq"] == 199_501);
    let before = refusals();
    let good = FakeAgent::new(zmq::DEALER, &receiver.link, "good", "b1");
    good.send(true, &[batch(1, 100)]);
    receiver.program.wait_for_json("the good agent's message", |message| message["agent"] == "good");
    fault.repair();
    good.expect_ack(1, 100);
    assert!(before > Some(0) && refusals() == before, "{before:?} {:?}", refusals());
}

#[test]
fn damaged_or_removed_history_is_replaced() {
    let bench = Bench::new();
    let path = bench.history();
    let aside = |number: u32| path.with_file_name(format!("history.sqlite.damaged-{number}"));
    fs::create_dir_all(path.parent().expect("a directory")).expect("a temporary directory");
    fs::write(&path, "no history").expect("a temporary file");
    let receiver = bench.pair_receiver();
    assert_eq!(fs::read(aside(1)).expect("the unusable file"), b"no history");
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(1, 10)]);
    agent.expect_ack(1, 10);
    // Damage found while the receiver runs.
    Connection::open(&path).and_then(|history| history.execute_batch("DROP TABLE readings")).expect("a history");
    agent.send(true, &[batch(11, 20)]);
    agent.expect_ack(11, 20);
    assert_eq!(numbers(&path, "shed", "b1"), (11..=20).collect::<Vec<_>>());
    receiver.program.wait_for_log("history.sqlite could not be used (", "history.sqlite.damaged-2");
    assert!(aside(2).exists());
    fs::remove_file(&path).expect("a history");
    agent.send(false, &[batch(21, 30)]);
    agent.expect_ack(21, 30);
    assert_eq!(numbers(&path, "shed", "b1"), (21..=30).collect::<Vec<_>>());
    // Damage found only at start, when this table is read.
    drop(receiver);
    Connection::open(&path).and_then(|history| history.execute_batch("DROP TABLE series")).expect("a history");
    let receiver = bench.pair_receiver();
    receiver.program.wait_for_log("history.sqlite could not be used (", "history.sqlite.damaged-3");
    let agent = FakeAgent::on(&receiver);
    agent.send(true, &[batch(31, 40)]);
    agent.expect_ack(31, 40);
}
