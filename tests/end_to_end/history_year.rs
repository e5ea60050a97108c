//! Five quantities each once a second for so many days, and how soon there is what is asked of them. A bench asks of a year.

use std::io::Read as _;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use crate::harness::http::{get_json, open};
use crate::harness::{Agent, Bench, Receiver};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// Their names; in the file each is a series.
const QUANTITIES: [&str; 5] = ["temperature", "humidity", "mq2", "light", "mq9"];

/// How far charts reach, in seconds.
pub const SPANS: [(&str, i64); 6] =
    [("1 min", 60), ("1 h", 3_600), ("1 d", DAY), ("1 w", 7 * DAY), ("1 month", 30 * DAY), ("1 year", 365 * DAY)];

/// What takes how long.
pub struct Charts {
    pub median: Duration,
    pub worst: Duration,
    /// Of the chart with the fewest.
    pub points: usize,
}

/// All readings of a time as CSV.
pub struct Exported {
    pub readings: usize,
    pub bytes: usize,
    pub first_byte: Duration,
    pub all: Duration,
    /// Of the receiver, in bytes: before, and the most while it was sent.
    pub memory: (u64, u64),
}

/// A receiver with that much in its history.
pub struct Year {
    pub receiver: Receiver,
    /// When the first and the last were measured, microseconds since 1970.
    from_us: i64,
    to_us: i64,
    series: Vec<i64>,
}

impl Year {
    /// Readings go straight into the tables that a receiver has made, in the order of their days, and what they come to in
    /// minutes and hours is made by SQL. Beyond the first five there is no more than that to be known of them.
    pub fn make(bench: &Bench, days: i64) -> Year {
        let to_us = jiff::Timestamp::now().as_microsecond();
        let from_us = to_us - days * DAY * SECOND;
        let mut receiver = start(bench);
        let agent = Agent::on(&receiver);
        let value = |quantity: &&str| json!({ "quantity": quantity, "value": 0.5, "unit": "" });
        agent.sends(
            true,
            &[json!({
                "seq": 1, "port": "climate", "captured_at_us": from_us - SECOND, "age_ms": 5, "stale_after_ms": 10_000,
                "stale": true, "values": QUANTITIES.iter().map(value).collect::<Vec<_>>()
            })],
        );
        agent.is_told(1, 5);
        receiver.program.terminate();
        fill(bench, days, from_us);
        let receiver = start(bench);
        receiver.program.logs("history: storing readings in ", "");
        let (status, told) = get_json(&receiver.page, "/api/series");
        assert_eq!(status, 200, "{told}");
        let all = told["series"].as_array().expect("a list").iter();
        let series = all.map(|series| series["id"].as_i64().expect("a number")).collect();
        Year { receiver, from_us, to_us, series }
    }

    /// So many charts at random places.
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

    /// The first seconds of all series.
    pub fn export(&self, seconds: i64) -> Exported {
        let before = self.receiver.program.memory();
        let mut most = before;
        let start = Instant::now();
        let path = format!("/api/readings.csv?from_us={}&to_us={}", self.from_us, self.from_us + seconds * SECOND);
        let mut body = open(&self.receiver.page, &path).body;
        let (mut bytes, mut lines, mut first_byte) = (0, 0, None);
        let mut part = vec![0; 1 << 20];
        loop {
            let length = body.read(&mut part).expect("the rest of it");
            first_byte.get_or_insert_with(|| start.elapsed());
            if length == 0 {
                break;
            }
            bytes += length;
            lines += memchr::memchr_iter(b'\n', &part[..length]).count();
            most = most.max(self.receiver.program.memory());
        }
        let first_byte = first_byte.expect("an answer");
        // The first line says what is in the others.
        Exported { readings: lines - 1, bytes, first_byte, all: start.elapsed(), memory: (before, most) }
    }
}

fn start(bench: &Bench) -> Receiver {
    bench.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\nkeep = \"9999d\"")
}

fn fill(bench: &Bench, days: i64, from_us: i64) {
    let file = Connection::open(bench.history()).expect("a history");
    file.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .expect("it is ours");
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
        file.execute_batch("BEGIN").expect("it is ours");
        for series in 1..=QUANTITIES.len() as i64 {
            let begin_us = from_us + day * DAY * SECOND;
            insert.execute((series, begin_us, 5 + series + day * DAY * 5)).expect("new ones");
            for sum in &mut sums {
                sum.execute((series, begin_us, begin_us + DAY * SECOND)).expect("new ones");
            }
        }
        file.execute_batch("COMMIT").expect("it is ours");
    }
    file.execute("UPDATE kept SET last = ?", [5 + days * DAY * 5]).expect("one");
    file.execute_batch("PRAGMA journal_mode = WAL").expect("it is ours");
}

#[test]
fn charts_and_exports_of_long_times_are_what_is_there() {
    let bench = Bench::new();
    let year = Year::make(&bench, 1);
    let random = &mut fastrand::Rng::with_seed(1);
    for (name, seconds) in SPANS {
        let charts = year.charts(seconds, 3, random);
        let whole = seconds < DAY;
        assert!(charts.points <= 600 && charts.points > if whole { 50 } else { 0 }, "{name}: {}", charts.points);
        assert!(charts.median <= charts.worst && charts.worst < crate::harness::PATIENCE, "{name}: {:?}", charts.worst);
    }
    let exported = year.export(3_600);
    assert_eq!(exported.readings, 5 * 3_600);
    assert!(exported.bytes > 30 * exported.readings && exported.first_byte <= exported.all);
    let all = year.export(DAY);
    let (before, most) = all.memory;
    assert!(most < before + (8 << 20), "{} bytes were sent: memory from {before} to {most}", all.bytes);
    crate::history_expiry::agree(&bench.history());
}
