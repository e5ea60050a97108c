use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{Bench, Board, Browser, PATIENCE, Program, Receiver, eventually};

fn agent(bench: &Bench, receiver: &Receiver, board: &Board, camera: &str) -> Program {
    bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{{ name = "climate", port = "{}" }}]
        camera = [{{ name = "door", source = "{camera}" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        board.path.display(),
        receiver.link
    ))
}

/// End to end: a board on a pseudo-terminal and a video file as camera on one side, a browser on the other.
#[tokio::test(flavor = "multi_thread")]
async fn browser_shows_live_frames_and_readings() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let mut board = Board::new();
    #[cfg(feature = "opencv")]
    let source = crate::harness::sample_video();
    #[cfg(not(feature = "opencv"))]
    let source = "pattern";
    let agent = agent(&bench, &receiver, &board, source);
    let browser = Browser::open(&bench, &receiver.page).await;

    browser.sees("body[data-connection=live]").await;
    let tile = "article[data-camera='shed/door'][data-state=live]";
    browser.sees(tile).await;
    let drawn = browser.attribute(tile, "data-frames").await;
    browser.sees(&format!("{tile}:not([data-frames='{drawn}'])")).await;

    agent.wait_for_log("climate", "open at");
    board.write_line("t-23.5-h-61");
    browser.sees("[data-reading='shed/climate/temperature'][data-value='23.5'][data-stale=false]").await;
    browser.sees("[data-reading='shed/climate/humidity'][data-value='61']").await;
    board.write_line("t-24-h-61");
    browser.sees("[data-reading='shed/climate/temperature'][data-value='24']").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_down_shows_no_signal_and_its_cause() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let board = Board::new();
    let _agent = agent(&bench, &receiver, &board, "/dev/video63");
    let browser = Browser::open(&bench, &receiver.page).await;
    let tile = "article[data-camera='shed/door'][data-state=no-signal]";
    browser.reads(tile, &["NO SIGNAL", "no such device"]).await;
    browser.close().await;
}

/// Waits until the row of one of the shed's ports contains each of `words`.
async fn row_contains(browser: &Browser, port: &str, words: &[&str]) {
    browser.reads(&format!("li[data-port='shed/{port}']"), words).await;
}

/// Eight boards behave differently, and the page's row for each shows how.
#[tokio::test(flavor = "multi_thread")]
async fn eight_ports_each_show_their_own_state() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let plug = |name| bench.plug_board(name);
    let ms = Duration::from_millis;
    let _good = plug("good").repeats("t-21-h-50\n", ms(250));
    let _seldom = plug("seldom").repeats("light-540\n", ms(2_000));
    let _flood = plug("flood").repeats("t-25-h-60\n".repeat(40), ms(10));
    let _silent = plug("silent");
    let vanished = plug("vanished");
    let _baud = plug("baud").repeats(*b"\x80\xf8\x00\xfe\x1c\xe0\n\x9c\x06\xff\xc0", ms(100));
    let _foreign = plug("foreign").repeats("hello\n", ms(500));
    let _noisy = plug("noisy").repeats("mq2-312\nmq2-3-12\nmq2-nan\n", ms(300));
    let names = ["good", "seldom", "flood", "silent", "vanished", "baud", "foreign", "noisy"];
    let ports = names.map(|name| {
        let stale_after = match name {
            "silent" => "1s",
            "foreign" => "3s",
            _ => "60s",
        };
        let port = bench.path(name);
        format!("{{ name = \"{name}\", port = \"{}\", stale_after = \"{stale_after}\" }}", port.display())
    });
    let _agent = bench.agent(&format!(
        r#"
        name = "shed"
        serial = [{}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        ports.join(", "),
        receiver.link
    ));
    let browser = Browser::open(&bench, &receiver.page).await;

    browser.sees("[data-port='shed/vanished'][data-tone=good]").await;
    drop(vanished);
    browser.sees("[data-port='shed/vanished'][data-tone=bad]").await;
    row_contains(&browser, "vanished", &["down for", "no such port"]).await;
    browser.sees("[data-port='shed/silent'][data-tone=bad][data-refused=none]").await;
    row_contains(&browser, "silent", &["down for", "silent"]).await;
    browser.sees("[data-port='shed/baud'][data-tone=bad][data-refused=lately]").await;
    row_contains(&browser, "baud", &["down for", "is 115200 the board's baud rate?", "refused"]).await;
    browser.sees("[data-port='shed/foreign'][data-tone=bad][data-refused=lately]").await;
    row_contains(&browser, "foreign", &["down for", "no line contains a reading", "refused"]).await;
    browser.sees("[data-port='shed/flood'][data-tone=warn]").await;
    row_contains(&browser, "flood", &[",", "00 lines/s", "flooding"]).await;
    browser.sees("[data-port='shed/noisy'][data-tone=good][data-refused=lately]").await;
    row_contains(&browser, "noisy", &["lines/s", "refused"]).await;
    browser.sees("[data-port='shed/noisy'] [title*='× not a number']").await;
    browser.sees("[data-port='shed/good'][data-tone=good][data-refused=none]").await;
    row_contains(&browser, "good", &["lines/s"]).await;
    browser.sees("[data-port='shed/seldom'][data-tone=good][data-refused=none]").await;
    row_contains(&browser, "seldom", &["1 line every "]).await;
    // The status line shows the most serious problem; the list behind it includes the flood.
    browser.sees("#health[data-tone=bad] #health-more").await;
    browser.click("#health-more").await;
    browser.reads("#problems:popover-open li", &["flood: flooding"]).await;
    browser.close().await;
}

/// Returns the next message for which `wanted` holds.
async fn next<S>(socket: &mut S, wanted: impl Fn(&Message) -> bool) -> Message
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    let search = async {
        loop {
            let message = socket.next().await.expect("the socket stays open").expect("a message");
            if wanted(&message) {
                return message;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("a message in time")
}

fn seq(message: &Message) -> u64 {
    let bytes = message.clone().into_data();
    let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
    assert!(bytes[4 + length..].starts_with(&[0xff, 0xd8]));
    header["seq"].as_u64().expect("a number")
}

#[tokio::test]
async fn viewer_gets_the_newest_frame_after_confirming_the_last() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let board = Board::new();
    let _agent = agent(&bench, &receiver, &board, "pattern");
    let (mut socket, _) = connect_async(format!("ws://{}/live", receiver.page)).await.expect("a WebSocket");
    let first = seq(&next(&mut socket, Message::is_binary).await);
    let unconfirmed = timeout(Duration::from_secs(1), next(&mut socket, Message::is_binary)).await;
    assert!(unconfirmed.is_err(), "a frame arrived before the last one was confirmed");
    let frames = || receiver.program.out().matches("\"type\":\"frame\"").count() as u64;
    eventually("many more frames", || (frames() > first + 20).then_some(()));
    socket.send(Message::text(r#"{"seen":"shed/door"}"#)).await.expect("a sent message");
    let second = seq(&next(&mut socket, Message::is_binary).await);
    assert!(second > first + 10, "frame {second} long after frame {first} is not the newest");
}

#[tokio::test]
async fn foreign_origins_and_hosts_cannot_connect() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    for (origin, host, allowed) in [
        (Some(format!("http://{}", receiver.page)), receiver.page.clone(), true),
        (None, receiver.page.clone(), true),
        (Some("http://evil.example".to_owned()), receiver.page.clone(), false),
        (Some("http://evil.example".to_owned()), "evil.example".to_owned(), false),
    ] {
        let mut request = format!("ws://{}/live", receiver.page).into_client_request().expect("a request");
        request.headers_mut().insert("host", host.parse().expect("a header"));
        if let Some(origin) = &origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        assert_eq!(connect_async(request).await.is_ok(), allowed, "origin {origin:?} to {host}");
    }
}

#[tokio::test]
async fn viewers_that_vanish_do_not_affect_others() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let board = Board::new();
    let _agent = agent(&bench, &receiver, &board, "pattern");
    for _ in 0..20 {
        let (mut socket, _) = connect_async(format!("ws://{}/live", receiver.page)).await.expect("a WebSocket");
        next(&mut socket, Message::is_binary).await;
        drop(socket);
        sleep(Duration::ZERO).await;
    }
    let (mut socket, _) = connect_async(format!("ws://{}/live", receiver.page)).await.expect("a WebSocket");
    next(&mut socket, Message::is_binary).await;
}
