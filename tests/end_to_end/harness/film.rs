//! Pictures for cameras.

use std::fs;
use std::path::PathBuf;

use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

use super::Bench;

/// A film of `count` different JPEGs of 480x320, and the JPEGs.
pub fn film(bench: &Bench, name: &str, count: u8) -> (PathBuf, Vec<Vec<u8>>) {
    film_of(bench, name, count, (480, 320))
}

/// Like [`film`], with another size.
pub fn film_of(bench: &Bench, name: &str, count: u8, (width, height): (u32, u32)) -> (PathBuf, Vec<Vec<u8>>) {
    let mut encoder = Encoder::default();
    let jpegs: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let mut data: Vec<u8> = (0..width * height).map(|i| (i % width) as u8 / 4 + number * 8).collect();
            data.resize((width * height * 2) as usize, 128);
            let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
            encoder.encode(frame, Quality::default()).expect("a picture").to_vec()
        })
        .collect();
    let path = bench.path(name);
    fs::write(&path, jpegs.concat()).expect("a temporary file");
    (path, jpegs)
}

/// A JPEG of 64x48 that shows a number in binary: eight vertical bars, least significant bit first, bright for 1.
pub fn numbered(number: u8) -> Vec<u8> {
    let mut data: Vec<u8> = (0..64 * 48).map(|i| if number >> (i % 64 / 8) & 1 == 1 { 235 } else { 16 }).collect();
    data.resize(64 * 48 * 2, 128);
    let frame = Frame { width: 64, height: 48, layout: Layout::Yuv422, data: &data };
    Encoder::default().encode(frame, Quality::default()).expect("a picture").to_vec()
}
