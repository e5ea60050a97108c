use serde_json::{Value, json};

use crate::harness::http::{get, get_json, open};
use crate::harness::{Bench, FakeAgent};

const MINUTE: i64 = 60_000_000;
const START: i64 = 1_795_284_000_001_000;

/// A reading that was sent: time, port, quantity, value and unit.
type Sent = (i64, &'static str, &'static str, f64, &'static str);

/// Sends more readings than the receiver exports in one query, of several series.
fn send(agent: &FakeAgent) -> Vec<Sent> {
    let series = [("climate", "t", "°C"), ("climate", "a \"quoted\", long\nname", "%"), ("cellar", "t", "°C")];
    let sent: Vec<Sent> = (0..4_000)
        .map(|n| {
            let (port, quantity, unit) = series[n % 3];
            (START + n as i64 * 1_500_000, port, quantity, (n as f64 - 1_000.0) / 7.0, unit)
        })
        .collect();
    let batches: Vec<Value> = (1..)
        .zip(&sent)
        .map(|(seq, (at_us, port, quantity, value, unit))| {
            json!({
                "seq": seq, "port": port, "captured_at_us": at_us, "synchronised": seq != 1, "age_ms": null,
                "stale_after_ms": 10_000, "stale": true,
                "values": [{ "quantity": quantity, "value": value, "unit": unit }]
            })
        })
        .collect();
    batches.chunks(200).for_each(|message| agent.send(true, message));
    agent.send_until_acked(&batches[3_999], (1, 4_000));
    sent
}

/// Sorts the readings by series and time. The quoted quantity became a series last, with its second reading.
fn sorted(mut sent: Vec<Sent>) -> Vec<Sent> {
    let series = |reading: &Sent| {
        [("climate", "t"), ("cellar", "t"), ("climate", "")].iter().position(|series| {
            series.0 == reading.1 && (series.1 == reading.2 || series.1.is_empty() && reading.2 != "t")
        })
    };
    sent.sort_by_key(|reading| (series(reading), reading.0));
    sent
}

#[test]
fn exports_return_readings_unchanged_as_json_and_csv() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let sent = send(&FakeAgent::on(&receiver));
    for (range, query) in [
        (i64::MIN..i64::MAX, String::new()),
        (START + MINUTE..START + 50 * MINUTE, format!("?from_us={}&to_us={}", START + MINUTE, START + 50 * MINUTE)),
        (0..1, "?from_us=0&to_us=1".to_owned()),
    ] {
        let expected: Vec<Sent> = sorted(sent.iter().filter(|reading| range.contains(&reading.0)).copied().collect());
        let (status, body) = get_json(&receiver.page, &format!("/api/readings.json{query}"));
        assert_eq!(status, 200);
        let exported = body["readings"].as_array().expect("a list");
        assert_eq!(exported.len(), expected.len());
        for (exported, (at_us, port, quantity, value, unit)) in exported.iter().zip(&expected) {
            let dated = if *at_us == START { 2 } else { 0 };
            assert_eq!(
                exported,
                &json!({
                    "at_us": at_us, "agent": "shed", "port": port, "quantity": quantity, "value": value, "unit": unit,
                    "dated": dated
                })
            );
        }
        let csv = get(&receiver.page, &format!("/api/readings.csv{query}"));
        assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"readings.csv\""));
        let text = csv.text();
        let mut lines = text.split_terminator("\r\n");
        assert_eq!(lines.next(), Some("time,agent,port,quantity,value,unit,dated"));
        for (at_us, port, quantity, value, unit) in &expected {
            let time = jiff::Timestamp::from_microsecond(*at_us).expect("a time");
            let quantity =
                if *quantity == "t" { "t".to_owned() } else { format!("\"{}\"", quantity.replace('"', "\"\"")) };
            let dated = if *at_us == START { 2 } else { 0 };
            let line = lines.next().expect("a line");
            assert_eq!(line, format!("{time:.3},shed,{port},{quantity},{value},{unit},{dated}"));
            assert!(line.starts_with("2026-") && line.contains("Z,shed,"), "{line}");
        }
        assert_eq!(lines.next(), None);
    }
    let (_, all) = get_json(&receiver.page, "/api/series");
    let id = |port: &str| all["series"].as_array()?.iter().find(|series| series["port"] == port)?["id"].as_i64();
    let (climate, cellar) = (id("climate").expect("a series"), id("cellar").expect("a series"));
    let (_, two) = get_json(&receiver.page, &format!("/api/readings.json?series={cellar}%2C{climate}"));
    assert_eq!(two["readings"].as_array().map(Vec::len), Some(2 * 4_000 / 3 + 1));
    let (_, one) = get_json(&receiver.page, &format!("/api/readings.json?series={cellar},{cellar}"));
    assert_eq!(one["readings"].as_array().map(Vec::len), Some(4_000 / 3));
}

#[test]
fn csv_has_no_formulas() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"router\"\nbind = \"tcp://127.0.0.1:*\"");
    let agent = FakeAgent::new(zmq::DEALER, &receiver.link, "-shed", "b1");
    for (seq, quantity) in (1..).zip(["=1+1,2", "=1+1,2", "@sum", "@sum", "soil", "soil"]) {
        let mut reading = crate::harness::reading(seq, quantity);
        reading["port"] = "-p".into();
        let value = &mut reading["values"][0];
        (value["unit"], value["value"]) = ("+%".into(), (-7.5).into());
        agent.send(true, &[reading]);
        agent.expect_ack(1, seq);
    }
    let csv = get(&receiver.page, "/api/readings.csv").text();
    let rows: Vec<&str> = csv.lines().skip(1).map(|line| line.split_once(',').expect("a time").1).collect();
    let row = |quantity: &str| format!("'-shed,'-p,{quantity},-7.5,'+%,0");
    let expected = ["\"'=1+1,2\"", "'@sum", "soil"].map(|quantity| [row(quantity), row(quantity)]).concat();
    assert_eq!(rows, expected);
}

/// A client that reads nothing blocks neither writes nor other reads, and does not make the write-ahead log grow.
#[test]
fn slow_export_client_blocks_nothing() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let batches = |round: u64| -> Vec<Value> {
        let batch = |n| {
            let first = (round * 100 + n) * 100 + 1;
            crate::harness::batch(first, first + 99)
        };
        (0..100).map(batch).collect()
    };
    let mut round = 0;
    let mut write = |rounds| {
        for _ in 0..rounds {
            for message in batches(round).chunks(20) {
                agent.send(true, message);
            }
            round += 1;
            let last = crate::harness::batch(round * 10_000, round * 10_000);
            agent.send_until_acked(&last, (1, round * 10_000));
        }
    };
    write(20);
    // More than the socket buffers hold; nobody reads it.
    let slow: Vec<_> = (0..8).map(|_| open(&receiver.page, "/api/readings.json")).collect();
    let (status, busy) = get_json(&receiver.page, "/api/readings.json");
    assert_eq!(status, 503, "{busy}");
    let before = receiver.program.memory();
    write(20);
    assert_eq!(get_json(&receiver.page, "/api/chart?series=1&from_us=0&to_us=1795284000000000").0, 200);
    let wal = bench.history().with_extension("sqlite-wal");
    let wal = std::fs::metadata(wal).map_or(0, |file| file.len());
    assert!(wal < 12 << 20, "{wal} bytes in the write-ahead log");
    assert!(receiver.program.memory() < before + (16 << 20), "{before} and {}", receiver.program.memory());
    drop(slow);
}
