//! RTSP cameras that refuse to describe their stream.

use std::io;

use super::ways::Expected::Cause;
use super::ways::{Arrived, Way, check, config};
use super::{BASIC, DIGEST};
use crate::harness::http_camera::{HttpCamera, reply};

/// A camera that gives this answer to DESCRIBE.
fn camera(status: &'static str, headers: &'static str, body: &'static str) -> HttpCamera {
    HttpCamera::start(move |head, to| {
        let number = head.lines().find(|line| line.starts_with("CSeq: ")).expect("a number");
        if head.starts_with("OPTIONS ") {
            return reply("RTSP/1.0 200 OK", &format!("{number}\r\nPublic: DESCRIBE\r\n"), b"", to);
        }
        assert!(head.starts_with("DESCRIBE rtsp://127.0.0.1:"), "{head}");
        reply(status, &format!("{number}\r\n{headers}"), body.as_bytes(), to)
    })
}

fn rtsp(name: &'static str, login: &'static str, camera: HttpCamera, cause: &'static str) -> Way {
    Way { scheme: "rtsp", path: "/live", ..Way::http(name, login, camera, Cause(cause)) }
}

#[test]
fn refusals_of_rtsp_cameras_are_causes_in_words() {
    let refused = "user or password refused (401); retrying every 5 min";
    let unauthorised = "RTSP/1.0 401 Unauthorized";
    let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=a\r\nt=0 0\r\n";
    let av1 = format!("{sdp}m=video 0 RTP/AVP 96\r\na=rtpmap:96 AV1/90000\r\n").leak();
    let sound = format!("{sdp}m=audio 0 RTP/AVP 0\r\n").leak();
    let closes = HttpCamera::start(|_, to| {
        to.write_all(b"RTSP/1.0 200")?;
        Err(io::ErrorKind::Other.into())
    });
    let ways = [
        rtsp("basic", "me:wr0ng@", camera(unauthorised, BASIC, ""), refused),
        rtsp("digest", "me:wr0ng@", camera(unauthorised, DIGEST, ""), refused),
        rtsp(
            "no_login",
            "",
            camera(unauthorised, BASIC, ""),
            "needs a user and a password (401); write them into the address, before the host; retrying every 5 min",
        ),
        rtsp(
            "forbidden",
            "",
            camera("RTSP/1.0 403 Forbidden", "", ""),
            "user or password refused (403); retrying every 5 min",
        ),
        rtsp("unknown", "", camera("RTSP/1.0 404 Not Found", "", ""), "no such stream (404); retrying every 1 min"),
        rtsp(
            "busy",
            "",
            camera("RTSP/1.0 453 Not Enough Bandwidth", "", ""),
            "answers with an error: 453 Not Enough Bandwidth",
        ),
        rtsp(
            "av1",
            "",
            camera("RTSP/1.0 200 OK", "Content-Type: application/sdp\r\n", av1),
            "sends AV1, a codec that watchpost-video cannot show; choose H.264 in the camera's settings; \
             retrying every 1 min",
        ),
        rtsp(
            "sound",
            "",
            camera("RTSP/1.0 200 OK", "Content-Type: application/sdp\r\n", sound),
            "has no video, only sound or other data; retrying every 1 min",
        ),
    ];
    let (bench, peer, agent) = check(&ways);
    for way in &ways[..2] {
        let sent = way.camera.requests().iter().filter(|head| head.contains("Authorization: ")).count();
        assert_eq!(sent, 2, "{}: agent and doctor once each", way.name);
        assert!(way.camera.requests().iter().all(|head| !head.contains("wr0ng")), "the password in a request");
    }
    // FFmpeg may understand what is no answer to us.
    let other = [rtsp("other", "", closes, "cannot be opened as a stream")];
    bench.reload(&agent, &config(&other, &peer));
    Arrived::default().until("its cause", &peer, |arrived| arrived.is_as_expected(&other[0]));
}
