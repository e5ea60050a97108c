//! Turns a picture into the JPEG that is sent.

use anyhow::Result;

use super::broken::BrokenFrames;
use super::picture::Picture;
use crate::agent::encode::Encoder;
use crate::agent::health::Part;
use crate::agent::transform::Transform;
use crate::config::{Camera, Quality};
use crate::frame::{JpegImage, MAX_JPEG_BYTES};

/// Encodes pixels; rotates and crops pictures as configured.
pub(super) struct Finisher {
    encoder: Encoder,
    transform: Option<Transform>,
    broken: BrokenFrames,
}

impl Finisher {
    pub(super) fn of(camera: &Camera, health: &Part) -> Result<Finisher> {
        let (encoder, transform) = (Encoder::default(), Transform::of(camera)?);
        Ok(Finisher { encoder, transform, broken: BrokenFrames::new(health.clone()) })
    }

    /// Whether the last picture could be sent.
    pub(super) fn is_working(&self) -> bool {
        !self.broken.is_failing()
    }

    /// Finishes a picture. `None`: it cannot be sent and was counted.
    ///
    /// # Errors
    /// When encoding fails, when the crop lies outside the picture, or when no picture could be sent for some time.
    pub(super) fn finish(&mut self, picture: Picture<'_>, quality: Quality) -> Result<Option<JpegImage>> {
        let whole = match picture {
            Picture::Jpeg { width, height, bytes } => JpegImage { width, height, bytes },
            Picture::Pixels(frame) => {
                JpegImage { width: frame.width, height: frame.height, bytes: self.encoder.encode(frame, quality)? }
            }
        };
        let finished = match &mut self.transform {
            Some(transform) => transform.apply(&whole.bytes)?,
            None => Some(whole),
        };
        match finished {
            Some(finished) if finished.bytes.len() <= MAX_JPEG_BYTES => {
                self.broken.reset();
                return Ok(Some(finished));
            }
            Some(_) => self.count_too_large()?,
            None => self.broken.count("damaged_frames", &"they cannot be rotated or cropped")?,
        }
        Ok(None)
    }

    /// Counts a picture that is too large.
    ///
    /// # Errors
    /// When no picture could be sent for some time.
    pub(super) fn count_too_large(&mut self) -> Result<()> {
        self.broken.count("oversized_frames", &"they are too large to send")
    }
}
