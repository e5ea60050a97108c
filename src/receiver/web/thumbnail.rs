//! Scales pictures down.

use std::ops::RangeInclusive;

use bytes::Bytes;
use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

/// Accepted widths.
pub(super) const WIDTHS: RangeInclusive<u32> = 16..=1920;

/// JPEG quality; sufficient for small pictures.
const QUALITY: i32 = 70;

/// Maximum pixels of a decoded picture.
const MAX_DECODED_PIXELS: usize = 4 * 1024 * 1024;

/// Maximum pixels of a source picture: for a progressive JPEG the decoder holds all coefficients, at any scale.
const MAX_SOURCE_PIXELS: usize = 32 * 1000 * 1000;

/// Maximum scans of a progressive JPEG; real encoders use fewer, and each costs a pass over the picture.
const MAX_SCANS: u32 = 64;

const BYTES_PER_PIXEL: usize = 3;

/// Returns a JPEG of at most this width; `None` if the picture cannot be decoded or is too large.
pub(super) fn scaled(jpeg: &Bytes, width: u32) -> Option<Bytes> {
    let width = width as usize;
    let mut decoder = Decompressor::new().ok()?;
    decoder.set_scan_limit(MAX_SCANS).ok()?;
    let header = decoder.read_header(jpeg).ok()?;
    if header.width.checked_mul(header.height)? > MAX_SOURCE_PIXELS {
        return None;
    }
    if header.width <= width {
        return Some(jpeg.clone());
    }
    // The decoder can scale by eighths, which skips detail that would be lost anyway.
    let eighths = (1..=8).rev().map(|eighth| ScalingFactor::new(eighth, 8));
    let factor =
        eighths.clone().find(|factor| factor.scale(header.width) <= width).unwrap_or(ScalingFactor::ONE_EIGHTH);
    decoder.set_scaling_factor(factor).ok()?;
    let (scaled_width, scaled_height) = (factor.scale(header.width), factor.scale(header.height));
    if scaled_width.checked_mul(scaled_height)? > MAX_DECODED_PIXELS {
        return None;
    }
    let pixels = vec![0; scaled_width * scaled_height * BYTES_PER_PIXEL];
    let mut image = Image {
        pixels,
        width: scaled_width,
        pitch: scaled_width * BYTES_PER_PIXEL,
        height: scaled_height,
        format: PixelFormat::RGB,
    };
    decoder.decompress(jpeg, image.as_deref_mut()).ok()?;
    let image = if scaled_width > width { averaged(&image, width) } else { image };
    let mut encoder = Compressor::new().ok()?;
    encoder.set_quality(QUALITY).ok()?;
    encoder.set_subsamp(Subsamp::Sub2x2).ok()?;
    Some(Bytes::from(encoder.compress_to_vec(image.as_deref()).ok()?))
}

/// Averages the source pixels of each pixel.
fn averaged(image: &Image<Vec<u8>>, width: usize) -> Image<Vec<u8>> {
    let height = (image.height * width / image.width).max(1);
    let mut pixels = Vec::with_capacity(width * height * BYTES_PER_PIXEL);
    for y in 0..height {
        let rows = y * image.height / height..((y + 1) * image.height / height).max(y * image.height / height + 1);
        for x in 0..width {
            let columns = x * image.width / width..((x + 1) * image.width / width).max(x * image.width / width + 1);
            let count = (rows.len() * columns.len()) as u32;
            for color in 0..BYTES_PER_PIXEL {
                let of_row = |row: usize| {
                    columns.clone().map(move |column| row * image.pitch + column * BYTES_PER_PIXEL + color)
                };
                let sum: u32 = rows.clone().flat_map(of_row).map(|index| u32::from(image.pixels[index])).sum();
                pixels.push((sum / count) as u8);
            }
        }
    }
    Image { pixels, width, pitch: width * BYTES_PER_PIXEL, height, format: image.format }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Bytes {
        let pixels: Vec<u8> = (0..width * height * BYTES_PER_PIXEL)
            .map(|index| (index / BYTES_PER_PIXEL % width * 255 / width) as u8)
            .collect();
        let image = Image { pixels, width, pitch: width * BYTES_PER_PIXEL, height, format: PixelFormat::RGB };
        let mut encoder = Compressor::new().expect("an encoder");
        encoder.compress_to_vec(Image::as_deref(&image)).expect("a picture").into()
    }

    #[test]
    fn thumbnail_has_limited_width_and_the_same_content() {
        for (width, height, expected) in [(640, 480, (160, 120)), (1920, 1080, (160, 90)), (2592, 1944, (160, 120))] {
            let small = scaled(&picture(width, height), 160).expect("a thumbnail");
            let image = turbojpeg::decompress(&small, PixelFormat::RGB).expect("a JPEG");
            assert_eq!((image.width, image.height), expected);
            let row = &image.pixels[image.pitch * 10..][..image.width * BYTES_PER_PIXEL];
            assert!(row[3] < 20 && row[row.len() - 4] > 235, "{} {}", row[3], row[row.len() - 4]);
        }
        let small = picture(100, 80);
        assert_eq!(scaled(&small, 160), Some(small));
        assert_eq!(scaled(&Bytes::from_static(b"\xff\xd8\xff\xd9"), 160), None);
    }
}
