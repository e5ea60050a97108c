//! What the virtual cameras show: part of Debian's sample video, as JPEGs and as raw pixels.

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

/// Pictures of the video: six seconds.
const COUNT: usize = 60;

/// The video in both camera formats.
pub struct Videos {
    mjpg: PathBuf,
    yuyv: PathBuf,
}

impl Videos {
    /// Writes both files into a directory.
    pub fn write(dir: &Path) -> opencv::Result<Videos> {
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
        let videos = Videos { mjpg: dir.join("video.mjpeg"), yuyv: dir.join("video.yuyv") };
        fs::write(&videos.mjpg, mjpg).expect("a temporary file");
        fs::write(&videos.yuyv, yuyv).expect("a temporary file");
        Ok(videos)
    }

    /// The file for cameras of this format.
    pub fn of(&self, fourcc: &str) -> &Path {
        if fourcc == "MJPG" { &self.mjpg } else { &self.yuyv }
    }

    /// The average size of a frame in this format, in bytes.
    pub fn frame_size(&self, fourcc: &str) -> u64 {
        fs::metadata(self.of(fourcc)).expect("a written file").len() / COUNT as u64
    }
}

/// Converts Y Cr Cb of each pixel to Y0 Cb Y1 Cr of each pair of pixels.
fn pairs(ycrcb: &[u8]) -> Vec<[u8; 4]> {
    ycrcb.chunks_exact(6).map(|two| [two[0], two[2].midpoint(two[5]), two[3], two[1].midpoint(two[4])]).collect()
}

fn planes(pairs: &[[u8; 4]]) -> Vec<u8> {
    let y = pairs.iter().flat_map(|pair| [pair[0], pair[2]]);
    let (cb, cr) = (pairs.iter().map(|pair| pair[1]), pairs.iter().map(|pair| pair[3]));
    y.chain(cb).chain(cr).collect()
}
