//! Pictures turned, mirrored and cut as JPEGs: their blocks are moved, not decoded, so nothing of them is lost and a
//! camera's own JPEG costs less than half of what decoding and encoding it would.

use anyhow::{Result, bail};
use bytes::Bytes;
use turbojpeg::{Decompressor, TransformCrop, TransformOp, Transformer};

use crate::config::{Camera, Crop, Flip, Rotate};

/// What is done to each of a camera's pictures.
pub struct Transform {
    op: TransformOp,
    crop: Option<Crop>,
    reader: Decompressor,
    transformer: Transformer,
}

/// A picture after it.
pub struct Transformed {
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// A JPEG file.
    pub bytes: Bytes,
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
        Ok(Some(Transform { op, crop, reader: Decompressor::new()?, transformer: Transformer::new()? }))
    }

    /// The picture, transformed. Blocks that stand over at an edge which is not to be one are cut off, and a part begins
    /// where a block does. `None`: the JPEG is damaged.
    ///
    /// # Errors
    /// When the part is not inside the picture.
    pub fn apply(&mut self, jpeg: &[u8]) -> Result<Option<Transformed>> {
        let Ok(header) = self.reader.read_header(jpeg) else { return Ok(None) };
        let block = (header.subsamp.mcu_width(), header.subsamp.mcu_height());
        let mut transform = turbojpeg::Transform::op(self.op);
        transform.trim = true;
        let (mut width, mut height) = self.turned((header.width, header.height), block);
        if let Some(crop) = self.crop {
            let block = if self.transposes() { (block.1, block.0) } else { block };
            let [x, y, w, h] = [crop.x, crop.y, crop.width, crop.height].map(|pixels| pixels as usize);
            if x + w > width || y + h > height {
                bail!("crop {crop} is not inside its picture, which is {width}x{height}");
            }
            (width, height) = (w, h);
            let (x, y) = (x - x % block.0, y - y % block.1);
            transform.crop = Some(TransformCrop { x, y, width: Some(w), height: Some(h) });
        }
        let Ok(bytes) = self.transformer.transform_to_vec(&transform, jpeg) else { return Ok(None) };
        Ok(Some(Transformed { width: width as u32, height: height as u32, bytes: bytes.into() }))
    }

    /// The size after the turn, whole blocks only where an edge becomes the left one or the upper one.
    fn turned(&self, (mut width, mut height): (usize, usize), block: (usize, usize)) -> (usize, usize) {
        use TransformOp::{Hflip, Rot90, Rot180, Rot270, Transverse, Vflip};
        if matches!(self.op, Hflip | Rot180 | Rot270 | Transverse) {
            width -= width % block.0;
        }
        if matches!(self.op, Vflip | Rot180 | Rot90 | Transverse) {
            height -= height % block.1;
        }
        if self.transposes() { (height, width) } else { (width, height) }
    }

    fn transposes(&self) -> bool {
        use TransformOp::{Rot90, Rot270, Transpose, Transverse};
        matches!(self.op, Rot90 | Rot270 | Transpose | Transverse)
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
