//! Encodes pixels as JPEG, for sources that do not deliver JPEG.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use turbojpeg::{Compressor, Image, OutputBuf, PixelFormat, Subsamp, YuvImage};

use crate::config::Quality;
use crate::frame::{Frame, Layout};

/// Encodes one camera's frames. Allocates nothing before the first frame.
#[derive(Default)]
pub struct Encoder {
    tools: Option<Tools>,
}

struct Tools {
    compressor: Compressor,
    /// Reused: it has grown to the size of a frame.
    output: OutputBuf<'static>,
}

impl Encoder {
    /// Encodes a frame as JPEG. Planar pixels are not converted to RGB.
    ///
    /// # Errors
    /// When the encoder is out of memory or refuses the frame's dimensions.
    pub fn encode(&mut self, frame: Frame<'_>, quality: Quality) -> Result<Bytes> {
        let Tools { compressor, output } = match &mut self.tools {
            Some(tools) => tools,
            none => none.insert(tools().context("JPEG encoder not available")?),
        };
        compressor.set_quality(quality.get().into())?;
        let Frame { width, height, layout, data } = frame;
        let (width, height) = (width as usize, height as usize);
        let planes = |subsamp| YuvImage { pixels: data, width, align: 1, height, subsamp };
        let encoded = match layout {
            Layout::Yuv422 => compressor.compress_yuv(planes(Subsamp::Sub2x1), output),
            Layout::Yuv420 => compressor.compress_yuv(planes(Subsamp::Sub2x2), output),
            Layout::Bgr => {
                let image = Image { pixels: data, width, pitch: width * 3, height, format: PixelFormat::BGR };
                compressor.set_subsamp(Subsamp::Sub2x2)?;
                compressor.compress(image, output)
            }
        };
        encoded.context("the frame cannot be encoded")?;
        Ok(Bytes::copy_from_slice(output))
    }
}

fn tools() -> turbojpeg::Result<Tools> {
    Ok(Tools { compressor: Compressor::new()?, output: OutputBuf::new_owned() })
}
