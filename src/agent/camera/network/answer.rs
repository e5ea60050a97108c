//! The meaning of a camera's answer to a request.

use anyhow::{Result, anyhow};

use crate::agent::camera::refusal::Refusal;

/// Endings of paths that name a video. Some servers send them with the wrong type.
const VIDEO_ENDINGS: [&str; 9] = [".m3u8", ".mpd", ".ts", ".mp4", ".m4s", ".mkv", ".webm", ".flv", ".h264"];

/// What an answer contains.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A Motion JPEG stream with this boundary.
    Multipart(String),
    /// One JPEG.
    Picture,
    /// A video, or something that only watchpost-video may be able to read.
    Video,
    /// Only its first bytes tell.
    Unknown,
}

/// What the answer of an HTTP camera with this type contains.
pub(super) fn content(content_type: &str, path: &str) -> Result<Content, Refusal> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let path = path.to_ascii_lowercase();
    match kind.trim().to_ascii_lowercase().as_str() {
        kind if kind.starts_with("multipart/") => Ok(Content::Multipart(boundary(parameters))),
        "image/jpeg" | "image/jpg" | "image/pjpeg" => Ok(Content::Picture),
        _ if VIDEO_ENDINGS.iter().any(|ending| path.ends_with(ending)) => Ok(Content::Video),
        "text/html" | "application/xhtml+xml" => Err(Refusal::of("answers with a web page, not a video")),
        "" | "application/octet-stream" => Ok(Content::Unknown),
        _ => Ok(Content::Video),
    }
}

/// Why the answer with this status has no pictures, in HTTP and in RTSP.
pub(super) fn check_status(code: u16, reason: &str) -> Result<()> {
    match code {
        200..=299 => Ok(()),
        401 | 403 => Err(Refusal::login(code).into()),
        404 | 410 => Err(Refusal::no_stream(code).into()),
        _ => Err(anyhow!("answers with an error: {}", format!("{code} {reason}").trim())),
    }
}

/// What the first bytes of an answer without a type are.
pub(super) fn content_of_bytes(bytes: &[u8], has_length: bool) -> Content {
    match bytes.trim_ascii_start() {
        [0xff, 0xd8, 0xff, ..] if has_length => Content::Picture,
        [0xff, 0xd8, 0xff, ..] | [b'-', b'-', ..] => Content::Multipart(String::new()),
        _ => Content::Video,
    }
}

fn boundary(parameters: &str) -> String {
    let parameters = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let mut boundaries = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
    boundaries.next().map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_path_tell_the_content() {
        let multipart = |boundary: &str| Ok(Content::Multipart(boundary.to_owned()));
        for (content_type, path, expected) in [
            ("multipart/x-mixed-replace; boundary=b", "/", multipart("b")),
            ("Multipart/X-Mixed-Replace;charset=a;Boundary=\"--b c\"", "/", multipart("--b c")),
            ("multipart/x-mixed-replace", "/", multipart("")),
            ("image/jpeg", "/", Ok(Content::Picture)),
            ("image/jpg; charset=utf-8", "/", Ok(Content::Picture)),
            ("video/mp2t", "/", Ok(Content::Video)),
            ("application/vnd.apple.mpegurl", "/live", Ok(Content::Video)),
            ("text/html", "/live.M3U8", Ok(Content::Video)),
            ("", "/", Ok(Content::Unknown)),
            ("text/html; charset=utf-8", "/", Err(Refusal::of("answers with a web page, not a video"))),
        ] {
            assert_eq!(content(content_type, path), expected, "{content_type} {path}");
        }
    }

    #[test]
    fn first_bytes_tell_the_content_without_a_type() {
        for (bytes, has_length, expected) in [
            (&b"\r\n--b\r\n"[..], false, Content::Multipart(String::new())),
            (b"\xff\xd8\xff\xe0", true, Content::Picture),
            (b"\xff\xd8\xff\xe0", false, Content::Multipart(String::new())),
            (b"\x47\x40", false, Content::Video),
            (b"", false, Content::Video),
        ] {
            assert_eq!(content_of_bytes(bytes, has_length), expected, "{bytes:?}");
        }
    }

    #[test]
    fn status_is_a_cause_in_words() {
        let cause = |code, reason| check_status(code, reason).map_err(|error| error.to_string());
        assert_eq!(cause(200, "OK"), Ok(()));
        assert_eq!(cause(401, ""), Err("user or password refused (401)".to_owned()));
        assert_eq!(cause(404, ""), Err("no such stream (404)".to_owned()));
        assert_eq!(cause(503, "Service Unavailable"), Err("answers with an error: 503 Service Unavailable".to_owned()));
        assert_eq!(cause(599, ""), Err("answers with an error: 599".to_owned()));
    }
}
