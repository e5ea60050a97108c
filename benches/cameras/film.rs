//! What the cameras see: a piece of Debian's film, as a camera's JPEGs and as its raw pixels.

use std::fs;
use std::path::{Path, PathBuf};

use opencv::core::{Mat, MatTraitConstManual as _, Size};
use opencv::imgproc::{COLOR_BGR2YCrCb, INTER_AREA, cvt_color_def, resize};
use opencv::videoio::{CAP_FFMPEG, VideoCapture, VideoCaptureTrait as _};
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

use crate::harness::sample_video;

pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 480;

/// Pictures of a film; six seconds of the street.
const COUNT: usize = 60;

/// One film in both formats that cameras have.
pub struct Films {
    mjpg: PathBuf,
    yuyv: PathBuf,
}

impl Films {
    /// Writes both into a directory.
    pub fn write(dir: &Path) -> opencv::Result<Films> {
        let mut capture = VideoCapture::from_file(sample_video(), CAP_FFMPEG)?;
        let (mut picture, mut small, mut ycrcb) = (Mat::default(), Mat::default(), Mat::default());
        let (mut encoder, mut mjpg, mut yuyv) = (Encoder::default(), Vec::new(), Vec::new());
        for _ in 0..COUNT {
            assert!(capture.read(&mut picture)?, "{} has fewer than {COUNT} frames", sample_video());
            resize(&picture, &mut small, Size::new(WIDTH as i32, HEIGHT as i32), 0.0, 0.0, INTER_AREA)?;
            cvt_color_def(&small, &mut ycrcb, COLOR_BGR2YCrCb)?;
            let pixels = pairs(ycrcb.data_bytes()?);
            let data = &planes(&pixels);
            let frame = Frame { width: WIDTH, height: HEIGHT, layout: Layout::Yuv422, data };
            mjpg.extend_from_slice(&encoder.encode(frame, Quality::default()).expect("a picture"));
            yuyv.extend(pixels.into_iter().flatten());
        }
        let films = Films { mjpg: dir.join("film.mjpeg"), yuyv: dir.join("film.yuyv") };
        fs::write(&films.mjpg, mjpg).expect("a temporary file");
        fs::write(&films.yuyv, yuyv).expect("a temporary file");
        Ok(films)
    }

    /// The film for cameras of this format.
    pub fn of(&self, fourcc: &str) -> &Path {
        if fourcc == "MJPG" { &self.mjpg } else { &self.yuyv }
    }

    /// Bytes of a frame of this format, on average.
    pub fn frame_size(&self, fourcc: &str) -> u64 {
        fs::metadata(self.of(fourcc)).expect("it was written").len() / COUNT as u64
    }
}

/// Y0 Cb Y1 Cr of two pixels each, from Y Cr Cb of each pixel.
fn pairs(ycrcb: &[u8]) -> Vec<[u8; 4]> {
    ycrcb.chunks_exact(6).map(|two| [two[0], two[2].midpoint(two[5]), two[3], two[1].midpoint(two[4])]).collect()
}

fn planes(pairs: &[[u8; 4]]) -> Vec<u8> {
    let y = pairs.iter().flat_map(|pair| [pair[0], pair[2]]);
    let (cb, cr) = (pairs.iter().map(|pair| pair[1]), pairs.iter().map(|pair| pair[3]));
    y.chain(cb).chain(cr).collect()
}
