//! JPEGs as encoders write them, and damaged as by buses, drivers and firmware.

use std::ops::Range;

use fastrand::Rng;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

/// A picture with restart markers, which neither the agent's encoder nor turbojpeg writes.
const RESTARTS: &[u8] = include_bytes!("../../fuzz/corpus/jpeg/restarts");

const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// Small pictures of several sizes, qualities and layouts: with standard tables, without tables, and with their own.
pub fn originals(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut standard = Vec::new();
    let mut others = vec![RESTARTS.to_vec()];
    for (width, height) in [(8, 8), (16, 16), (34, 17), (64, 48)] {
        for quality in [20, 80, 100] {
            standard.extend([Layout::Yuv422, Layout::Bgr].map(|layout| encoded(rng, layout, width, height, quality)));
        }
        for subsamp in [Subsamp::None, Subsamp::Gray, Subsamp::Sub1x2, Subsamp::Sub4x1] {
            standard.push(compressed(rng, subsamp, false, width as usize, height as usize));
            others.push(compressed(rng, subsamp, true, width as usize, height as usize));
        }
    }
    others.extend(standard.iter().map(|jpeg| without_tables(jpeg)));
    [standard, others].concat()
}

/// Encodes random content with the agent's own encoder.
pub fn encoded(rng: &mut Rng, layout: Layout, width: u32, height: u32, quality: i64) -> Vec<u8> {
    let bytes = width * height * if layout == Layout::Bgr { 3 } else { 2 };
    let data = content(rng, bytes as usize);
    let quality = Quality::try_from(quality).expect("a quality");
    Encoder::default().encode(Frame { width, height, layout, data: &data }, quality).expect("a picture").to_vec()
}

fn compressed(rng: &mut Rng, subsamp: Subsamp, optimize: bool, width: usize, height: usize) -> Vec<u8> {
    let pixels = content(rng, width * height * 3);
    let mut compressor = Compressor::new().expect("an encoder");
    compressor.set_subsamp(subsamp).expect("a subsampling");
    compressor.set_optimize(optimize).expect("an option");
    let image = Image { pixels: &*pixels, width, pitch: width * 3, height, format: PixelFormat::RGB };
    compressor.compress_to_vec(image).expect("a picture")
}

/// Returns a smooth gradient with a random amount of noise.
fn content(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let noise = rng.u8(1..=255);
    (0..bytes).map(|offset| (offset / 7) as u8 ^ rng.u8(..noise)).collect()
}

/// Removes the Huffman tables, as most cameras do.
pub fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    let mut bare = jpeg.to_vec();
    for segment in segments(jpeg).into_iter().rev().filter(|segment| jpeg[segment.start + 1] == DHT) {
        bare.drain(segment);
    }
    bare
}

/// Returns the ranges of the segments, up to and including the scan header.
fn segments(jpeg: &[u8]) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    let mut offset = 2;
    while let Some(&[0xff, marker, high, low]) = jpeg.get(offset..offset + 4) {
        let end = offset + 2 + usize::from(u16::from_be_bytes([high, low]));
        if end > jpeg.len() {
            break;
        }
        segments.push(offset..end);
        offset = end;
        if marker == SOS {
            break;
        }
    }
    segments
}

/// Returns one of the originals, damaged one to three times.
pub fn damaged(rng: &mut Rng, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut jpeg = any(rng, originals).clone();
    for _ in 0..rng.usize(1..4) {
        let other = any(rng, originals);
        if jpeg.len() > 2 {
            damage(rng, &mut jpeg, other);
        }
    }
    jpeg
}

fn any<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

fn damage(rng: &mut Rng, jpeg: &mut Vec<u8>, other: &[u8]) {
    let head = segments(jpeg);
    // Half of the time within a header, with equal chance for short and long ones.
    let whole = 0..jpeg.len();
    let part = if head.is_empty() || rng.bool() { &whole } else { any(rng, &head) };
    let offset = rng.usize(part.clone());
    let near = rng.usize(offset..jpeg.len().min(offset + 64));
    match rng.u8(..9) {
        0 => jpeg[offset] ^= rng.u8(1..),
        1 => jpeg[offset] = *any(rng, &[0, 1, 4, 0x11, 0x12, 0x21, 0x31, 0xc4, 0xd0, 0xd8, 0xd9, 0xff]),
        2 => jpeg.swap(offset, near),
        3 => drop(jpeg.drain(offset..=near)),
        4 => drop(jpeg.splice(offset..offset, (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect::<Vec<_>>())),
        5 => jpeg.truncate(offset),
        6 => *jpeg = [&jpeg[..offset], &other[rng.usize(..other.len())..]].concat(),
        _ if head.is_empty() => {}
        7 => {
            let (segment, offset) = (any(rng, &head).clone(), any(rng, &head).start);
            *jpeg = [&jpeg[..offset], &jpeg[segment], &jpeg[offset..]].concat();
        }
        _ => {
            let (a, b) = (rng.usize(..head.len()), rng.usize(..head.len()));
            let (a, b) = (head[a.min(b)].clone(), head[a.max(b)].clone());
            if a != b {
                let parts = [&jpeg[..a.start], &jpeg[b.clone()], &jpeg[a.end..b.start], &jpeg[a], &jpeg[b.end..]];
                *jpeg = parts.concat();
            }
        }
    }
}
