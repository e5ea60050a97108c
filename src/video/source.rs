//! Scales and encodes the newest picture of a source on request.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use opencv::core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Size as CvSize};
use opencv::imgproc::{INTER_AREA, resize};
use watchpost::agent::camera::video::pipe::{Answer, PictureInfo, PictureRequest};
use watchpost::agent::encode::Encoder;
use watchpost::config::{self, Size};
use watchpost::frame::{Frame, Layout, MAX_JPEG_BYTES};

use crate::reader::{Progress, Reader};
use crate::video::Video;

pub(super) struct Source {
    reader: Reader,
    size: Option<Size>,
    picture: Mat,
    resized: Mat,
    encoder: Encoder,
    description: String,
}

impl Source {
    pub(super) fn open(source: &config::VideoSource, size: Option<Size>) -> Result<Source> {
        let video = Video::open(source)?;
        let size_text = size.map(|size| format!("{size} ")).unwrap_or_default();
        let rate = if video.is_file() { format!(", {:.0} frames per second", video.fps()) } else { String::new() };
        let description = format!("{size_text}{}{rate}", source.kind());
        let (picture, resized, encoder) = (Mat::default(), Mat::default(), Encoder::default());
        Ok(Source { reader: Reader::start(video)?, size, picture, resized, encoder, description })
    }

    /// The source's actual settings, for status and log.
    pub(super) fn describe(&self) -> &str {
        &self.description
    }

    /// Polls for the newest picture.
    ///
    /// # Errors
    /// When the source must be reopened.
    pub(super) fn poll(&mut self, request: Option<PictureRequest>) -> Result<(Answer, Bytes)> {
        let progress = self.reader.poll(request.map(|request| request.fps), &mut self.picture)?;
        let (captured, replaced, quality) = match (progress, request) {
            (Progress::Waiting, _) => return Ok((Answer::NotReady, Bytes::new())),
            (Progress::Skipped, _) | (Progress::Picture(..), None) => return Ok((Answer::Skipped, Bytes::new())),
            (Progress::Picture(captured, replaced), Some(request)) => (captured, replaced, request.quality),
        };
        let frame =
            self.size.map_or_else(|| pixels(&self.picture), |size| scaled(&self.picture, &mut self.resized, size))?;
        let jpeg = self.encoder.encode(frame, quality)?;
        if jpeg.len() > MAX_JPEG_BYTES {
            return Ok((Answer::TooLarge, Bytes::new()));
        }
        let Frame { width, height, .. } = frame;
        let info = PictureInfo { captured: captured.monotonic(), width, height, replaced, length: jpeg.len() };
        Ok((Answer::Picture(info), jpeg))
    }
}

fn scaled<'a>(picture: &'a Mat, resized: &'a mut Mat, size: Size) -> Result<Frame<'a>> {
    let size = CvSize::new(size.width as i32, size.height as i32);
    if picture.size()? == size {
        return pixels(picture);
    }
    resize(picture, resized, size, 0.0, 0.0, INTER_AREA)?;
    pixels(resized)
}

fn pixels(picture: &Mat) -> Result<Frame<'_>> {
    let size = picture.size()?;
    let data = picture.data_bytes().context("outputs pictures that are not contiguous in memory")?;
    Ok(Frame { width: size.width as u32, height: size.height as u32, layout: Layout::Bgr, data })
}
