//! A `[[camera]]` table.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::view::{Crop, Flip, Rotate};
use crate::name::Name;

/// One camera of an agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// What it is called in topics, logs and on the page.
    pub name: Name,
    /// Where its frames come from.
    pub source: Source,
    /// The size wished for, before a turn. Without it: 640x480 from a device or the pattern, a stream's or file's own.
    pub size: Option<Size>,
    /// The most frames a second that are passed on.
    #[serde(default = "default_fps")]
    pub fps: Fps,
    /// JPEG quality, where a frame has to be encoded.
    #[serde(default)]
    pub quality: Quality,
    /// Its picture is turned to the right.
    #[serde(default)]
    pub rotate: Rotate,
    /// And then mirrored.
    pub flip: Option<Flip>,
    /// And then only a part of it is used.
    pub crop: Option<Crop>,
    /// It is on when the agent starts.
    #[serde(default = "default_on")]
    pub on: bool,
    /// It streams only while a link takes its frames.
    #[serde(default)]
    pub on_demand: bool,
}

impl Camera {
    /// Pixels a line and lines of its frames, as far as that can be known before the first.
    #[must_use]
    pub fn expected_size(&self) -> (u32, u32) {
        let size = self.size.unwrap_or(Size { width: 640, height: 480 });
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
    /// A moving test picture that needs nothing.
    Pattern,
    /// A V4L2 device, by its path or a by-id or by-path link.
    Device(PathBuf),
    /// A stream (`rtsp://`, `http://`) or a file, through OpenCV.
    Film(String),
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Source, String> {
        match text.as_str() {
            "" => Err("a source cannot be empty; write a device, a stream's address, a file or \"pattern\"".into()),
            "pattern" => Ok(Source::Pattern),
            device if device.starts_with("/dev/") => Ok(Source::Device(device.into())),
            word if !word.contains(['/', '.', ':']) => {
                Err(format!("{word:?} is neither a device, a stream's address nor a file; did you mean \"pattern\"?"))
            }
            _ if !cfg!(feature = "opencv") => Err(format!(
                "{text:?} needs OpenCV, which this lean build of watchpost is without; \
                 use a /dev/video device or \"pattern\", or install the full build"
            )),
            _ => Ok(Source::Film(text)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Pattern => f.write_str("pattern"),
            Source::Device(path) => path.display().fmt(f),
            // A password in a stream's address is for the camera alone.
            Source::Film(text) => {
                let Some((scheme, rest)) = text.split_once("://") else { return f.write_str(text) };
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                match host.rsplit_once('@') {
                    Some((_, host)) => write!(f, "{scheme}://…@{host}{path}"),
                    None => f.write_str(text),
                }
            }
        }
    }
}

/// Width and height in pixels, both even: chroma is stored for pairs of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size {
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
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
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
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
    /// Frames a second.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// JPEG quality as libjpeg counts it, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// 1 to 100.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}
