//! Measures charts and exports of a large history: five quantities, each once a second. A benchmark uses a year of it.

use std::io::Read as _;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use crate::harness::http::{get_json, open};
use crate::harness::{Bench, FakeAgent, Receiver};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// The quantities; each is a series of the history.
const QUANTITIES: [&str; 5] = ["temperature", "humidity", "mq2", "light", "mq9"];

/// The ranges of charts, in seconds.
pub const SPANS: [(&str, i64); 6] =
    [("1 min", 60), ("1 h", 3_600), ("1 d", DAY), ("1 w", 7 * DAY), ("1 month", 30 * DAY), ("1 year", 365 * DAY)];

/// How long charts took.
pub struct Charts {
    pub median: Duration,
    pub worst: Duration,
    /// The number of points in the chart with the fewest.
    pub points: usize,
}

/// An export of a time range as CSV.
pub struct Exported {
    pub readings: usize,
    pub bytes: usize,
    pub first_byte: Duration,
    pub all: Duration,
    /// Memory of the receiver in bytes: before the export, and the maximum during it.
    pub memory: (u64, u64),
}

/// A receiver with a large history.
pub struct Year {
    pub receiver: Receiver,
    /// Times of the first and the last reading, in microseconds since 1970.
    from_us: i64,
    to_us: i64,
    series: Vec<i64>,
}

impl Year {
    /// Makes a history of this many days. The receiver creates the tables and stores the first five readings. SQL then
    /// inserts the rest day by day and sums them up by minute and hour.
    pub fn make(bench: &Bench, days: i64) -> Year {
        let to_us = jiff::Timestamp::now().as_microsecond();
        let from_us = to_us - days * DAY * SECOND;
        let mut receiver = start(bench);
        let agent = FakeAgent::on(&receiver);
        let value = |quantity: &&str| json!({ "quantity": quantity, "value": 0.5, "unit": "" });
        agent.send(
            true,
            &[json!({
                "seq": 1, "port": "climate", "captured_at_us": from_us - SECOND, "age_ms": 5, "stale_after_ms": 10_000,
                "stale": true, "values": QUANTITIES.iter().map(value).collect::<Vec<_>>()
            })],
        );
        agent.expect_ack(1, 5);
        receiver.program.terminate();
        fill(bench, days, from_us);
        let receiver = start(bench);
        receiver.program.wait_for_log("history: storing readings in ", "");
        let (status, body) = get_json(&receiver.page, "/api/series");
        assert_eq!(status, 200, "{body}");
        let all = body["series"].as_array().expect("a list").iter();
        let series = all.map(|series| series["id"].as_i64().expect("a number")).collect();
        Year { receiver, from_us, to_us, series }
    }

    /// Requests `times` charts of random series at random times.
    pub fn charts(&self, seconds: i64, times: usize, random: &mut fastrand::Rng) -> Charts {
        let span = seconds * SECOND;
        let (mut took, mut points) = (Vec::new(), usize::MAX);
        for _ in 0..times {
            let from_us = random.i64(self.from_us..=self.from_us.max(self.to_us - span));
            let series = self.series[random.usize(..self.series.len())];
            let path = format!("/api/chart?series={series}&from_us={from_us}&to_us={}&points=600", from_us + span);
            let start = Instant::now();
            let (status, chart) = get_json(&self.receiver.page, &path);
            took.push(start.elapsed());
            assert_eq!(status, 200, "{chart}");
            points = points.min(chart["points"].as_array().expect("points").len());
        }
        took.sort();
        Charts { median: took[times / 2], worst: took[times - 1], points }
    }

    /// Exports the first `seconds` of every series.
    pub fn export(&self, seconds: i64) -> Exported {
        let before = self.receiver.program.memory();
        let mut max = before;
        let start = Instant::now();
        let path = format!("/api/readings.csv?from_us={}&to_us={}", self.from_us, self.from_us + seconds * SECOND);
        let mut body = open(&self.receiver.page, &path).body;
        let (mut bytes, mut lines, mut first_byte) = (0, 0, None);
        let mut part = vec![0; 1 << 20];
        loop {
            let length = body.read(&mut part).expect("the rest of the body");
            first_byte.get_or_insert_with(|| start.elapsed());
            if length == 0 {
                break;
            }
            bytes += length;
            lines += memchr::memchr_iter(b'\n', &part[..length]).count();
            max = max.max(self.receiver.program.memory());
        }
        let first_byte = first_byte.expect("an answer");
        // The first line is the header.
        Exported { readings: lines - 1, bytes, first_byte, all: start.elapsed(), memory: (before, max) }
    }
}

fn start(bench: &Bench) -> Receiver {
    bench.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\nkeep = \"9999d\"")
}

fn fill(bench: &Bench, days: i64, from_us: i64) {
    let file = Connection::open(bench.history()).expect("a history");
    file.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .expect("exclusive use of the history");
    let mut insert = file
        .prepare(
            "WITH RECURSIVE seconds(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM seconds WHERE n < 86399)
             INSERT INTO readings SELECT ?1, ?2 + n * 1000000 + n * 7919 % 1000 * 100, 1, ?3 + n * 5,
                 (n * 7919 + ?1 * 104729) % 1000 / 8.0, 0 FROM seconds",
        )
        .expect("its tables");
    let mut sums = [("minutes", 60 * SECOND), ("hours", 3_600 * SECOND)].map(|(table, length)| {
        let sql = format!(
            "INSERT INTO {table} SELECT ?1, at_us - at_us % {length}, count(*), sum(value), min(value), max(value)
             FROM readings WHERE series = ?1 AND at_us >= ?2 AND at_us < ?3 GROUP BY 2
             ON CONFLICT DO UPDATE SET count = count + excluded.count, sum = sum + excluded.sum,
                 min = min(min, excluded.min), max = max(max, excluded.max)"
        );
        file.prepare(&sql).expect("its tables")
    });
    for day in 0..days {
        file.execute_batch("BEGIN").expect("exclusive use of the history");
        for series in 1..=QUANTITIES.len() as i64 {
            let start_us = from_us + day * DAY * SECOND;
            insert.execute((series, start_us, 5 + series + day * DAY * 5)).expect("new rows");
            for sum in &mut sums {
                sum.execute((series, start_us, start_us + DAY * SECOND)).expect("new rows");
            }
        }
        file.execute_batch("COMMIT").expect("exclusive use of the history");
    }
    file.execute("UPDATE kept SET last = ?", [5 + days * DAY * 5]).expect("a row");
    file.execute_batch("PRAGMA journal_mode = WAL").expect("exclusive use of the history");
}

#[test]
fn charts_and_exports_of_long_ranges_are_complete() {
    let bench = Bench::new();
    let year = Year::make(&bench, 1);
    let random = &mut fastrand::Rng::with_seed(1);
    for (name, seconds) in SPANS {
        let charts = year.charts(seconds, 3, random);
        let is_filled = seconds < DAY;
        assert!(charts.points <= 600 && charts.points > if is_filled { 50 } else { 0 }, "{name}: {}", charts.points);
        assert!(charts.median <= charts.worst && charts.worst < crate::harness::PATIENCE, "{name}: {:?}", charts.worst);
    }
    let exported = year.export(3_600);
    assert_eq!(exported.readings, 5 * 3_600);
    assert!(exported.bytes > 30 * exported.readings && exported.first_byte <= exported.all);
    let all = year.export(DAY);
    let (before, max) = all.memory;
    assert!(max < before + (8 << 20), "{} bytes were sent: memory from {before} to {max}", all.bytes);
    crate::history_expiry::assert_sums_match(&bench.history());
}
