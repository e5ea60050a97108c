//! From a picture to the JPEG that is sent of it.

use anyhow::Result;

use super::broken::BrokenFrames;
use super::picture::Picture;
use crate::agent::encode::Encoder;
use crate::agent::health::Part;
use crate::agent::transform::Transform;
use crate::config::{Camera, Quality};
use crate::frame::{JpegImage, MAX_JPEG_BYTES};

/// Encodes what is pixels, and turns and cuts what is to be.
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

    /// What came last could be sent.
    pub(super) fn is_working(&self) -> bool {
        !self.broken.is_failing()
    }

    /// `None`: the picture cannot be sent, and is counted.
    ///
    /// # Errors
    /// When it cannot be encoded, when what is to be cut out is not in it, and when for some time none could be sent.
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
    /// When for some time none could be sent.
    pub(super) fn count_too_large(&mut self) -> Result<()> {
        self.broken.count("oversized_frames", &"they are too large to send")
    }
}
