//! Rotation, mirroring and cropping of a camera's picture.

use std::fmt;

use serde::Deserialize;

/// A clockwise rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub enum Rotate {
    /// Unchanged.
    #[default]
    By0,
    /// A quarter turn.
    By90,
    /// Upside down.
    By180,
    /// A quarter turn counterclockwise.
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
            _ => Err(format!("a picture cannot be rotated by {degrees}; write 90, 180 or 270, in degrees clockwise")),
        }
    }
}

/// Mirroring, after the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// Swaps left and right.
    Horizontal,
    /// Swaps top and bottom.
    Vertical,
}

/// A part of the picture, after rotation and mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Crop {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Distance from the left edge.
    pub x: u32,
    /// Distance from the top edge.
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
                 and the distances from the left and from the top"
            )
        })
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}
