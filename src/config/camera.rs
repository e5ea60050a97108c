//! A `[[camera]]` table.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::redaction::without_passwords;
use super::view::{Crop, Flip, Rotate};
use crate::name::Name;

/// One camera of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Its name in topics, logs and on the page.
    pub name: Name,
    /// Where its frames come from.
    pub source: Source,
    /// Requested size before rotation. By default 640x480 for a device or the pattern, and the source's size for a video.
    pub size: Option<Size>,
    /// Maximum frames a second to send.
    #[serde(default = "default_fps")]
    pub fps: Fps,
    /// JPEG quality of frames that watchpost encodes.
    #[serde(default)]
    pub quality: Quality,
    /// Clockwise rotation.
    #[serde(default)]
    pub rotate: Rotate,
    /// Mirroring after the rotation.
    pub flip: Option<Flip>,
    /// Part of the picture to use, after rotation and mirroring.
    pub crop: Option<Crop>,
    /// File with the certificate of a camera at an `https://` address, if no authority of this machine vouches for it.
    pub certificate: Option<PathBuf>,
    /// Whether it is on when the agent starts.
    #[serde(default = "default_on")]
    pub on: bool,
    /// Whether it streams only while a link takes its frames.
    #[serde(default)]
    pub on_demand: bool,
}

impl Camera {
    /// Returns why its `certificate` cannot be used, if it cannot.
    pub(super) fn certificate_fault(&self) -> Option<&'static str> {
        let file = self.certificate.as_ref()?;
        match &self.source {
            Source::Video(VideoSource::Stream(text)) if text.to_ascii_lowercase().starts_with("https://") => {}
            _ => return Some("only a camera at an https:// address has a certificate; remove this key"),
        }
        (!file.is_absolute()).then_some("not a whole path; write for example \"/etc/watchpost/door.pem\"")
    }

    /// Returns width and height of its frames, as far as they are known before the first one.
    #[must_use]
    pub fn expected_size(&self) -> (u32, u32) {
        let size = self.size.unwrap_or_default();
        match (self.crop, self.rotate) {
            (Some(crop), _) => (crop.width, crop.height),
            (None, Rotate::By90 | Rotate::By270) => (size.height, size.width),
            (None, Rotate::By0 | Rotate::By180) => (size.width, size.height),
        }
    }
}

fn default_on() -> bool {
    true
}

fn default_fps() -> Fps {
    Fps(25.0)
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// A moving test picture without a device.
    Pattern,
    /// Path of a V4L2 device, or of a by-id or by-path link.
    Device(PathBuf),
    /// A source that `watchpost-video` reads.
    Video(VideoSource),
}

/// A source that `watchpost-video` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoSource {
    /// A file, played at its own rate in a loop.
    File(PathBuf),
    /// Address of a stream: `rtsp://`, `http://` and others that FFmpeg supports.
    Stream(String),
    /// A GStreamer pipeline with an `appsink` at its end.
    Pipeline(String),
}

impl VideoSource {
    /// Returns the text in the configuration.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            VideoSource::File(path) => path.to_string_lossy(),
            VideoSource::Stream(text) | VideoSource::Pipeline(text) => text.into(),
        }
    }

    /// Returns the word `file`, `stream` or `pipeline`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            VideoSource::File(_) => "file",
            VideoSource::Stream(_) => "stream",
            VideoSource::Pipeline(_) => "pipeline",
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Source, String> {
        match text.as_str() {
            "" => Err("the source is empty; write a device, a stream's address, a file or \"pattern\"".into()),
            "pattern" => Ok(Source::Pattern),
            device if device.starts_with("/dev/") => Ok(Source::Device(device.into())),
            pipeline if is_pipeline(pipeline) && !pipeline.split_whitespace().any(|word| word == "appsink") => {
                let shown = without_passwords(pipeline);
                Err(format!("{shown:?} is a pipeline without a sink for frames; end it with \" ! appsink\""))
            }
            word if !is_pipeline(word) && !word.contains(['/', '.', ':']) => {
                let shown = without_passwords(word);
                Err(format!("{shown:?} is neither a device, a stream's address nor a file; did you mean \"pattern\"?"))
            }
            pipeline if is_pipeline(pipeline) => Ok(Source::Video(VideoSource::Pipeline(text))),
            address if address.contains("://") => match unescaped(address) {
                Some(character) => Err(unescaped_password(character)),
                None => Ok(Source::Video(VideoSource::Stream(text))),
            },
            _ => Ok(Source::Video(VideoSource::File(text.into()))),
        }
    }
}

/// Whether the text has the syntax of `gst-launch-1.0`: elements with a "!" between them.
fn is_pipeline(text: &str) -> bool {
    text.contains(" ! ")
}

/// The first character of an address's password that has to be escaped, because it would end the password.
fn unescaped(address: &str) -> Option<char> {
    let (_, rest) = address.split_once("://")?;
    let (login, _) = rest.rsplit_once('@')?;
    let before = login.split(['/', '?', '#', ' ']).next()?;
    // A host and its port, or a host alone, may be followed by a path with an @.
    let (_, password) = before.split_once(':')?;
    let is_port = !password.is_empty() && password.bytes().all(|byte| byte.is_ascii_digit());
    login[before.len()..].chars().next().filter(|_| !is_port && !before.contains('['))
}

fn unescaped_password(character: char) -> String {
    let code = u32::from(character);
    format!("the password has a {:?}; write %{code:02X} instead of it", character.to_string())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Pattern => f.write_str("pattern"),
            Source::Device(path) => path.display().fmt(f),
            // An address without its scheme is taken for a path.
            Source::Video(VideoSource::File(path)) => f.write_str(&without_passwords(&path.to_string_lossy())),
            // Otherwise, the address would end at a space.
            Source::Video(VideoSource::Stream(text)) => f.write_str(&without_passwords(&text.replace(' ', "%20"))),
            Source::Video(VideoSource::Pipeline(text)) => f.write_str(&without_passwords(text)),
        }
    }
}

/// Width and height in pixels. Both are even, because chroma is stored for pairs of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Default for Size {
    fn default() -> Size {
        Size { width: 640, height: 480 }
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Size, String> {
        let good = |n: &u32| (16..=8192).contains(n) && n.is_multiple_of(2);
        let parse = |part: &str| part.parse().ok().filter(good);
        text.split_once('x')
            .and_then(|(width, height)| Some(Size { width: parse(width)?, height: parse(height)? }))
            .ok_or_else(|| format!("{text:?} is not a size; write \"640x480\": two even numbers from 16 to 8192"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Frames a second, from 0.01 to 240.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Fps(f64);

impl TryFrom<f64> for Fps {
    type Error = String;

    fn try_from(fps: f64) -> Result<Fps, String> {
        if (0.01..=240.0).contains(&fps) {
            Ok(Fps(fps))
        } else {
            Err(format!("{fps} is not a frame rate; write a number from 0.01 to 240"))
        }
    }
}

impl Fps {
    /// Returns frames a second.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// JPEG quality on libjpeg's scale, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Quality(u8);

impl Default for Quality {
    fn default() -> Quality {
        Quality(80)
    }
}

impl TryFrom<i64> for Quality {
    type Error = String;

    fn try_from(quality: i64) -> Result<Quality, String> {
        match u8::try_from(quality) {
            Ok(quality @ 1..=100) => Ok(Quality(quality)),
            _ => Err(format!("{quality} is not a JPEG quality; write a number from 1 to 100")),
        }
    }
}

impl Quality {
    /// Returns a number from 1 to 100.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, VideoSource};

    #[test]
    fn video_sources_are_shown_without_passwords() {
        let pipeline = "rtspsrc location=rtsp://me:you@cam/1 user-id=me user-pw=you ! decodebin ! appsink drop=true";
        for (text, kind, shown) in [
            ("films/door.mp4", "file", "films/door.mp4"),
            ("rtsp://me:you@cam:554/1", "stream", "rtsp://…@cam:554/1"),
            ("http://10.0.0.9:81?user=me&password=you", "stream", "http://10.0.0.9:81…"),
            ("http://cam/a@b", "stream", "http://…"),
            ("http://cam/v?user=me&pwd=you", "stream", "http://cam/v…"),
            ("rtsp://cam/user=me_password=you_channel=1", "stream", "rtsp://cam/…"),
            (
                pipeline,
                "pipeline",
                "rtspsrc location=rtsp://…@cam/1 user-id=me user-pw=… ! decodebin ! appsink drop=true",
            ),
        ] {
            let source = Source::try_from(text.to_owned()).expect("a source");
            assert_eq!(source.to_string(), shown);
            assert!(matches!(source, Source::Video(video) if VideoSource::kind(&video) == kind), "{text}");
        }
    }

    #[test]
    fn unescaped_password_is_refused_without_being_shown() {
        for (text, code) in [
            ("rtsp://admin:hun#ter2@host/", Some("%23")),
            ("rtsp://admin:hun/ter2@host/", Some("%2F")),
            ("rtsp://admin:hun?ter2@host/", Some("%3F")),
            ("rtsp://admin:hun ter2@host/", Some("%20")),
            ("rtsp://admin:#hunter2@host/", Some("%23")),
            ("rtsp://admin:hun%23ter2@host/", None),
            ("rtsp://admin:hun@ter2@host/", None),
            ("http://cam/a@b", None),
            ("http://cam:8080/a@b", None),
            ("http://cam?to=a@b", None),
            ("http://[fe80::1]:80/a@b", None),
        ] {
            match (Source::try_from(text.to_owned()), code) {
                (Ok(_), None) => {}
                (Err(error), Some(code)) => assert!(error.contains(code) && !error.contains("hun"), "{error}"),
                (source, _) => panic!("{text}: {source:?}"),
            }
        }
    }
}
