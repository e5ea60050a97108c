//! Pixels to JPEG, for sources that do not bring it.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvImage};

use crate::config::Quality;
use crate::frame::{Frame, Layout};

/// Encodes one camera's frames. Nothing is allocated before the first one.
#[derive(Default)]
pub struct Encoder {
    compressor: Option<Compressor>,
}

impl Encoder {
    /// A JPEG of the frame; planar pixels are never taken through RGB.
    ///
    /// # Errors
    /// When the encoder is out of memory or refuses the frame's dimensions.
    pub fn encode(&mut self, frame: Frame<'_>, quality: Quality) -> Result<Bytes> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(compressor().context("no encoder")?),
        };
        compressor.set_quality(quality.get().into())?;
        let Frame { width, height, layout, data } = frame;
        let (width, height) = (width as usize, height as usize);
        let jpeg = match layout {
            Layout::Yuv422 => {
                let image = YuvImage { pixels: data, width, align: 1, height, subsamp: Subsamp::Sub2x1 };
                compressor.compress_yuv_to_vec(image)
            }
            Layout::Bgr => {
                let image = Image { pixels: data, width, pitch: width * 3, height, format: PixelFormat::BGR };
                compressor.compress_to_vec(image)
            }
        };
        Ok(jpeg.context("cannot be encoded")?.into())
    }
}

fn compressor() -> turbojpeg::Result<Compressor> {
    let mut compressor = Compressor::new()?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    Ok(compressor)
}
