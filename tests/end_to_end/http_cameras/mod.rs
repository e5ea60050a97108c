mod certificates;
mod pictures;
#[cfg(feature = "opencv")]
mod rtsp;
mod ways;

use std::io::{self, Write};

use crate::harness::http_camera::{HttpCamera, reply, stream_of};
use crate::harness::{Bench, Peer};
use ways::Expected::{Cause, Pictures};
use ways::{Arrived, INTERVAL, MJPEG, PART, Way, check, config, jpegs};

#[test]
fn each_way_to_send_a_stream_gives_the_cameras_own_jpegs() {
    let chunked = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes())?;
        stream_of(&jpegs(), INTERVAL, ("--b\r\n\r\n", "\r\n"), &mut Chunks(to))
    });
    let other =
        "--b\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbeep\r\n--b\r\nContent-Length: LENGTH\r\n\r\n";
    check(&[
        Way::stream("usual", MJPEG, PART, "\r\n"),
        Way::stream("jpg", MJPEG, "--b\r\nContent-Type: image/jpg\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        Way::stream("charset", MJPEG, "--b\r\nContent-Type: image/jpeg; charset=utf-8\r\n\r\n", "\r\n"),
        Way::stream("no_type", MJPEG, "--b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        Way::stream("no_length", MJPEG, "--b\r\nContent-Type: image/jpeg\r\n\r\n", "\r\n"),
        Way::stream("no_header", MJPEG, "--b\r\n\r\n", "\r\n"),
        Way::stream(
            "no_first_boundary",
            MJPEG,
            "Content-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n",
            "\r\n--b\r\n",
        ),
        Way::stream(
            "text_before",
            concat!("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n", "Welcome!\r\n"),
            PART,
            "\r\n",
        ),
        Way::stream(
            "line_feeds",
            "HTTP/1.0 200 OK\nContent-Type: multipart/x-mixed-replace;boundary=b\n\n",
            "--b\nContent-Length: LENGTH\n\n",
            "\n",
        ),
        Way::stream(
            "quotes",
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"b c\"\r\n\r\n",
            "--b c\r\n\r\n",
            "\r\n",
        ),
        Way::stream(
            "dashes",
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--b\r\n\r\n",
            PART,
            "\r\n",
        ),
        Way::stream("no_dashes", MJPEG, "b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        Way::stream("wrong_boundary", MJPEG, "--other\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        Way::stream("length_too_small", MJPEG, "--b\r\nContent-Length: 99\r\n\r\n", "\r\n"),
        Way::stream("length_too_large", MJPEG, "--b\r\nContent-Length: 99999\r\n\r\n", "\r\n"),
        Way::stream("other_parts", MJPEG, other, "\r\n"),
        Way::stream("mixed", "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", PART, "\r\n"),
        Way::stream("no_stream_type", "HTTP/1.1 200 OK\r\n\r\n", PART, "\r\n"),
        Way::http("chunked", "", chunked, Pictures),
    ]);
}

/// Writes HTTP's chunks, two for each piece.
struct Chunks<'a>(&'a mut dyn Write);

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(bytes.len().div_ceil(2)) {
            self.0.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
            self.0.write_all(&[piece, b"\r\n"].concat())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The answer to the challenge below for the user "me" with the password "you" (RFC 2069).
pub const DIGEST_RESPONSE: &str = "response=\"08be48f17b5b5c4e7590eca495aa8dfa\"";
pub const DIGEST: &str = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"7a8b\"\r\n";
pub const BASIC: &str = "WWW-Authenticate: Basic realm=\"cam\"\r\n";

/// A camera that asks for a login, and sends pictures to whom sends `wanted`.
fn guarded(challenge: &'static str, wanted: &'static str) -> HttpCamera {
    HttpCamera::start(move |head, to| {
        if !head.contains(wanted) {
            return reply("HTTP/1.1 401 Unauthorized", challenge, b"<html>no</html>", to);
        }
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&jpegs(), INTERVAL, (PART, "\r\n"), to)
    })
}

#[test]
fn logins_are_answered_and_refusals_are_named() {
    let refused = "user or password refused (401); retrying every 5 min";
    let basic = "Basic bWU6eW91\r\n";
    let ways = [
        Way::http("basic", "me:you@", guarded(BASIC, basic), Pictures),
        Way::http("escaped", "m%65:yo%75@", guarded(BASIC, basic), Pictures),
        Way::http("digest", "me:you@", guarded(DIGEST, DIGEST_RESPONSE), Pictures),
        Way::http("wrong_basic", "me:wr0ng@", guarded(BASIC, basic), Cause(refused)),
        Way::http("wrong_digest", "me:wr0ng@", guarded(DIGEST, DIGEST_RESPONSE), Cause(refused)),
        Way::http(
            "no_login",
            "",
            guarded(BASIC, basic),
            Cause(
                "needs a user and a password (401); write them into the address, before the host; retrying every 5 min",
            ),
        ),
        Way::http(
            "other_login",
            "me:you@",
            guarded("WWW-Authenticate: Negotiate\r\n", basic),
            Cause("asks for a kind of login that watchpost does not have; retrying every 1 min"),
        ),
    ];
    let (bench, peer, agent) = check(&ways);
    // Four seconds later, the agent and doctor have each sent the wrong password once.
    Arrived::default().until("pictures", &peer, |arrived| arrived.count("basic") >= 40);
    for way in ways.iter().filter(|way| way.name.starts_with("wrong")) {
        let sent = way.camera.requests().iter().filter(|head| head.contains("authorization: ")).count();
        assert_eq!(sent, 2, "{}: {:#?}", way.name, way.camera.requests());
    }
    assert!(!agent.log().contains("wr0ng"), "{}", agent.log());
    // A changed table is tried at once.
    bench.reload(&agent, &config(&ways, &peer).replace("me:wr0ng@", "me:you@"));
    let mut arrived = Arrived::default();
    for name in ["wrong_basic", "wrong_digest"] {
        arrived.until(name, &peer, |arrived| arrived.count(name) > 3);
    }
}

#[test]
fn answers_without_pictures_are_causes_in_words() {
    let page = HttpCamera::start(|_, to| reply("HTTP/1.1 200 OK", "Content-Type: text/html\r\n", b"<html>", to));
    let elsewhere =
        HttpCamera::start(|_, to| reply("HTTP/1.1 302 Found", "Location: http://me:you@10.1.2.3/\r\n", b"", to));
    let around = HttpCamera::start(|_, to| reply("HTTP/1.1 302 Found", "Location: /\r\n", b"", to));
    let moved = HttpCamera::start(|head, to| {
        if head.starts_with("GET / ") {
            return reply("HTTP/1.1 307 Temporary Redirect", "Location: live?x=1\r\n", b"", to);
        }
        assert!(head.starts_with("GET /live?x=1 "), "{head}");
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&jpegs(), INTERVAL, (PART, "\r\n"), to)
    });
    let huge = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.as_bytes())?;
        to.write_all(b"--b\r\nContent-Length: 2000000000\r\n\r\n")?;
        (0..).try_for_each(|_| to.write_all(&[7; 8_192]))
    });
    let huge_picture = HttpCamera::start(|_, to| {
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000000\r\n\r\n")?;
        (0..).try_for_each(|_| to.write_all(&[7; 8_192]))
    });
    let closes = HttpCamera::start(|_, _| Err(io::ErrorKind::Other.into()));
    let ends = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.as_bytes())?;
        Err(io::ErrorKind::Other.into())
    });
    let stops = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.as_bytes())?;
        for jpeg in jpegs() {
            to.write_all(&[PART.replace("LENGTH", &jpeg.len().to_string()).as_bytes(), &jpeg, b"\r\n"].concat())?;
            std::thread::sleep(INTERVAL);
        }
        // Waits until the agent gives up.
        Ok(())
    });
    let broken = HttpCamera::start(|_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&[b"\xff\xd8\xff\xd9".to_vec()], INTERVAL, (PART, "\r\n"), to)
    });
    let ways = [
        Way::cause("forbidden", "HTTP/1.1 403 Forbidden", "user or password refused (403); retrying every 5 min"),
        Way::cause("unknown", "HTTP/1.1 404 Not Found", "no such stream (404); retrying every 1 min"),
        Way::cause("gone", "HTTP/1.1 410 Gone", "no such stream (410); retrying every 1 min"),
        Way::cause("busy", "HTTP/1.1 503 Busy", "answers with an error: 503 Service Unavailable"),
        Way::http("page", "", page, Cause("answers with a web page, not a video; retrying every 1 min")),
        Way::http(
            "elsewhere",
            "",
            elsewhere,
            Cause(
                "redirects to another host or scheme, \"http://…@10.1.2.3/\"; write that address if it is right; retrying every 1 min",
            ),
        ),
        Way::http("around", "", around, Cause("redirects too often; retrying every 1 min")),
        Way::http("moved", "", moved, Pictures),
        Way::http("closes", "", closes, Cause("closes the connection without an answer")),
    ];
    check(&ways);
    // Doctor does not read pictures.
    let late = [
        Way::http("huge", "", huge, Cause("sends pictures that are too large: the limit is 6 MiB")),
        Way::http("huge_picture", "", huge_picture, Cause("sends pictures that are too large: the limit is 6 MiB")),
        Way::http("ends", "", ends, Cause("ended")),
        Way::http("stops", "", stops, Cause("sends no frames")),
        Way::http("broken", "", broken, Cause("sends only broken frames: a misplaced segment")),
    ];
    let (bench, peer) = (Bench::new(), Peer::new());
    let agent = bench.agent(&config(&late, &peer));
    let mut arrived = Arrived::default();
    for way in &late {
        arrived.until(way.name, &peer, |arrived| arrived.is_as_expected(way));
    }
    for name in ["huge", "huge_picture"] {
        arrived
            .until("its count", &peer, |arrived| arrived.status[name]["counts"]["oversized_frames"].as_u64() > Some(0));
    }
    let peak = agent.peak_memory();
    assert!(peak < 100_000_000, "{peak} bytes for pictures that are refused");
}
