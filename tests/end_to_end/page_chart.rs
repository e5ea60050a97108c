use serde_json::{Value, json};

use crate::harness::{Bench, Browser, FakeAgent, Receiver, now_us};

const MINUTE: i64 = 60_000_000;

/// An hour of readings: one at each full minute, with the minute as its value, and one now. Those from 20 to 30 minutes
/// ago are missing.
fn hour_of_readings() -> Vec<Value> {
    let now = now_us();
    let whole = now / MINUTE * MINUTE;
    let minutes =
        (1..=60).rev().map(|ago| whole - ago * MINUTE).filter(|at| !(20..30).contains(&((now - at) / MINUTE)));
    let times = minutes.chain([now]);
    times
        .zip(1..)
        .map(|(at, seq)| {
            let value = at / MINUTE % 60;
            json!({
                "seq": seq, "port": "climate", "captured_at_us": at, "age_ms": (now - at) / 1000, "stale_after_ms": 3_600_000,
                "stale": false, "values": [{ "quantity": "minute", "value": value, "unit": "" }],
            })
        })
        .collect()
}

/// Returns the minute and the value that the page shows for the cursor.
async fn under_cursor(browser: &Browser) -> (String, String) {
    let words = browser
        .becomes(
            "text at the cursor",
            "return [document.getElementById('chart-moment').textContent, document.getElementById('chart-value').textContent]",
            &[],
            |words| !words[0].as_str().unwrap_or_default().contains("newest"),
        )
        .await;
    let text = |index: usize| words[index].as_str().expect("text").to_owned();
    let minute = text(0).rsplit(':').nth(1).expect("a time").trim_start_matches('0').to_owned();
    (if minute.is_empty() { "0".into() } else { minute }, text(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn chart_shows_value_under_cursor_and_leaves_gaps_open() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(false, &hour_of_readings());
    let browser = Browser::open(&bench, &receiver.page).await;
    // The card links to its chart once the history knows the series.
    browser.click("a[data-reading='shed/climate/minute'][href]").await;
    browser.sees("body[data-view=chart]").await;
    browser.click("#chart-ranges [data-width='3600000000']").await;
    browser
        .becomes("a line", "return document.querySelector('#chart-plot .plot-line').getAttribute('d')", &[], |d| {
            // Two runs: the line does not cross the gap.
            d.as_str().is_some_and(|d| d.matches('M').count() == 2)
        })
        .await;

    for part in [0.1, 0.3, 0.75, 0.9] {
        browser.points("#chart-area", part).await;
        browser.sees("#chart-area[data-cursor=true][data-found=true]").await;
        let (minute, value) = under_cursor(&browser).await;
        assert_eq!(minute, value, "at {part} of the width");
    }
    // Twenty-five minutes ago. The right edge lies a fiftieth of the width after now.
    browser.points("#chart-area", 0.98 - 25.0 / 60.0).await;
    browser.sees("#chart-area[data-cursor=true][data-found=false]").await;
    browser.reads("#chart-value", &["–"]).await;

    browser.run("document.getElementById('chart-area').focus()", &[]).await;
    for _ in 0..60 {
        browser.presses('\u{e014}').await; // right
    }
    browser.sees("#chart-area[data-found=true]").await;
    let (minute, value) = under_cursor(&browser).await;
    assert_eq!(minute, value, "after the arrow keys");

    browser.drags("#chart-area", 0.7, 0.9).await;
    browser
        .becomes("the dragged range", "return location.hash", &[], |hash| {
            let width =
                hash.as_str().and_then(|hash| hash.split_once("width=")?.1.split('&').next()?.parse::<u32>().ok());
            width.is_some_and(|seconds| (600..840).contains(&seconds))
        })
        .await;
    // A past range shows its last reading instead of the newest.
    browser.points("#chart-csv", 0.5).await;
    browser.presses('\u{e00c}').await; // escape: removes the keyboard cursor
    browser.reads("#chart-moment", &["last, "]).await;
    let (minute, value) = under_cursor(&browser).await;
    assert_eq!(minute, value, "at the end of the range");
    let csv = browser.attribute("#chart-csv", "href").await;
    let text = browser.run("return fetch(arguments[0]).then((answer) => answer.text())", &[json!(csv)]).await;
    assert!(text.as_str().is_some_and(|text| text.contains("minute") && text.lines().count() > 9), "{text}");
    browser.click("#chart-footage").await;
    browser.sees("body[data-view=history]").await;
    browser.close().await;
}

/// Opens a browser with the chart of [`hour_of_readings`].
async fn open_chart(bench: &Bench) -> (Receiver, Browser) {
    let receiver = bench.pair_receiver();
    let agent = FakeAgent::on(&receiver);
    agent.send(false, &hour_of_readings());
    let browser = Browser::open(bench, &receiver.page).await;
    browser.click("a[data-reading='shed/climate/minute'][href]").await;
    browser.click("#chart-ranges [data-width='3600000000']").await;
    browser.sees("#chart-nothing[hidden]").await;
    (receiver, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn clicked_moment_opens_its_footage() {
    let bench = Bench::new();
    let (_receiver, browser) = open_chart(&bench).await;
    browser.drags("#chart-area", 0.3, 0.3).await;
    let now = "return Number(document.getElementById('chart-area').ariaValueNow)";
    let clicked = browser.run(now, &[]).await.as_f64().expect("seconds");
    browser.points("#chart-footage", 0.5).await;
    browser.reads("#chart-footage", &["of this moment"]).await;
    browser.click("#chart-footage").await;
    browser.sees("body[data-view=history]").await;
    let at = "return Number(document.getElementById('history-area').ariaValueNow)";
    browser
        .becomes("the history at that moment", at, &[], |at| at.as_f64().is_some_and(|at| (at - clicked).abs() < 1.0))
        .await;

    // Choosing a quantity by keyboard keeps the focus on its button.
    browser.click("#series-names button").await;
    browser.sees("#series-names button:focus[aria-pressed=false]").await;
    browser.presses(' ').await;
    browser.sees("#series-names button:focus[aria-pressed=true]").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chart_follows_now_again_after_a_suspend() {
    let bench = Bench::new();
    let (_receiver, browser) = open_chart(&bench).await;
    browser.sees("#chart-now:disabled").await;
    // An hour passes between two ticks. Hiding the `Date` header, even of a pending response, makes the page assume the
    // same of the receiver's clock.
    let sleep = "
        const { get } = Headers.prototype, { now } = Date;
        Headers.prototype.get = function (name) { return name === 'date' ? null : get.call(this, name); };
        Date.now = () => now() + 3_600_000;";
    let end = "return Number(document.getElementById('chart-area').ariaValueMax) * 1000 - Date.now()";
    browser.run(sleep, &[]).await;
    browser.becomes("now in the chart", end, &[], |ahead| ahead.as_f64().is_some_and(|ahead| ahead > 0.0)).await;
    browser.sees("#chart-now:disabled").await;
    browser.click("#chart-earlier").await;
    browser.sees("#chart-now:enabled").await;
    browser.close().await;
}
