use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::http::get_json;
use crate::harness::{Bench, FakeAgent, Receiver};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Time of the first reading; deliberately not a full minute.
const START: i64 = 1_795_284_017_123_456;

/// Times and values of one port.
type Readings = Vec<(i64, f64)>;

/// Makes readings of two alternating ports: one a second for 90 minutes, then one every seven minutes for two weeks.
/// Returns them by port and as messages.
fn measure(random: &mut fastrand::Rng) -> (BTreeMap<&'static str, Readings>, Vec<Vec<Value>>) {
    let (mut readings, mut batches) = (BTreeMap::<_, Readings>::new(), Vec::new());
    let seconds = (0..5_400).map(|n| START + n * SECOND);
    let sparse = (0..2_880).map(|n| START + 2 * HOUR + n * 7 * MINUTE);
    for (index, at_us) in seconds.chain(sparse).enumerate() {
        let port = ["climate", "cellar"][index % 2];
        let at_us = at_us + random.i64(0..SECOND);
        // SQLite stores -0.0 as 0.0.
        let value = (random.f64() * 2_000.0 - 1_000.0).round() / 8.0 + 0.0;
        readings.entry(port).or_default().push((at_us, value));
        batches.push(json!({
            "seq": index + 1, "port": port, "captured_at_us": at_us, "age_ms": 5, "stale_after_ms": 10_000, "stale": true,
            "values": [{ "quantity": "t", "value": value, "unit": "°C" }]
        }));
    }
    (readings, batches.chunks(100).map(<[_]>::to_vec).collect())
}

/// Sends the messages in random order, some of them twice.
fn send(agent: &FakeAgent, mut messages: Vec<Vec<Value>>, random: &mut fastrand::Rng) {
    let last = messages.last().and_then(|message| message.last()).expect("not empty").clone();
    let again: Vec<_> = messages.iter().filter(|_| random.bool()).cloned().collect();
    messages.extend(again);
    random.shuffle(&mut messages);
    for message in &messages {
        agent.send(true, message);
    }
    let all = last["seq"].as_u64().expect("a number");
    agent.send_until_acked(&last, (1, all));
}

/// The series, by port.
fn series(receiver: &Receiver) -> BTreeMap<String, Value> {
    let (status, body) = get_json(&receiver.page, "/api/series");
    assert_eq!(status, 200, "{body}");
    let all = body["series"].as_array().expect("a list").iter();
    all.map(|series| (series["port"].as_str().expect("a name").to_owned(), series.clone())).collect()
}

/// The points that a chart must show with steps of this length.
fn expected(readings: &[(i64, f64)], from_us: i64, to_us: i64, step_us: i64) -> Vec<(i64, f64, f64, f64)> {
    if step_us == 0 {
        let requested = readings.iter().filter(|(at_us, _)| (from_us..to_us).contains(at_us));
        return requested.map(|(at_us, value)| (*at_us, *value, *value, *value)).collect();
    }
    let mut steps = BTreeMap::<i64, Vec<f64>>::new();
    for (at_us, value) in readings {
        steps.entry(at_us.div_euclid(step_us) * step_us).or_default().push(*value);
    }
    let is_requested = |at_us: &i64| *at_us < to_us && at_us + step_us > from_us;
    let steps = steps.into_iter().filter(|(at_us, _)| is_requested(at_us));
    steps
        .map(|(at_us, values)| {
            let [min, max] = [f64::min, f64::max].map(|of| values.iter().copied().reduce(of).expect("not empty"));
            (at_us, min, max, values.iter().sum::<f64>() / values.len() as f64)
        })
        .collect()
}

#[test]
fn charts_match_readings_at_every_zoom() {
    let random = &mut fastrand::Rng::with_seed(7);
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let (readings, messages) = measure(random);
    send(&FakeAgent::on(&receiver), messages, random);
    let series = series(&receiver);
    assert_eq!(series.len(), 2);
    let mut seen = BTreeSet::new();
    for round in 0..200 {
        let port = if round % 2 == 0 { "climate" } else { "cellar" };
        let readings = &readings[port];
        let id = &series[port]["id"];
        assert_eq!(series[port]["first_us"], readings[0].0);
        assert_eq!(series[port]["last_us"], readings[readings.len() - 1].0);
        let span = [SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 40 * DAY][round / 2 % 8];
        let points = [2, 7, 30, 600, 2_000][random.usize(..5)];
        let from_us = START - HOUR + random.i64(0..if round % 3 == 0 { 15 * DAY } else { 3 * HOUR });
        let to_us = from_us + span;
        let path = format!("/api/chart?series={id}&from_us={from_us}&to_us={to_us}&points={points}");
        let (status, chart) = get_json(&receiver.page, &path);
        assert_eq!(status, 200, "{chart}");
        let step_us = chart["step_us"].as_i64().expect("a number");
        let shown: Vec<(i64, f64, f64, f64)> = serde_json::from_value(chart["points"].clone()).expect("points");
        assert!(shown.len() <= points, "{} points: {path}", shown.len());
        let expected = expected(readings, from_us, to_us, step_us);
        assert_eq!(shown.len(), expected.len(), "{path}: {chart}");
        for (shown, expected) in shown.iter().zip(&expected) {
            let ((at, min, max, mean), (at_us, lowest, highest, average)) = (*shown, *expected);
            assert_eq!((at, min.to_bits(), max.to_bits()), (at_us, lowest.to_bits(), highest.to_bits()), "{path}");
            assert!((mean - average).abs() < 1e-6, "{path}: {mean} and not {average}");
        }
        if !shown.is_empty() {
            seen.insert(match step_us {
                0 => "readings",
                step if step % HOUR == 0 => "hours",
                step if step % MINUTE == 0 => "minutes",
                _ => "seconds",
            });
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// Sends readings of a port at these times, with their index as their value.
fn send_at(agent: &FakeAgent, first_seq: usize, port: &str, stale_after_ms: i64, times: &[i64]) {
    let batches = times.iter().enumerate().map(|(index, at_us)| {
        json!({
            "seq": first_seq + index, "port": port, "captured_at_us": at_us, "age_ms": 5, "stale_after_ms": stale_after_ms,
            "stale": false, "values": [{ "quantity": "t", "value": index, "unit": "°C" }],
        })
    });
    for message in batches.collect::<Vec<_>>().chunks(100) {
        agent.send(false, message);
    }
    let last = first_seq + times.len() - 1;
    loop {
        let (_, seq) = agent.ack().expect("an ack");
        if seq as usize == last {
            break;
        }
    }
}

/// The length of a chart's steps, and the times of the points on either side of each gap.
fn gaps(receiver: &Receiver, series: &Value, period: (i64, i64), points: usize) -> (i64, Vec<(i64, i64)>) {
    let (from_us, to_us) = period;
    let path = format!("/api/chart?series={}&from_us={from_us}&to_us={to_us}&points={points}", series["id"]);
    let (status, chart) = get_json(&receiver.page, &path);
    assert_eq!(status, 200, "{chart}");
    let at = |index: u64| chart["points"][index as usize][0].as_i64().expect("a time");
    let breaks = chart["breaks"].as_array().expect("a list").iter().map(|index| index.as_u64().expect("an index"));
    (chart["step_us"].as_i64().expect("a number"), breaks.map(|index| (at(index - 1), at(index))).collect())
}

/// Two readings a second for ten minutes, except for these seconds.
fn twice_a_second(gaps: &[std::ops::Range<i64>]) -> Vec<i64> {
    let times = (0..1_200).map(|n| START + n * SECOND / 2);
    times.filter(|at| !gaps.iter().any(|gap| gap.contains(&((at - START) / SECOND)))).collect()
}

#[test]
fn charts_break_at_gaps_at_every_zoom() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    // The first reading comes 17 s after a full minute: 75 s without a reading leave no minute empty.
    let (short, long) = (100..114, 240..315);
    send_at(&agent, 1, "air", 3_600_000, &twice_a_second(&[short.clone(), long.clone()]));
    let series = series(&receiver)["air"].clone();
    let near = |(from, to): (i64, i64), gap: &std::ops::Range<i64>, step_us: i64| {
        let (start, end) = (START + gap.start * SECOND, START + gap.end * SECOND);
        (start - SECOND - step_us..=start).contains(&from) && (end - step_us..=end + SECOND).contains(&to)
    };
    for (points, step, expected) in [
        (2_000, 0, vec![&short, &long]),
        (600, 1, vec![&short, &long]),
        (61, 10, vec![&short, &long]),
        (31, 60, vec![&long]),
        (4, 240, vec![]),
    ] {
        let (step_us, found) = gaps(&receiver, &series, (START, START + 10 * MINUTE), points);
        assert!((step * SECOND..=(step + 1) * SECOND).contains(&step_us), "{points} points: steps of {step_us} us");
        assert_eq!(found.len(), expected.len(), "{points} points: {found:?}");
        for (found, gap) in found.iter().zip(expected) {
            assert!(near(*found, gap, step_us), "{points} points: {found:?} is not {gap:?}");
        }
    }
    // A period with one reading on either side of the gap has it, too.
    let gap_us = (START + 99_500_000, START + 114 * SECOND);
    let (_, found) = gaps(&receiver, &series, (gap_us.0, gap_us.1 + 1), 600);
    assert_eq!(found, [gap_us]);
}

#[test]
fn gaps_are_measured_by_the_intervals_of_the_series() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let long = 10_000_000;
    let mut seq = 1;
    let mut found = |port: &str, stale_after_ms: i64, seconds: &[f64], points: usize| {
        let times: Vec<i64> = seconds.iter().map(|seconds| START + (seconds * 1e6) as i64).collect();
        send_at(&agent, seq, port, stale_after_ms, &times);
        seq += times.len();
        let period = (START, times[times.len() - 1] + 1);
        let (step_us, found) = gaps(&receiver, &series(&receiver)[port], period, points);
        let second = |us: i64| (us - START) as f64 / 1e6;
        (step_us, found.iter().map(|(from, to)| (second(*from), second(*to))).collect::<Vec<_>>())
    };
    // A board that writes once an hour has a line, even if its readings count as stale after seconds.
    let hours: Vec<f64> = (0..6).map(|n| f64::from(n) * 3_600.0).collect();
    assert_eq!(found("hourly", 10_000, &hours, 600), (0, vec![]));
    // Its rate may change: only the step to the first slow reading is too long.
    let change: Vec<f64> = (0..100).map(|n| f64::from(n) / 2.0).chain((1..30).map(|n| f64::from(n) * 600.0)).collect();
    assert_eq!(found("change", long, &change, 600), (0, vec![(49.5, 600.0)]));
    // A reading alone between two gaps belongs to neither side.
    let alone = [0.0, 0.5, 1.0, 1.5, 15.5, 30.0, 30.5, 31.0, 31.5];
    assert_eq!(found("alone", long, &alone, 600), (0, vec![(1.5, 15.5), (15.5, 30.0)]));
    // One missed reading makes a gap only if the value was shown as stale meanwhile.
    let missed = [0.0, 8.0, 16.0, 24.0, 40.0, 48.0, 56.0];
    assert_eq!(found("missed", long, &missed, 600), (0, vec![]));
    assert_eq!(found("stale", 15_000, &missed, 600), (0, vec![(24.0, 40.0)]));
    // Nothing is known about two readings but when they are stale.
    assert_eq!(found("two", 10_000, &[0.0, 75.0], 600), (0, vec![(0.0, 75.0)]));
    assert_eq!(found("fresh", 100_000, &[0.0, 75.0], 600), (0, vec![]));
    // Three days of one reading a minute, in steps of three hours, which only the table of hours has.
    let day: Vec<f64> = (0..4_320).filter(|n| !(1_000..1_600).contains(n)).map(|n| f64::from(n) * 60.0).collect();
    let (step_us, days) = found("days", long, &day, 30);
    assert_eq!((step_us, days.len()), (3 * HOUR, 1), "{days:?}");
    assert!(
        (0.0..10_800.0).contains(&(59_940.0 - days[0].0)) && (0.0..10_800.0).contains(&(96_000.0 - days[0].1)),
        "{days:?}"
    );
}

#[test]
fn invalid_chart_and_export_requests_are_explained() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let mut extreme = crate::harness::batch(1, 4);
    for (index, value) in [f64::MAX, f64::MAX, f64::MIN, f64::MIN].into_iter().enumerate() {
        extreme["values"][index]["value"] = value.into();
    }
    let mut ancient = crate::harness::batch(5, 5);
    ancient["captured_at_us"] = (-62_135_596_800_000_000_i64).into();
    let mut future = crate::harness::batch(6, 6);
    future["captured_at_us"] = 253_402_300_799_999_999_i64.into();
    agent.send(true, &[extreme, ancient, future]);
    agent.expect_ack(1, 6);
    for (status, path) in [
        (400, "/api/chart"),
        (400, "/api/chart?series=1&from_us=0"),
        (400, "/api/chart?series=one&from_us=0&to_us=1"),
        (400, "/api/chart?series=../../etc&from_us=0&to_us=1"),
        (400, "/api/chart?series=1&from_us=1&to_us=1"),
        (400, "/api/chart?series=1&from_us=9223372036854775807&to_us=-9223372036854775808"),
        (400, "/api/chart?series=1&from_us=-9223372036854775808&to_us=9223372036854775807"),
        (400, "/api/chart?series=1&from_us=0&to_us=1e9"),
        (400, "/api/chart?series=1&from_us=0&to_us=NaN"),
        (400, "/api/chart?series=1&from_us=0&to_us=1&points=1"),
        (400, "/api/chart?series=1&from_us=0&to_us=1&points=2001"),
        (400, "/api/chart?series=1&from_us=0&to_us=1&points=99999999999999999999"),
        (400, "/api/chart?series=1&series=1&from_us=0&to_us=1"),
        (400, "/api/chart?series=1&from_us=0&to_us=1&width=7"),
        (400, "/api/chart?series=%ff%00&from_us=0&to_us=1"),
        (404, "/api/chart?series=9223372036854775807&from_us=0&to_us=1"),
        (404, "/api/chart?series=-1&from_us=0&to_us=1"),
        (400, "/api/readings.csv?series="),
        (400, "/api/readings.csv?series=1,,1"),
        (400, "/api/readings.csv?from_us=x"),
        (400, "/api/readings.json?from_us=5&to_us=4"),
        (404, "/api/readings.json?series=1,77"),
        (400, "/api/series?limit=0"),
        (400, "/api/series?limit=1001"),
        (400, "/api/series?after=x"),
        (400, "/api/series?from=1"),
        (400, "/api/readings.json?path=/etc/passwd"),
    ] {
        let (got, body) = get_json(&receiver.page, path);
        assert_eq!(got, status, "{path}: {body}");
        assert!(body["error"].as_str().is_some_and(|reason| reason.len() > 10), "{path}: {body}");
    }
    // The longest range and the largest numbers are valid.
    let path = "/api/chart?series=1&from_us=-62135596800000000&to_us=253402300800000000&points=2";
    let (status, chart) = get_json(&receiver.page, path);
    let points = chart["points"].as_array().expect("a list");
    assert!(status == 200 && points.iter().any(|point| point[1] == json!(f64::MIN)), "{chart}");
    for span in [MINUTE, DAY, 400 * DAY] {
        let from_us = 1_795_284_000_000_000 - span;
        let path = format!("/api/chart?series=1&from_us={from_us}&to_us={}&points=2", from_us + 3 * span);
        let (status, chart) = get_json(&receiver.page, &path);
        assert_eq!((status, &chart["points"][0][2]), (200, &json!(f64::MAX)), "{chart}");
        assert!(chart["points"][0][3].is_f64(), "{chart}");
    }
}

#[test]
fn queries_without_a_history_state_the_reason() {
    let bench = Bench::new();
    let link = "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\noff = true";
    let receiver = bench.receiver(link);
    for path in ["/api/series", "/api/chart?series=1&from_us=0&to_us=1", "/api/readings.csv"] {
        let (status, body) = get_json(&receiver.page, path);
        assert_eq!(
            (status, body["error"].as_str()),
            (404, Some("this receiver stores no history: [history] off = true"))
        );
    }
}
