use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchpost::agent::health::{Kind, Part};
use watchpost::agent::spool::Spool;
use watchpost::clock::Stamp;
use watchpost::config;
use watchpost::name::Name;
use watchpost::quantity::Quantity;
use watchpost::ranges::SeqRange;
use watchpost::reading::State;

use crate::harness::hub::{Hub, acknowledge, hello, seq, spooling, take, value, waits_for};
use crate::harness::{Bench, Board, eventually, free_port};

/// Starts an agent and kills it with the readings 1 to 3 in its spool.
fn leave_three_readings(bench: &Bench, board: &mut Board, hub: &Hub) {
    let mut agent = spooling(bench, board, hub, "");
    agent.wait_for_log("open at", "");
    for number in 1..=3 {
        board.write_line(&format!("n-{number}"));
        waits_for(bench, number);
    }
    agent.kill();
}

#[test]
fn backlog_is_delivered_and_dropped_once_acknowledged() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    leave_three_readings(&bench, &mut board, &hub);

    let second = spooling(&bench, &board, &hub, "");
    second.wait_for_log("open at", "");
    board.write_line("n-4");
    waits_for(&bench, 4);
    let peer = hub.open();
    let received = take(peer, 1..=4);
    // Readings in memory may be sent before older ones.
    let (late, rest): (Vec<_>, Vec<_>) = received.iter().cloned().partition(|reading| value(reading) < 4);
    assert_eq!(late.iter().map(value).collect::<Vec<_>>(), [1, 2, 3], "in order, once");
    assert_eq!(late.iter().map(seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(late.iter().all(|reading| reading["backlog"] == true && reading["age_ms"].is_u64()), "{late:#?}");
    assert!(late.iter().all(|reading| reading["boot"] == late[0]["boot"]), "{late:#?}");
    assert!(rest.len() == 1 && seq(&rest[0]) == 1 && rest[0]["boot"] != late[0]["boot"], "{rest:#?}");

    // The next peer gets unacknowledged readings again.
    acknowledge(peer, &late[..1]);
    waits_for(&bench, 3);
    hub.close();
    let peer = hub.open();
    let received = take(peer, 2..=4);
    assert_eq!(received.iter().map(value).collect::<Vec<_>>(), [2, 3, 4]);
    acknowledge(peer, &received);
    waits_for(&bench, 0);
}

#[test]
fn readings_acknowledged_at_once_are_not_written() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "");
    agent.wait_for_log("open at", "");
    let peer = hub.open();
    peer.send(&hello());
    peer.wait_for("a status", |header| header["type"] == "status");
    for number in 1..=30 {
        board.write_line(&format!("n-{number}"));
        let received = take(peer, [number]);
        acknowledge(peer, &received);
    }
    let counts = |header: &Value| header["spool"]["counts"].clone();
    let status = peer.wait_for("a status after the last", |header| {
        header["type"] == "status" && counts(header)["readings_in_memory"] == 0
    });
    // On a busy machine an acknowledgement may occasionally be late.
    assert!(counts(&status)["readings_written"].as_u64().is_none_or(|written| written < 10), "{status}");
}

#[test]
fn unacknowledged_readings_are_resent_to_peers_that_ack() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "");
    agent.wait_for_log("open at", "");
    let peer = hub.open();
    peer.wait_for("a status", |header| header["type"] == "status");
    board.write_line("n-1");
    assert_eq!(take(peer, [1])[0]["backlog"], Value::Null, "not sent live");
    let again = take(peer, [1]);
    assert_eq!((seq(&again[0]), &again[0]["backlog"]), (1, &json!(true)));
    hub.close();

    // A peer that does not announce acknowledgements gets live readings and no backlog.
    let peer = hub.open();
    peer.wait_for("a status", |header| header["type"] == "status");
    peer.send(&json!({ "type": "hello", "v": 1, "window": 1 }));
    peer.wait_for("a link to a receiver that keeps nothing", |header| {
        header["type"] == "status" && header["links"][0]["cause"] == "connected, but the receiver keeps no readings"
    });
    board.write_line("n-2");
    let silent = json!({ "type": "hello", "v": 1, "window": 1 });
    let next = || {
        peer.send(&silent);
        peer.wait_for("readings", |header| header["type"] == "readings")
    };
    let first = next();
    assert_eq!((&first["backlog"], &first["batches"][0]["values"][0]["value"]), (&Value::Null, &json!(2.0)));
    for number in 3..=5 {
        board.write_line(&format!("n-{number}"));
        assert_eq!(next()["batches"][0]["values"][0]["value"], json!(f64::from(number)));
    }
}

#[test]
fn each_link_keeps_its_readings_until_forgotten() {
    let (bench, mut board, mut hub, mut other) = (Bench::new(), Board::new(), Hub::new(), Hub::new());
    let (port, removed) = (board.path.display().to_string(), other.address.clone());
    let serial = format!("name = \"shed\"\nserial = [{{ name = \"gas\", port = \"{port}\" }}]\n");
    let link = |hub: &Hub| format!("{{ pattern = \"pair\", connect = \"{}\" }}", hub.address);
    let both = format!("{serial}link = [{}, {}]", link(&other), link(&hub));
    let mut first = bench.agent(&both);
    first.wait_for_log("open at", "");
    for number in 1..=3 {
        board.write_line(&format!("n-{number}"));
        waits_for(&bench, number);
    }
    // Readings acknowledged by one link are kept for the other.
    let peer = hub.open();
    let received = take(peer, 1..=3);
    acknowledge(peer, &received);
    let spool_command = |config: &str, arguments: &[&str]| {
        std::fs::write(bench.path("spool.toml"), config).expect("a temporary file");
        let output = bench.watchpost("spool").args(arguments).arg("--config").arg(bench.path("spool.toml")).output();
        let output = output.expect("it starts");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    eventually("nothing waiting for one link", || {
        let text = spool_command(&both, &[]);
        let of_each = [format!("3 readings wait for {removed}"), format!("no readings wait for {}", hub.address)];
        of_each.iter().all(|line| text.contains(line)).then_some(())
    });
    assert!(spool_command(&both, &["--forget", &removed]).contains("is in the configuration"));
    let peer = other.open();
    let received = take(peer, 1..=3);
    acknowledge(peer, &received[..1]);
    waits_for(&bench, 2);
    other.close();
    first.terminate();

    // The spool keeps a removed link's readings until `--forget` drops them.
    let one = format!("{serial}link = [{}]", link(&hub));
    let second = bench.agent(&one);
    second.wait_for_log("open at", "");
    assert!(second.wait_for_log("spool still keeps readings for ", ",").starts_with(&removed));
    let text = spool_command(&one, &[]);
    assert!(text.contains(&format!("2 readings wait for {removed}, which is no longer configured")), "{text}");
    let text = spool_command(&one, &["--forget", &removed]);
    assert!(text.contains(&format!("dropped the readings for {removed}")), "{text}");
    assert!(!text.contains(&format!("wait for {removed}")), "{text}");
    assert!(
        spool_command(&one, &["--forget", &removed]).contains("readings are kept for"),
        "the forgotten link is still known"
    );
    // The agent notices even while its boards are silent.
    second.wait_for_log("spool: dropped readings of a forgotten link", "");
    board.write_line("n-4");
    waits_for(&bench, 1);
}

#[test]
fn full_spool_drops_and_counts_the_oldest_readings() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "spool = { max_size = \"1 MB\" }");
    agent.wait_for_log("open at", "");
    let line: Vec<String> = (0..20).map(|number| format!("q{number}-{number}.5")).collect();
    let (line, lines) = (line.join("-") + "\n", 6_000);
    board.write(b"\n");
    for _ in 0..lines {
        board.write(line.as_bytes());
    }
    board.write_line("n-1");
    let peer = hub.open();
    let count = |header: &Value, what: &str| header["spool"]["counts"][what].as_u64().unwrap_or(0);
    let full = peer.wait_for("all readings counted", |header| {
        count(header, "readings_on_disk") > 0
            && count(header, "readings_on_disk") + count(header, "readings_lost_no_room") == 20 * lines + 1
            && count(header, "readings_in_memory") == 0
    });
    assert!(count(&full, "readings_lost_no_room") > 20 * lines / 4, "{full}");
    agent.wait_for_log("full; dropped the ", "");
    let size = std::fs::metadata(bench.path("state/watchpost/spool.sqlite")).expect("it is there").len();
    assert!(size < 2_000_000, "{size} bytes");
    let file = Connection::open(bench.path("state/watchpost/spool.sqlite")).expect("a file");
    let newest = "SELECT max(seq + count - 1) FROM batches";
    assert_eq!(file.query_row(newest, [], |row| row.get::<_, i64>(0)).expect("rows") as u64, 20 * lines + 1);
}

#[test]
fn readings_older_than_keep_expire_and_are_counted() {
    let (bench, mut board, mut hub) = (Bench::new(), Board::new(), Hub::new());
    leave_three_readings(&bench, &mut board, &hub);

    // Two hours keep all readings, one millisecond keeps none.
    let mut second = spooling(&bench, &board, &hub, "spool = { keep = \"2h\" }");
    second.wait_for_log("open at", "");
    board.write_line("n-4");
    waits_for(&bench, 4);
    second.kill();
    let third = spooling(&bench, &board, &hub, "spool = { keep = \"1ms\" }");
    third.wait_for_log("open at", "");
    waits_for(&bench, 0);
    let peer = hub.open();
    peer.send(&hello());
    let is_status = |header: &Value| header["type"] == "status";
    let status = peer.wait_for("a count", |header| {
        assert_ne!(header["type"], "readings", "{header}");
        is_status(header) && header["spool"]["counts"]["readings_expired"] == 4
    });
    assert_eq!(status["spool"]["counts"]["readings_on_disk"], 0, "{status}");
    // New readings are sent live.
    board.write_line("n-5");
    assert_eq!(take(peer, [5])[0]["backlog"], Value::Null);
}

#[test]
fn no_spool_without_a_link_that_acknowledges() {
    let (bench, board, hub) = (Bench::new(), Board::new(), Hub::new());
    let serial = format!("serial = [{{ name = \"gas\", port = \"{}\" }}]", board.path.display());
    let port = free_port();
    for (rest, message) in [
        (format!("link = [{{ pattern = \"pub\", bind = \"tcp://127.0.0.1:{port}\" }}]"), "no link has the pattern"),
        (
            format!("link = [{{ pattern = \"pair\", connect = \"{}\" }}]\nspool = {{ off = true }}", hub.address),
            "Readings that no receiver takes are lost",
        ),
    ] {
        let config = format!("{serial}\n{rest}");
        let mut agent = bench.agent(&config);
        agent.wait_for_log("open at", "");
        agent.terminate();
        assert!(!bench.path("state").exists());
        let check = bench.watchpost("check").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
        assert!(String::from_utf8_lossy(&check.stdout).contains(message), "{check:?}");
        let spool = bench.watchpost("spool").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
        assert!(
            !spool.status.success() && String::from_utf8_lossy(&spool.stderr).contains("has no spool"),
            "{spool:?}"
        );
    }
}

#[test]
fn listing_a_damaged_spool_explains_the_recovery() {
    let (bench, board, hub) = (Bench::new(), Board::new(), Hub::new());
    let mut agent = spooling(&bench, &board, &hub, "");
    agent.wait_for_log("open at", "");
    agent.terminate();
    std::fs::write(bench.path("state/watchpost/spool.sqlite"), "no database at all").expect("a file");
    let output = bench.watchpost("spool").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(message.contains("spool.sqlite; the agent moves a damaged spool aside when it starts"), "{message}");
}

#[test]
fn spool_is_locked_by_one_agent() {
    let (bench, boards, mut hub) = (Bench::new(), [Board::new(), Board::new()], Hub::new());
    let first = spooling(&bench, &boards[0], &Hub::new(), "");
    first.wait_for_log("spool.sqlite: open", "");
    let second = spooling(&bench, &boards[1], &hub, "");
    let peer = hub.open();
    let status = peer.wait_for("a status", |header| header["spool"]["cause"] != "starting");
    let cause = status["spool"]["cause"].as_str().expect("a text");
    assert!(cause.contains("in use by another program") && cause.ends_with("readings wait in memory"), "{cause}");
    drop((first, second));
}

#[test]
fn removed_spool_file_is_replaced() {
    let (bench, mut board, hub) = (Bench::new(), Board::new(), Hub::new());
    let agent = spooling(&bench, &board, &hub, "");
    agent.wait_for_log("open at", "");
    board.write_line("n-1");
    waits_for(&bench, 1);
    std::fs::remove_file(bench.path("state/watchpost/spool.sqlite")).expect("the file exists");
    board.write_line("n-2");
    agent.wait_for_log("was removed", "");
    waits_for(&bench, 1);
    board.write_line("n-3");
    waits_for(&bench, 2);
}

/// The writer stores the list of links twice a second. A link removed before that must keep its readings.
#[test]
fn link_removed_before_it_is_stored_keeps_its_readings() {
    let bench = Bench::new();
    let config = config::Spool { path: bench.path("spool.sqlite"), max_size: config::Bytes(256_000_000), keep: None };
    let (state, boot) = (Arc::<State>::default(), Name::nearest("b1"));
    let health = Part::new(Kind::Spool, Name::nearest("spool"), String::new(), &Arc::default());
    let mut spool = Spool::new(&boot, &state, health.clone());
    let stays = spool.add_link("tcp://stays");
    let (feed, _) = state.follow();
    spool.start(&config).expect("a thread");
    eventually("an open file", || health.status().up.then_some(()));
    spool.add_link("tcp://leaves").unconfigure();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let quantity = Arc::new(Quantity { name: "t".into(), unit: "".into(), listed: true });
    state.record(&Name::nearest("air"), Duration::from_secs(10), Stamp::now(), &mut vec![(quantity, 21.5)]);
    let end = CancellationToken::new();
    end.cancel();
    runtime.block_on(spool.keep_all(feed, end));
    let one = SeqRange::new(1, 1);
    stays.send_live(one);
    assert_eq!(stays.acknowledge(&boot, one), Some(one));
    eventually("a row for the removed link", || (health.status().counts["readings_on_disk"] == 1).then_some(()));
    let back = spool.add_link("tcp://leaves");
    back.set_live_from(2);
    let page = runtime.block_on(back.request_page()).expect("the spool runs");
    assert_eq!(page.seqs(), Some(one));
    runtime.block_on(spool.stop());
}
