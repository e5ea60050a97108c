use serde_json::{Value, json};

use crate::harness::{Bench, Browser, FakeAgent, now_us};

const SECOND: i64 = 1_000_000;

/// Readings of a board with two a second, at these ages in half seconds, with their number as their value.
fn readings(first_seq: i64, half_seconds_ago: impl IntoIterator<Item = i64>) -> Vec<Value> {
    let now = now_us();
    let ages = half_seconds_ago.into_iter().zip(first_seq..);
    ages.map(|(age, seq)| {
        json!({
            "seq": seq, "port": "climate", "captured_at_us": now - age * SECOND / 2, "age_ms": age * 500,
            "stale_after_ms": 3_600_000, "stale": false,
            "values": [{ "quantity": "humidity", "value": 40 + seq % 7, "unit": "%" }],
        })
    })
    .collect()
}

/// Waits until each of these paths of a chart consists of this number of pieces.
async fn sees_pieces(browser: &Browser, chart: &str, paths: [&str; 2], pieces: usize) {
    for path in paths {
        let d = format!("return document.querySelector('{chart} .{path}')?.getAttribute('d')");
        let is_drawn = |d: &Value| d.as_str().is_some_and(|d| d.matches('M').count() == pieces);
        browser.becomes(&format!("{pieces} pieces of {chart} {path}"), &d, &[], is_drawn).await;
    }
}

const CARD: &str = "[data-reading=\"shed/climate/humidity\"]";
const SPARK: [&str; 2] = ["spark-line", "spark-band"];
const PLOT: [&str; 2] = ["plot-line", "plot-band"];

/// How long ago the middles of the two gaps of [`gaps`] are.
const MIDDLES: [i64; 2] = [97 * SECOND + SECOND / 2, 203 * SECOND];

/// The ages of readings over five minutes, with gaps of 14 s and 75 s.
fn ages() -> Vec<i64> {
    (120..600).rev().filter(|age| !(121..270).contains(age) && !(393..420).contains(age)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_stay_open_in_all_charts_live_and_reloaded() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    let (stored, start) = (readings(1, ages()), now_us());
    for message in stored.chunks(100) {
        agent.send(false, message);
    }
    let browser = Browser::open(&bench, &receiver.page).await;
    let open = async |hash: &str| {
        browser.run("location.hash = arguments[0]", &[json!(hash)]).await;
    };
    sees_pieces(&browser, CARD, SPARK, 3).await;
    let id = browser.attribute(&format!("a{CARD}[href]"), "href").await;
    let id = id.split_once("series=").and_then(|(_, rest)| rest.split('&').next()).expect("a series").to_owned();
    let chart = format!("#chart?series={id}&width=3600");
    open(&chart).await;
    sees_pieces(&browser, "#chart-plot", PLOT, 3).await;
    for middle in MIDDLES {
        points_at(&browser, start - middle).await;
        browser.sees("#chart-area[data-cursor=true][data-found=false]").await;
        browser.reads("#chart-spread", &["no reading"]).await;
        open(&format!("#history?at={}&width=600", start - middle)).await;
        sees_pieces(&browser, ".series-chart", PLOT, 3).await;
        browser.reads(".series-spread", &["no reading"]).await;
        open(&chart).await;
    }

    // The board returns after a minute, and is silent again for 14 s: the pages show it without being reloaded.
    let live = readings(1_000, (0..40).rev().filter(|age| !(6..33).contains(age)));
    agent.send(false, &live);
    sees_pieces(&browser, "#chart-plot", PLOT, 5).await;
    open(&format!("#history?at={}&width=600", now_us())).await;
    sees_pieces(&browser, ".series-chart", PLOT, 5).await;
    browser.client.refresh().await.expect("a reload");
    sees_pieces(&browser, ".series-chart", PLOT, 5).await;
    open(&chart).await;
    sees_pieces(&browser, "#chart-plot", PLOT, 5).await;
    open("#now").await;
    sees_pieces(&browser, CARD, SPARK, 5).await;
    browser.close().await;
}

/// Moves the pointer to a time in the chart.
async fn points_at(browser: &Browser, us: i64) {
    browser.sees("#chart-nothing[hidden]").await;
    let ends = "const { ariaValueMin, ariaValueMax } = document.getElementById('chart-area'); return [ariaValueMin, ariaValueMax].map(Number)";
    let ends = browser.run(ends, &[]).await;
    let end = |index: usize| ends[index].as_f64().expect("seconds");
    browser.points("#chart-area", (us as f64 / 1e6 - end(0)) / (end(1) - end(0))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_line_has_gaps_without_a_history() {
    let bench = Bench::new();
    let receiver = bench.receiver("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[history]\noff = true");
    let agent = FakeAgent::on(&receiver);
    let browser = Browser::open(&bench, &receiver.page).await;
    // One after the other, so that the page gets each: a wall has only the newest.
    let half_seconds_ago = [240, 239, 238, 237, 87, 86, 85, 57, 56, 55];
    for (age, seq) in half_seconds_ago.into_iter().zip(1..) {
        agent.send(false, &readings(seq, [age]));
        browser.sees(&format!("{CARD}[data-value='{}']", 40 + seq % 7)).await;
    }
    sees_pieces(&browser, CARD, SPARK, 3).await;
    browser.close().await;
}
