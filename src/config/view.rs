//! How a camera's picture is turned, mirrored and cut.

use std::fmt;

use serde::Deserialize;

/// A turn to the right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub enum Rotate {
    /// As the camera has it.
    #[default]
    By0,
    /// A quarter.
    By90,
    /// Upside down.
    By180,
    /// Three quarters, which is one to the left.
    By270,
}

impl TryFrom<i64> for Rotate {
    type Error = String;

    fn try_from(degrees: i64) -> Result<Rotate, String> {
        match degrees {
            0 => Ok(Rotate::By0),
            90 => Ok(Rotate::By90),
            180 => Ok(Rotate::By180),
            270 => Ok(Rotate::By270),
            _ => Err(format!("a picture cannot be rotated by {degrees}; write 90, 180 or 270, degrees to the right")),
        }
    }
}

/// A mirror, after the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// Left is right.
    Horizontal,
    /// Top is bottom.
    Vertical,
}

/// A part of the picture as it is seen, after turn and mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Crop {
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pixels to the left of it.
    pub x: u32,
    /// Lines above it.
    pub y: u32,
}

impl TryFrom<String> for Crop {
    type Error = String;

    fn try_from(text: String) -> Result<Crop, String> {
        let parse = || {
            let (size, place) = text.split_once('+')?;
            let ((width, height), (x, y)) = (size.split_once('x')?, place.split_once('+')?);
            let number = |text: &str| text.parse().ok().filter(|n| *n <= 8192);
            Some(Crop { width: number(width)?, height: number(height)?, x: number(x)?, y: number(y)? })
        };
        parse().filter(|crop| crop.width >= 16 && crop.height >= 16).ok_or_else(|| {
            format!(
                "{text:?} is not a part of a picture; write \"320x240+160+120\": width and height, at least 16, \
                 and where it begins, from the left and from the top"
            )
        })
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}
