use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::harness::http::{get, raw};
use crate::harness::{Bench, PATIENCE};

/// Idle connections are closed after a while, and never use up the places of other clients.
#[tokio::test]
async fn idle_connections_are_closed_and_block_nobody() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let before = receiver.program.memory();
    let mut stopwatch = receiver.program.stopwatch();
    let mut silent = Vec::new();
    for number in 0..400 {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Another loopback address stands in for another machine.
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("an address of this machine");
        let mut stream = socket.connect(receiver.page.parse().expect("an address")).await.expect("the page's port");
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /api/wall HTTP/1.1\r\nHost: local").await;
        }
        silent.push(stream);
    }
    assert_eq!(get(&receiver.page, "/api/wall").status, 200);
    assert!(stopwatch.elapsed() < Duration::from_secs(8), "served only after idle connections were closed");
    let more = receiver.program.memory().saturating_sub(before);
    assert!(more < 32 << 20, "{} MiB more", more >> 20);
    let mut rest = Vec::new();
    timeout(PATIENCE, silent[0].read_to_end(&mut rest)).await.expect("closed in time").expect("a closed connection");
}

#[test]
fn missing_request_body_times_out() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let head =
        "POST /api/cameras/shed/door HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{";
    let answer = raw(&receiver.page, head.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 408);
}
