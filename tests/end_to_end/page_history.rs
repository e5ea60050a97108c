use serde_json::{Value, json};

use crate::harness::film::numbered;
use crate::harness::{Bench, Browser, Receiver, Sender, now_us};

const FRAMES: u8 = 40;
const FRAME_INTERVAL_US: i64 = 250_000;

/// Records ten seconds of numbered pictures; returns the receiver, the sender and the capture times.
fn record_numbered(bench: &Bench) -> (Receiver, Sender, Vec<i64>) {
    let dir = bench.path("recordings");
    let record = format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[record]\ndir = \"{}\"", dir.display());
    let receiver = bench.receiver(&record);
    let mut sender = Sender::new(&receiver.link, "door");
    let first = now_us() - 20_000_000;
    let times: Vec<i64> = (0..i64::from(FRAMES)).map(|number| first + number * FRAME_INTERVAL_US).collect();
    for (number, at) in (0..FRAMES).zip(&times) {
        sender.send(&numbered(number), *at);
    }
    (receiver, sender, times)
}

/// Records numbered pictures, and opens the page once the receiver has stored all of them.
async fn open_recorded(bench: &Bench) -> (Receiver, Sender, Browser, Vec<i64>) {
    let (receiver, sender, times) = record_numbered(bench);
    let browser = Browser::open(bench, &receiver.page).await;
    let end = "return fetch('/api/recordings?from_us=0&to_us=' + arguments[0]).then((answer) => answer.json())
        .then(({ cameras }) => Math.max(0, ...cameras.flatMap(({ spans }) => spans.map(([, to]) => to))))";
    let last = times[times.len() - 1];
    // The receiver dates a frame by its arrival and age, so its time may differ slightly.
    let is_complete = |end: &Value| end.as_i64().is_some_and(|end| end > last - FRAME_INTERVAL_US / 2);
    browser.becomes("all pictures recorded", end, &[json!(now_us())], is_complete).await;
    (receiver, sender, browser, times)
}

/// Script: the number encoded in the bars of the history's picture, or null without a picture.
const SHOWN_NUMBER: &str = "
    const tile = document.querySelector('.moment[data-state=shown] .moment-picture');
    if (!tile) return null;
    const bars = tile.getContext('2d').getImageData(0, tile.height / 2, tile.width, 1).data;
    return [...Array(8).keys()].reduce((sum, bit) => sum + (bars[(bit * 8 + 4) * 4] > 128 ? 1 << bit : 0), 0);";

/// Returns a moment's position as a fraction of the shown range.
async fn position_of(browser: &Browser, us: i64) -> f64 {
    let ends = "const { ariaValueMin, ariaValueMax } = document.getElementById('history-area'); return [ariaValueMin, ariaValueMax]";
    let ends = browser.run(ends, &[]).await;
    let end = |index: usize| ends[index].as_str().and_then(|end| end.parse::<f64>().ok()).expect("seconds");
    (us as f64 / 1e6 - end(0)) / (end(1) - end(0))
}

async fn shows(browser: &Browser, number: usize) {
    browser.becomes(&format!("picture {number}"), SHOWN_NUMBER, &[], |shown| *shown == number).await;
}

/// Waits until the page has drawn the recorded spans.
async fn sees_spans(browser: &Browser) {
    let spans = "return document.querySelector('.spans-path')?.getAttribute('d')";
    browser.becomes("the recorded spans", spans, &[], |d| d.as_str().is_some_and(|d| !d.is_empty())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dragging_to_a_moment_shows_its_picture() {
    let bench = Bench::new();
    let (_receiver, _sender, browser, times) = open_recorded(&bench).await;
    let middle = times[20] + FRAME_INTERVAL_US / 2;
    browser.run("location.hash = arguments[0]", &[json!(format!("#history?at={middle}&width=14"))]).await;
    shows(&browser, 20).await;
    sees_spans(&browser).await;
    for (from, to) in [(20, 3), (3, 37), (37, 12)] {
        let (start, end) = (times[from] + FRAME_INTERVAL_US / 2, times[to] + FRAME_INTERVAL_US / 2);
        browser.drags("#tracks", position_of(&browser, start).await, position_of(&browser, end).await).await;
        shows(&browser, to).await;
    }
    // Frame by frame; the cursor follows the capture times.
    for number in [13, 14] {
        browser.presses('\u{e014}').await; // right
        shows(&browser, number).await;
    }
    for number in [13, 12, 11] {
        browser.presses('\u{e012}').await; // left
        shows(&browser, number).await;
    }
    // Nothing was recorded before the first frame.
    let before = position_of(&browser, times[0] - 500_000).await;
    browser.drags("#tracks", position_of(&browser, times[11]).await, before).await;
    browser.reads(".moment[data-state=none]", &["Nothing recorded"]).await;
    // Playback skips to the next footage.
    browser.presses(' ').await;
    shows(&browser, 39).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn url_with_a_camera_shows_only_that_camera() {
    let bench = Bench::new();
    let (receiver, mut sender, times) = record_numbered(&bench);
    (sender.camera, sender.seq) = ("yard", 0);
    for at in &times {
        sender.send(&numbered(7), *at);
    }
    let page = format!("{}/#history?at={}&width=14&camera=shed%2Fyard", receiver.page, times[20]);
    let browser = Browser::open(&bench, &page).await;
    shows(&browser, 7).await;
    let shown = "return [...document.querySelectorAll('.moment')].map((tile) => [tile.dataset.camera, tile.hidden])";
    let only_yard = json!([["shed/door", true], ["shed/yard", false]]);
    browser.becomes("one camera", shown, &[], |shown| *shown == only_yard).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_range_can_be_downloaded() {
    let bench = Bench::new();
    let (_receiver, _sender, browser, times) = open_recorded(&bench).await;
    browser
        .run(
            "location.hash = arguments[0]",
            &[json!(format!("#history?at={}&width=14", times[10] + FRAME_INTERVAL_US / 2))],
        )
        .await;
    shows(&browser, 10).await;
    browser.presses('[').await;
    browser
        .drags(
            "#tracks",
            position_of(&browser, times[10]).await,
            position_of(&browser, times[29] + FRAME_INTERVAL_US / 2).await,
        )
        .await;
    shows(&browser, 29).await;
    browser.presses(']').await;
    let download = browser.sees("#selection-links a[href*='/shed/door/range.mkv']").await;
    let download = download.attr("href").await.expect("an attribute").expect("an address");
    let head = "return fetch(arguments[0]).then(async (answer) => [answer.status, ...new Uint8Array(await answer.arrayBuffer()).slice(0, 4)])";
    // EBML's first bytes, RFC 8794.
    let expected: Value = json!([200, 0x1a, 0x45, 0xdf, 0xa3]);
    assert_eq!(browser.run(head, &[json!(download)]).await, expected);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_finds_footage_recorded_while_it_is_open() {
    let bench = Bench::new();
    let (_receiver, mut sender, browser, times) = open_recorded(&bench).await;
    let to = |at: i64| json!(format!("#history?at={at}&width=14"));
    let newest = times[times.len() - 1];
    browser.run("location.hash = arguments[0]", &[to(times[20])]).await;
    sees_spans(&browser).await;
    browser.run("location.hash = arguments[0]", &[to(newest + 4 * FRAME_INTERVAL_US)]).await;
    shows(&browser, 39).await;
    // The step button reaches a frame that is recorded later.
    sender.send(&numbered(40), newest + FRAME_INTERVAL_US);
    let step = format!("document.getElementById('step-forward').click(); {SHOWN_NUMBER}");
    browser.becomes("the next frame", &step, &[], |shown| *shown == 40).await;

    // "Nothing recorded" disappears once late frames arrive.
    let later = newest + 5_000_000;
    browser.run("location.hash = arguments[0]", &[to(later)]).await;
    browser.reads(".moment[data-state=none]", &["Nothing recorded"]).await;
    sender.send(&numbered(41), later - FRAME_INTERVAL_US / 2);
    sender.send(&numbered(42), later + FRAME_INTERVAL_US / 2);
    shows(&browser, 41).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_explains_how_to_enable_recording() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.click("#views [href='#history']").await;
    browser.reads("#no-footage", &["Nothing is recorded", "[record]"]).await;
    browser.close().await;
}
