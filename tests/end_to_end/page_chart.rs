use serde_json::{Value, json};

use crate::harness::{Agent, Bench, Browser, Receiver, now_us};

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
    // Of the past there is no newest reading, but a last one.
    browser.points("#chart-csv", 0.5).await;
    browser.presses('\u{e00c}').await; // escape: lets go of where the keys went
    browser.reads("#chart-moment", &["last, "]).await;
    let (minute, value) = under_cursor(&browser).await;
    assert_eq!(minute, value, "the range's last");
    let csv = browser.attribute("#chart-csv", "href").await;
    let text = browser.run("return fetch(arguments[0]).then((answer) => answer.text())", &[json!(csv)]).await;
    assert!(text.as_str().is_some_and(|text| text.contains("minute") && text.lines().count() > 9), "{text}");
    browser.click("#chart-footage").await;
    browser.sees("body[data-view=history]").await;
    browser.close().await;
}

/// A browser with the chart of what `an_hour` sends.
async fn charted(bench: &Bench) -> (Receiver, Browser) {
    let receiver = bench.pair_receiver();
    let agent = Agent::on(&receiver);
    agent.sends(false, &an_hour());
    let browser = Browser::open(bench, &receiver.page).await;
    browser.click("a[data-reading='shed/climate/minute'][href]").await;
    browser.click("#chart-ranges [data-width='3600000000']").await;
    browser.sees("#chart-nothing[hidden]").await;
    (receiver, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_was_clicked_leads_to_its_footage() {
    let bench = Bench::new();
    let (_receiver, browser) = charted(&bench).await;
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

    // Who chooses quantities by keyboard stays where the choice is.
    browser.click("#series-names button").await;
    browser.sees("#series-names button:focus[aria-pressed=false]").await;
    browser.presses(' ').await;
    browser.sees("#series-names button:focus[aria-pressed=true]").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_follows_now_does_so_after_a_sleep() {
    let bench = Bench::new();
    let (_receiver, browser) = charted(&bench).await;
    browser.sees("#chart-now:disabled").await;
    // An hour passes between two ticks: on this machine and, as no answer says otherwise, not even one that is under way, on
    // the receiver's.
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
