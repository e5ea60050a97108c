use serde_json::{Value, json};

use crate::harness::film::numbered;
use crate::harness::{Bench, Browser, Receiver, Sender, now_us};

const FRAMES: u8 = 40;
const APART_US: i64 = 250_000;

/// Who records ten seconds of pictures that tell their number, who has sent them, and when each was taken.
fn recorded(bench: &Bench) -> (Receiver, Sender, Vec<i64>) {
    let dir = bench.path("recordings");
    let record = format!("pattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[record]\ndir = \"{}\"", dir.display());
    let receiver = bench.receiver(&record);
    let mut sender = Sender::new(&receiver.link, "door");
    let first = now_us() - 20_000_000;
    let times: Vec<i64> = (0..i64::from(FRAMES)).map(|number| first + number * APART_US).collect();
    for (number, at) in (0..FRAMES).zip(&times) {
        sender.sends(&numbered(number), *at);
    }
    (receiver, sender, times)
}

/// A browser with the receiver's page, once all of it is recorded.
async fn opened(bench: &Bench) -> (Receiver, Sender, Browser, Vec<i64>) {
    let (receiver, sender, times) = recorded(bench);
    let browser = Browser::open(bench, &receiver.page).await;
    let end = "return fetch('/api/recordings?from_us=0&to_us=' + arguments[0]).then((answer) => answer.json())
        .then(({ cameras }) => Math.max(0, ...cameras.flatMap(({ spans }) => spans.map(([, to]) => to))))";
    let all = times[times.len() - 1];
    // Times are the receiver's: a frame's age is counted back from when it came.
    let there = |end: &Value| end.as_i64().is_some_and(|end| end > all - APART_US / 2);
    browser.becomes("all is recorded", end, &[json!(now_us())], there).await;
    (receiver, sender, browser, times)
}

/// The number in the picture that the history shows, from its bars; null when there is none.
const NUMBER: &str = "
    const tile = document.querySelector('.moment[data-state=shown] .moment-picture');
    if (!tile) return null;
    const bars = tile.getContext('2d').getImageData(0, tile.height / 2, tile.width, 1).data;
    return [...Array(8).keys()].reduce((sum, bit) => sum + (bars[(bit * 8 + 4) * 4] > 128 ? 1 << bit : 0), 0);";

/// Where a moment is in the width of what is shown.
async fn part_of(browser: &Browser, us: i64) -> f64 {
    let ends = "const { ariaValueMin, ariaValueMax } = document.getElementById('history-area'); return [ariaValueMin, ariaValueMax]";
    let ends = browser.run(ends, &[]).await;
    let end = |index: usize| ends[index].as_str().and_then(|end| end.parse::<f64>().ok()).expect("seconds");
    (us as f64 / 1e6 - end(0)) / (end(1) - end(0))
}

async fn shows(browser: &Browser, number: usize) {
    browser.becomes(&format!("picture {number}"), NUMBER, &[], |shown| *shown == number).await;
}

/// Waits until it is known what was recorded.
async fn knows(browser: &Browser) {
    let track = "return document.querySelector('.spans-path')?.getAttribute('d')";
    browser.becomes("the track", track, &[], |d| d.as_str().is_some_and(|d| !d.is_empty())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dragging_to_a_moment_shows_the_picture_of_that_moment() {
    let bench = Bench::new();
    let (_receiver, _sender, browser, times) = opened(&bench).await;
    let middle = times[20] + APART_US / 2;
    browser.run("location.hash = arguments[0]", &[json!(format!("#history?at={middle}&width=14"))]).await;
    shows(&browser, 20).await;
    knows(&browser).await;
    for (from, to) in [(20, 3), (3, 37), (37, 12)] {
        let (start, end) = (times[from] + APART_US / 2, times[to] + APART_US / 2);
        browser.drags("#tracks", part_of(&browser, start).await, part_of(&browser, end).await).await;
        shows(&browser, to).await;
    }
    // Frame by frame, with the cursor where each was taken.
    for number in [13, 14] {
        browser.presses('\u{e014}').await; // right
        shows(&browser, number).await;
    }
    for number in [13, 12, 11] {
        browser.presses('\u{e012}').await; // left
        shows(&browser, number).await;
    }
    // Before the first there was nothing.
    let before = part_of(&browser, times[0] - 500_000).await;
    browser.drags("#tracks", part_of(&browser, times[11]).await, before).await;
    browser.reads(".moment[data-state=none]", &["Nothing recorded"]).await;
    // Playing goes on to what there is.
    browser.presses(' ').await;
    shows(&browser, 39).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_one_camera_shows_that_one() {
    let bench = Bench::new();
    let (receiver, mut sender, times) = recorded(&bench);
    (sender.camera, sender.seq) = ("yard", 0);
    for at in &times {
        sender.sends(&numbered(7), *at);
    }
    let page = format!("{}/#history?at={}&width=14&camera=shed%2Fyard", receiver.page, times[20]);
    let browser = Browser::open(&bench, &page).await;
    shows(&browser, 7).await;
    let shown = "return [...document.querySelectorAll('.moment')].map((tile) => [tile.dataset.camera, tile.hidden])";
    let one = json!([["shed/door", true], ["shed/yard", false]]);
    browser.becomes("one camera", shown, &[], |shown| *shown == one).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_cut_out_and_downloaded() {
    let bench = Bench::new();
    let (_receiver, _sender, browser, times) = opened(&bench).await;
    browser
        .run("location.hash = arguments[0]", &[json!(format!("#history?at={}&width=14", times[10] + APART_US / 2))])
        .await;
    shows(&browser, 10).await;
    browser.presses('[').await;
    browser
        .drags("#tracks", part_of(&browser, times[10]).await, part_of(&browser, times[29] + APART_US / 2).await)
        .await;
    shows(&browser, 29).await;
    browser.presses(']').await;
    let film = browser.sees("#selection-links a[href*='/shed/door/range.mkv']").await;
    let film = film.attr("href").await.expect("an address").expect("an address");
    let head = "return fetch(arguments[0]).then(async (answer) => [answer.status, ...new Uint8Array(await answer.arrayBuffer()).slice(0, 4)])";
    // EBML's first bytes, RFC 8794.
    let expected: Value = json!([200, 0x1a, 0x45, 0xdf, 0xa3]);
    assert_eq!(browser.run(head, &[json!(film)]).await, expected);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_while_one_looks_is_found() {
    let bench = Bench::new();
    let (_receiver, mut sender, browser, times) = opened(&bench).await;
    let to = |at: i64| json!(format!("#history?at={at}&width=14"));
    let newest = times[times.len() - 1];
    browser.run("location.hash = arguments[0]", &[to(times[20])]).await;
    knows(&browser).await;
    browser.run("location.hash = arguments[0]", &[to(newest + 4 * APART_US)]).await;
    shows(&browser, 39).await;
    // The newest has a next one by and by.
    sender.sends(&numbered(40), newest + APART_US);
    let step = format!("document.getElementById('step-forward').click(); {NUMBER}");
    browser.becomes("the next frame", &step, &[], |shown| *shown == 40).await;

    // Of what comes late is said that it is not there only until it is.
    let later = newest + 5_000_000;
    browser.run("location.hash = arguments[0]", &[to(later)]).await;
    browser.reads(".moment[data-state=none]", &["Nothing recorded"]).await;
    sender.sends(&numbered(41), later - APART_US / 2);
    sender.sends(&numbered(42), later + APART_US / 2);
    shows(&browser, 41).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_records_nothing_is_told_how() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let browser = Browser::open(&bench, &receiver.page).await;
    browser.click("#views [href='#history']").await;
    browser.reads("#no-footage", &["Nothing is recorded", "[record]"]).await;
    browser.close().await;
}
