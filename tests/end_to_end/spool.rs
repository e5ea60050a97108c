use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Bench, Board, PATIENCE, Peer, Program, eventually, free_port};

/// The receiver's end of a pair link that comes and goes at one address.
struct Hub {
    address: String,
    peer: Option<Peer>,
}

impl Hub {
    fn new() -> Hub {
        Hub { address: format!("tcp://127.0.0.1:{}", free_port()), peer: None }
    }

    /// There is a receiver that keeps readings.
    fn open(&mut self) -> &Peer {
        let socket = zmq::Context::new().socket(zmq::PAIR).expect("a socket");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a timeout");
        socket.set_linger(0).expect("an option");
        socket.bind(&self.address).expect("a port");
        self.peer.insert(Peer { socket, address: self.address.clone() })
    }

    fn close(&mut self) {
        self.peer = None;
    }
}

/// An agent with one board, whose only link is to the hub.
fn agent(bench: &Bench, board: &Board, hub: &Hub, spool: &str) -> Program {
    bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{{ name = "gas", port = "{}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        {spool}
        "#,
        board.path.display(),
        hub.address,
    ))
}

fn hello() -> Value {
    json!({ "type": "hello", "v": 1, "window": 1, "acks": true })
}

fn ack(boot: &Value, first: u64, last: u64) -> Value {
    json!({ "type": "ack", "boot": boot, "first": first, "seq": last })
}

/// Takes readings until those with all of these values have come, says nothing of them, and gives them.
#[track_caller]
fn take(peer: &Peer, wanted: impl IntoIterator<Item = u64>) -> Vec<Value> {
    let mut missing: BTreeSet<u64> = wanted.into_iter().collect();
    let mut came = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {missing:?}");
        peer.says(&hello());
        let header = peer.next();
        if header["type"] != "readings" {
            continue;
        }
        for batch in header["batches"].as_array().expect("a list") {
            for (place, measured) in batch["values"].as_array().expect("a list").iter().enumerate() {
                let mut reading = batch.clone();
                (reading["boot"], reading["backlog"]) = (header["boot"].clone(), header["backlog"].clone());
                (reading["seq"], reading["value"]) = (json!(seq(batch) + place as u64), measured["value"].clone());
                missing.remove(&value(&reading));
                came.push(reading);
            }
        }
    }
    came
}

fn value(reading: &Value) -> u64 {
    reading["value"].as_f64().expect("a number") as u64
}

fn seq(reading: &Value) -> u64 {
    reading["seq"].as_u64().expect("a number")
}

/// Acknowledges all of these.
fn acknowledge(peer: &Peer, readings: &[Value]) {
    for reading in readings {
        peer.says(&ack(&reading["boot"], seq(reading), seq(reading)));
    }
}

/// Readings in the file, which may have to be made first.
fn on_disk(bench: &Bench) -> u64 {
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    file.query_row("SELECT coalesce(sum(count), 0) FROM batches", [], |row| row.get::<_, i64>(0)).unwrap_or(0) as u64
}

#[track_caller]
fn waits_for(bench: &Bench, readings: u64) {
    eventually(&format!("{readings} readings on the disk"), || (on_disk(bench) == readings).then_some(()));
}

#[test]
fn what_was_measured_without_a_receiver_is_there_when_it_comes_and_is_forgotten_when_it_has_it() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let mut first = agent(&bench, &board, &hub, "");
    first.logs("open at", "");
    for number in 1..=3 {
        board.say(&format!("n-{number}"));
        waits_for(&bench, number);
    }
    first.signal(Signal::SIGKILL);
    first.wait();

    let second = agent(&bench, &board, &hub, "");
    second.logs("open at", "");
    board.say("n-4");
    waits_for(&bench, 4);
    let peer = hub.open();
    let came = take(peer, 1..=4);
    // What is in memory may go before what is older.
    let (late, rest): (Vec<_>, Vec<_>) = came.iter().cloned().partition(|reading| value(reading) < 4);
    assert_eq!(late.iter().map(value).collect::<Vec<_>>(), [1, 2, 3], "in order, once");
    assert_eq!(late.iter().map(seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(late.iter().all(|reading| reading["backlog"] == true && reading["age_ms"].is_u64()), "{late:#?}");
    assert!(late.iter().all(|reading| reading["boot"] == late[0]["boot"]), "{late:#?}");
    assert!(rest.len() == 1 && seq(&rest[0]) == 1 && rest[0]["boot"] != late[0]["boot"], "{rest:#?}");

    // What is not acknowledged comes again to whoever is there next.
    acknowledge(peer, &late[..1]);
    waits_for(&bench, 3);
    hub.close();
    let peer = hub.open();
    let came = take(peer, 2..=4);
    assert_eq!(came.iter().map(value).collect::<Vec<_>>(), [2, 3, 4]);
    acknowledge(peer, &came);
    waits_for(&bench, 0);
}

#[test]
fn what_is_acknowledged_at_once_is_never_written() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = agent(&bench, &board, &hub, "");
    agent.logs("open at", "");
    let peer = hub.open();
    peer.says(&hello());
    peer.hears("a status", |header| header["type"] == "status");
    for number in 1..=30 {
        board.say(&format!("n-{number}"));
        let came = take(peer, [number]);
        acknowledge(peer, &came);
    }
    let counts = |header: &Value| header["spool"]["counts"].clone();
    let status = peer.hears("a status after the last", |header| {
        header["type"] == "status" && counts(header)["readings in memory"] == 0
    });
    assert!(counts(&status)["readings written"].as_u64().is_none_or(|written| written == 0), "{status}");
}

#[test]
fn what_is_not_acknowledged_is_sent_again_and_who_never_acknowledges_is_sent_it_once() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = agent(&bench, &board, &hub, "");
    agent.logs("open at", "");
    let peer = hub.open();
    peer.hears("a status", |header| header["type"] == "status");
    board.say("n-1");
    assert_eq!(take(peer, [1])[0]["backlog"], Value::Null, "as it came");
    let again = take(peer, [1]);
    assert_eq!((seq(&again[0]), &again[0]["backlog"]), (1, &json!(true)));
    hub.close();

    // One that does not say that it keeps anything has what comes now, and nothing of what was.
    let peer = hub.open();
    peer.hears("a status", |header| header["type"] == "status");
    board.say("n-2");
    let silent = json!({ "type": "hello", "v": 1, "window": 1 });
    let next = || {
        peer.says(&silent);
        peer.hears("readings", |header| header["type"] == "readings")
    };
    let first = next();
    assert_eq!((&first["backlog"], &first["batches"][0]["values"][0]["value"]), (&Value::Null, &json!(2.0)));
    for number in 3..=5 {
        board.say(&format!("n-{number}"));
        assert_eq!(next()["batches"][0]["values"][0]["value"], json!(f64::from(number)));
    }
}

#[test]
fn each_link_has_everything_until_it_is_given_up() {
    let (bench, mut board, mut hub, mut other) = (Bench::new(), Board::new(), Hub::new(), Hub::new());
    let (port, gone) = (board.path.display().to_string(), other.address.clone());
    let serial = format!("name = \"shed\"\nserial = [{{ name = \"gas\", port = \"{port}\" }}]\n");
    let link = |hub: &Hub| format!("{{ pattern = \"pair\", connect = \"{}\" }}", hub.address);
    let both = format!("{serial}link = [{}, {}]", link(&other), link(&hub));
    let mut first = bench.agent(&both);
    first.logs("open at", "");
    for number in 1..=3 {
        board.say(&format!("n-{number}"));
        waits_for(&bench, number);
    }
    // What one has is kept for the other.
    let peer = hub.open();
    let came = take(peer, 1..=3);
    acknowledge(peer, &came);
    let lists = |config: &str, arguments: &[&str]| {
        std::fs::write(bench.path("spool.toml"), config).expect("a temporary file");
        let output = bench.watchpost("spool").args(arguments).arg("--config").arg(bench.path("spool.toml")).output();
        let output = output.expect("it starts");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    eventually("one link lacks nothing", || {
        let text = lists(&both, &[]);
        let of_each = [format!("3 readings wait for {gone}"), format!("no readings wait for {}", hub.address)];
        of_each.iter().all(|line| text.contains(line)).then_some(())
    });
    assert!(lists(&both, &["--forget", &gone]).contains("is in the configuration"));
    let peer = other.open();
    let came = take(peer, 1..=3);
    acknowledge(peer, &came[..1]);
    waits_for(&bench, 2);
    other.close();
    first.terminate();

    // A link that is not configured any more keeps what it lacks, until someone says that it has gone for good.
    let one = format!("{serial}link = [{}]", link(&hub));
    let second = bench.agent(&one);
    second.logs("open at", "");
    assert!(second.logs("spool: keeps for ", ",").starts_with(&gone));
    let text = lists(&one, &[]);
    assert!(text.contains(&format!("2 readings wait for {gone}, which is in no [[link]]")), "{text}");
    let text = lists(&one, &["--forget", &gone]);
    assert!(!text.contains(&gone), "{text}");
    assert!(lists(&one, &["--forget", &gone]).contains("readings are kept for"), "it is known no more");
    board.say("n-4");
    waits_for(&bench, 1);
}

#[test]
fn a_full_spool_loses_the_oldest_and_counts_them() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = agent(&bench, &board, &hub, "spool = { max_size = \"1 MB\" }");
    agent.logs("open at", "");
    let line: Vec<String> = (0..20).map(|number| format!("q{number}-{number}.5")).collect();
    let (line, lines) = (line.join("-") + "\n", 6_000);
    board.write(b"\n");
    for _ in 0..lines {
        board.write(line.as_bytes());
    }
    board.say("n-1");
    let peer = hub.open();
    let count = |header: &Value, what: &str| header["spool"]["counts"][what].as_u64().unwrap_or(0);
    let full = peer.hears("all came", |header| {
        count(header, "readings on disk") > 0
            && count(header, "readings on disk") + count(header, "readings lost, no room") == 20 * lines + 1
    });
    assert!(count(&full, "readings lost, no room") > 20 * lines / 4, "{full}");
    let size = std::fs::metadata(bench.path("state/watchpost/spool.sqlite")).expect("it is there").len();
    assert!(size < 2_000_000, "{size} bytes");
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    let newest = "SELECT max(seq + count - 1) FROM batches";
    assert_eq!(file.query_row(newest, [], |row| row.get::<_, i64>(0)).expect("rows") as u64, 20 * lines + 1);
}

#[test]
fn without_anyone_who_could_acknowledge_there_is_no_spool() {
    let (bench, board, hub) = (Bench::new(), Board::new(), Hub::new());
    let serial = format!("serial = [{{ name = \"gas\", port = \"{}\" }}]", board.path.display());
    let port = free_port();
    for (rest, said) in [
        (format!("link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:{port}\" }}]"), "no link has the pattern"),
        (
            format!("link = [{{ pattern = \"pair\", connect = \"{}\" }}]\nspool = {{ off = true }}", hub.address),
            "a reading that nobody takes is lost",
        ),
    ] {
        let config = format!("{serial}\n{rest}");
        let mut agent = bench.agent(&config);
        agent.logs("open at", "");
        agent.terminate();
        assert!(!bench.path("state").exists());
        let check = bench.watchpost("check").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
        assert!(String::from_utf8_lossy(&check.stdout).contains(said), "{check:?}");
        let spool = bench.watchpost("spool").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
        assert!(
            !spool.status.success() && String::from_utf8_lossy(&spool.stderr).contains("has no spool"),
            "{spool:?}"
        );
    }
}

#[test]
fn a_spool_is_one_agents() {
    let (bench, boards, mut hub) = (Bench::new(), [Board::new(), Board::new()], Hub::new());
    let first = agent(&bench, &boards[0], &Hub::new(), "");
    first.logs("spool.sqlite): open", "");
    let second = agent(&bench, &boards[1], &hub, "");
    let peer = hub.open();
    let status = peer.hears("a status", |header| header["spool"]["cause"] != "starting");
    let cause = status["spool"]["cause"].as_str().expect("a text");
    assert!(cause.contains("in use by another program") && cause.ends_with("readings wait in memory"), "{cause}");
    drop((first, second));
}
