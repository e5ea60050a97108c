//! Reads which codecs an RTSP camera offers (SDP, RFC 8866).

use crate::agent::camera::refusal::Refusal;

/// The encodings of video that FFmpeg reads from RTP.
const READABLE: [&str; 17] = [
    "H261",
    "H263",
    "H263-1998",
    "H263-2000",
    "H264",
    "H265",
    "HEVC",
    "JPEG",
    "MP2T",
    "MP4V-ES",
    "MPV",
    "RAW",
    "THEORA",
    "VP8",
    "VP9",
    "X-QT",
    "X-QUICKTIME",
];

/// Encodings of the payload types that need no description (RFC 3551, 6).
const STATIC: [(&str, &str); 5] = [("26", "JPEG"), ("31", "H261"), ("32", "MPV"), ("33", "MP2T"), ("34", "H263")];

/// Checks that a stream has a video that can be shown.
///
/// # Errors
/// When it has none; names the codec. A description that cannot be understood passes.
pub(super) fn check(description: &str) -> Result<(), Refusal> {
    let media = description.split("\nm=").skip(1);
    let videos: Vec<&str> = media.clone().filter(|media| media.starts_with("video ")).collect();
    if videos.is_empty() {
        let has_media = media.clone().next().is_some();
        return if has_media { Err(Refusal::of("has no video, only sound or other data")) } else { Ok(()) };
    }
    let names: Vec<String> = videos.iter().flat_map(|video| encodings(video)).collect();
    if names.is_empty() || names.iter().any(|name| READABLE.contains(&name.as_str())) {
        return Ok(());
    }
    let names = names.join(", ");
    Err(Refusal::of(format!(
        "sends {names}, a codec that watchpost-video cannot show; choose H.264 in the camera's settings"
    )))
}

/// The names of a video's encodings, in capitals.
fn encodings(media: &str) -> Vec<String> {
    let mapped = media.lines().filter_map(|line| line.trim().strip_prefix("a=rtpmap:")?.split_whitespace().nth(1));
    let mapped = mapped.filter_map(|encoding| encoding.split('/').next());
    let formats = media.lines().next().unwrap_or_default().split_whitespace().skip(3);
    let known = formats.filter_map(|format| STATIC.iter().find(|(number, _)| *number == format).map(|(_, name)| *name));
    let printable = |name: &str| name.chars().filter(char::is_ascii_graphic).take(20).collect::<String>();
    mapped.chain(known).map(|name| printable(name).to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn codec_is_named_unless_it_can_be_shown() {
        let cause = |media: &str| check(&format!("v=0\r\ns=a\r\n{media}")).map_err(|refusal| refusal.to_string());
        assert_eq!(cause("m=video 0 RTP/AVP 96\r\na=rtpmap:96 h264/90000\r\n"), Ok(()));
        assert_eq!(cause("m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 26\r\n"), Ok(()));
        assert_eq!(cause("m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 AV1/90000\r\na=rtpmap:97 H265/90000\r\n"), Ok(()));
        assert_eq!(cause("m=video 0 RTP/AVP 96\r\n"), Ok(()));
        assert_eq!(cause(""), Ok(()));
        let refused = cause("m=video 0 RTP/AVP 96\r\na=rtpmap:96 AV1/90000\r\n").expect_err("refused");
        assert!(refused.starts_with("sends AV1, a codec that watchpost-video cannot show; "), "{refused}");
        let refused = cause("m=audio 0 RTP/AVP 0\r\na=rtpmap:0 H264/8000\r\n").expect_err("refused");
        assert_eq!(refused, "has no video, only sound or other data");
    }
}
