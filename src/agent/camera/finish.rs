//! From a picture to the JPEG that is sent of it.

use anyhow::Result;

use super::broken::Broken;
use super::picture::Picture;
use crate::agent::encode::Encoder;
use crate::agent::health::Part;
use crate::agent::transform::Transform;
use crate::config::{Camera, Quality};
use crate::frame::{JpegImage, MAX_JPEG_BYTES};

/// Encodes what is pixels, and turns and cuts what is to be.
pub(super) struct Finish {
    encoder: Encoder,
    transform: Option<Transform>,
    broken: Broken,
}

impl Finish {
    pub(super) fn of(camera: &Camera, health: &Part) -> Result<Finish> {
        let (encoder, transform) = (Encoder::default(), Transform::of(camera)?);
        Ok(Finish { encoder, transform, broken: Broken::new(health.clone()) })
    }

    /// What came last could be sent.
    pub(super) fn is_well(&self) -> bool {
        !self.broken.is_going_on()
    }

    /// `None`: the picture cannot be sent, and is counted.
    ///
    /// # Errors
    /// When it cannot be encoded, when what is to be cut out is not in it, and when for some time none could be sent.
    pub(super) fn picture(&mut self, picture: Picture<'_>, quality: Quality) -> Result<Option<JpegImage>> {
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
                self.broken.end();
                return Ok(Some(finished));
            }
            Some(_) => self.oversized()?,
            None => self.broken.count("damaged_frames", &"they cannot be turned or cut")?,
        }
        Ok(None)
    }

    /// Counts a picture that is too large.
    ///
    /// # Errors
    /// When for some time none could be sent.
    pub(super) fn oversized(&mut self) -> Result<()> {
        self.broken.count("oversized_frames", &"they are too large to be sent")
    }
}
