//! Pictures turned, mirrored and cut as JPEGs: their blocks are moved, not decoded, so nothing of them is lost and a
//! camera's own JPEG costs less than half of what decoding and encoding it would.

use anyhow::{Result, bail};
use bytes::Bytes;
use turbojpeg::{OutputBuf, TransformCrop, TransformOp, Transformer};

use crate::config::{Camera, Crop, Flip, Rotate};
use crate::frame::JpegImage;
use crate::jpeg;

/// What is done to each of a camera's pictures.
pub struct Transform {
    op: TransformOp,
    crop: Option<Crop>,
    transformer: Transformer,
}

impl Transform {
    /// What the configuration says; `None` when the picture is to stay as it is.
    ///
    /// # Errors
    /// When memory is out.
    pub fn of(camera: &Camera) -> Result<Option<Transform>> {
        let (op, crop) = (op(camera.rotate, camera.flip), camera.crop);
        if op == TransformOp::None && crop.is_none() {
            return Ok(None);
        }
        Ok(Some(Transform { op, crop, transformer: Transformer::new()? }))
    }

    /// The picture, transformed. Blocks that stand over at an edge which is not to be one are cut off, and a part begins
    /// where a block does. `None`: the JPEG is damaged.
    ///
    /// # Errors
    /// When the part is not inside the picture.
    pub fn apply(&mut self, jpeg: &[u8]) -> Result<Option<JpegImage>> {
        let Ok(sound) = jpeg::check(jpeg) else { return Ok(None) };
        let mut transform = turbojpeg::Transform::op(self.op);
        transform.trim = true;
        let (mut width, mut height) = self.turned(sound.width, sound.height, sound.block);
        if let Some(crop @ Crop { width: w, height: h, x, y }) = self.crop {
            if x + w > width || y + h > height {
                bail!("crop {crop} is not inside its picture, which is {width}x{height}");
            }
            (width, height) = (w, h);
            let (block_width, block_height) = self.transposed(sound.block);
            transform.crop = Some(TransformCrop {
                x: (x - x % block_width) as usize,
                y: (y - y % block_height) as usize,
                width: Some(w as usize),
                height: Some(h as usize),
            });
        }
        let mut output = OutputBuf::new_owned();
        // For turbojpeg a warning is an error, too, and there are cameras all of whose frames are warned of.
        let result = self.transformer.transform(&transform, jpeg, &mut output);
        let is_whole = || jpeg::check(&output).is_ok_and(|sound| (sound.width, sound.height) == (width, height));
        if result.is_err() && !is_whole() {
            return Ok(None);
        }
        Ok(Some(JpegImage { width, height, bytes: Bytes::copy_from_slice(&output) }))
    }

    /// The size after the turn, whole blocks only where an edge becomes the left one or the upper one.
    fn turned(&self, mut width: u32, mut height: u32, block: (u32, u32)) -> (u32, u32) {
        use TransformOp::{Hflip, Rot90, Rot180, Rot270, Transverse, Vflip};
        if matches!(self.op, Hflip | Rot180 | Rot270 | Transverse) && width > block.0 {
            width -= width % block.0;
        }
        if matches!(self.op, Vflip | Rot180 | Rot90 | Transverse) && height > block.1 {
            height -= height % block.1;
        }
        self.transposed((width, height))
    }

    /// Width and height after the turn.
    fn transposed(&self, (width, height): (u32, u32)) -> (u32, u32) {
        use TransformOp::{Rot90, Rot270, Transpose, Transverse};
        let is_turned = matches!(self.op, Rot90 | Rot270 | Transpose | Transverse);
        if is_turned { (height, width) } else { (width, height) }
    }
}

/// A turn and then a mirror are one of eight things.
fn op(rotate: Rotate, flip: Option<Flip>) -> TransformOp {
    use Flip::{Horizontal, Vertical};
    match (rotate, flip) {
        (Rotate::By0, None) => TransformOp::None,
        (Rotate::By90, None) => TransformOp::Rot90,
        (Rotate::By180, None) => TransformOp::Rot180,
        (Rotate::By270, None) => TransformOp::Rot270,
        (Rotate::By0, Some(Horizontal)) | (Rotate::By180, Some(Vertical)) => TransformOp::Hflip,
        (Rotate::By0, Some(Vertical)) | (Rotate::By180, Some(Horizontal)) => TransformOp::Vflip,
        (Rotate::By90, Some(Horizontal)) | (Rotate::By270, Some(Vertical)) => TransformOp::Transpose,
        (Rotate::By90, Some(Vertical)) | (Rotate::By270, Some(Horizontal)) => TransformOp::Transverse,
    }
}
