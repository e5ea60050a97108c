use serde_json::{Value, json};

use crate::harness::{Agent, Bench, Browser, now_us};

const MINUTE: i64 = 60_000_000;

/// An hour of readings, one at each full minute whose value is the minute, without those of 20 to 30 minutes ago; and one of now.
fn an_hour() -> Vec<Value> {
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

/// The minute in the words under the cursor, and the value beside it.
async fn under_cursor(browser: &Browser) -> (String, String) {
    let words = browser
        .becomes(
            "words at the cursor",
            "return [document.getElementById('chart-moment').textContent, document.getElementById('chart-value').textContent]",
            &[],
            |words| !words[0].as_str().unwrap_or_default().contains("newest"),
        )
        .await;
    let text = |index: usize| words[index].as_str().expect("words").to_owned();
    let minute = text(0).rsplit(':').nth(1).expect("a time").trim_start_matches('0').to_owned();
    (if minute.is_empty() { "0".into() } else { minute }, text(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_shows_the_value_under_the_cursor_and_gaps_as_gaps() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    agent.sends(false, &an_hour());
    let browser = Browser::open(&bench, &receiver.page).await;
    // The card leads to its chart, as soon as the history knows the series.
    browser.click("a[data-reading='shed/climate/minute'][href]").await;
    browser.sees("body[data-view=chart]").await;
    browser.click("#chart-ranges [data-width='3600000000']").await;
    browser
        .becomes("a line", "return document.querySelector('#chart-plot .plot-line').getAttribute('d')", &[], |d| {
            // Two runs: what lies on either side of the gap is not joined.
            d.as_str().is_some_and(|d| d.matches('M').count() == 2)
        })
        .await;

    for part in [0.1, 0.3, 0.75, 0.9] {
        browser.points("#chart-area", part).await;
        browser.sees("#chart-area[data-cursor=true][data-found=true]").await;
        let (minute, value) = under_cursor(&browser).await;
        assert_eq!(minute, value, "at {part} of the width");
    }
    // Twenty-five minutes ago; the right edge is a fiftieth of the width after now.
    browser.points("#chart-area", 0.98 - 25.0 / 60.0).await;
    browser.sees("#chart-area[data-cursor=true][data-found=false]").await;
    browser.reads("#chart-value", &["–"]).await;

    browser.run("document.getElementById('chart-area').focus()", &[]).await;
    for _ in 0..60 {
        browser.presses('\u{e014}').await; // right
    }
    browser.sees("#chart-area[data-found=true]").await;
    let (minute, value) = under_cursor(&browser).await;
    assert_eq!(minute, value, "after the keys");

    browser.drags("#chart-area", 0.7, 0.9).await;
    browser
        .becomes("the range that was dragged over", "return location.hash", &[], |hash| {
            let width =
                hash.as_str().and_then(|hash| hash.split_once("width=")?.1.split('&').next()?.parse::<u32>().ok());
            width.is_some_and(|seconds| (600..840).contains(&seconds))
        })
        .await;
    let csv = browser.attribute("#chart-csv", "href").await;
    let text = browser.run("return fetch(arguments[0]).then((answer) => answer.text())", &[json!(csv)]).await;
    assert!(text.as_str().is_some_and(|text| text.contains("minute") && text.lines().count() > 9), "{text}");
    browser.click("#chart-footage").await;
    browser.sees("body[data-view=history]").await;
    browser.close().await;
}
