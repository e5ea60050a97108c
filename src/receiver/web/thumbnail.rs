//! A small picture of a large one.

use std::ops::RangeInclusive;

use bytes::Bytes;
use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

/// What can be asked for.
pub(super) const WIDTHS: RangeInclusive<u32> = 16..=1920;

/// Good enough for what is small.
const QUALITY: i32 = 70;

/// A picture that is decoded has no more pixels.
const LARGEST: usize = 4 * 1024 * 1024;

/// One that is larger is not decoded even to a small one: of a progressive JPEG the decoder has all coefficients in memory.
const LARGEST_HEADER: usize = 32 * 1000 * 1000;

/// No encoder has use for as many; each costs the decoder the whole picture.
const SCANS: u32 = 64;

const BYTES: usize = 3;

/// A JPEG of at most this width; none of one that cannot be decoded, or only to something enormous.
pub(super) fn of(jpeg: &Bytes, width: u32) -> Option<Bytes> {
    let width = width as usize;
    let mut decoder = Decompressor::new().ok()?;
    decoder.set_scan_limit(SCANS).ok()?;
    let header = decoder.read_header(jpeg).ok()?;
    if header.width.checked_mul(header.height)? > LARGEST_HEADER {
        return None;
    }
    if header.width <= width {
        return Some(jpeg.clone());
    }
    // The decoder leaves out what is too fine anyway, in eighths.
    let eighths = (1..=8).rev().map(|eighth| ScalingFactor::new(eighth, 8));
    let factor =
        eighths.clone().find(|factor| factor.scale(header.width) <= width).unwrap_or(ScalingFactor::ONE_EIGHTH);
    decoder.set_scaling_factor(factor).ok()?;
    let (wide, high) = (factor.scale(header.width), factor.scale(header.height));
    if wide.checked_mul(high)? > LARGEST {
        return None;
    }
    let pixels = vec![0; wide * high * BYTES];
    let mut image = Image { pixels, width: wide, pitch: wide * BYTES, height: high, format: PixelFormat::RGB };
    decoder.decompress(jpeg, image.as_deref_mut()).ok()?;
    let image = if wide > width { shrunk(&image, width) } else { image };
    let mut encoder = Compressor::new().ok()?;
    encoder.set_quality(QUALITY).ok()?;
    encoder.set_subsamp(Subsamp::Sub2x2).ok()?;
    Some(Bytes::from(encoder.compress_to_vec(image.as_deref()).ok()?))
}

/// Each pixel the mean of those in its place.
fn shrunk(image: &Image<Vec<u8>>, width: usize) -> Image<Vec<u8>> {
    let height = (image.height * width / image.width).max(1);
    let mut pixels = Vec::with_capacity(width * height * BYTES);
    for y in 0..height {
        let rows = y * image.height / height..((y + 1) * image.height / height).max(y * image.height / height + 1);
        for x in 0..width {
            let columns = x * image.width / width..((x + 1) * image.width / width).max(x * image.width / width + 1);
            let count = (rows.len() * columns.len()) as u32;
            for color in 0..BYTES {
                let of_row = |row: usize| columns.clone().map(move |column| row * image.pitch + column * BYTES + color);
                let sum: u32 = rows.clone().flat_map(of_row).map(|place| u32::from(image.pixels[place])).sum();
                pixels.push((sum / count) as u8);
            }
        }
    }
    Image { pixels, width, pitch: width * BYTES, height, format: image.format }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Bytes {
        let pixels: Vec<u8> =
            (0..width * height * BYTES).map(|place| (place / BYTES % width * 255 / width) as u8).collect();
        let image = Image { pixels, width, pitch: width * BYTES, height, format: PixelFormat::RGB };
        let mut encoder = Compressor::new().expect("an encoder");
        encoder.compress_to_vec(Image::as_deref(&image)).expect("a picture").into()
    }

    #[test]
    fn thumbnail_has_limited_width_and_the_same_content() {
        for (width, height, wanted) in [(640, 480, (160, 120)), (1920, 1080, (160, 90)), (2592, 1944, (160, 120))] {
            let small = of(&picture(width, height), 160).expect("a thumbnail");
            let image = turbojpeg::decompress(&small, PixelFormat::RGB).expect("a JPEG");
            assert_eq!((image.width, image.height), wanted);
            let row = &image.pixels[image.pitch * 10..][..image.width * BYTES];
            assert!(row[3] < 20 && row[row.len() - 4] > 235, "{} {}", row[3], row[row.len() - 4]);
        }
        let small = picture(100, 80);
        assert_eq!(of(&small, 160), Some(small));
        assert_eq!(of(&Bytes::from_static(b"\xff\xd8\xff\xd9"), 160), None);
    }
}
