//! Streams and files, through OpenCV.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use opencv::core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Size as CvSize, Vector};
use opencv::imgproc::{INTER_AREA, resize};
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_FRAMES, CAP_PROP_READ_TIMEOUT_MSEC,
    VideoCapture, VideoCaptureTrait as _, VideoCaptureTraitConst as _,
};

use super::PATIENCE;
use super::pace::Pace;
use super::source::{Next, Picture};
use crate::clock::Stamp;
use crate::config::{Camera, Fps, Size};
use crate::frame::{Frame, Layout};

/// A network camera may take seconds to agree on a stream.
const OPEN: Duration = Duration::from_secs(5);

/// A stream that is silent for this long is opened anew.
const READ: Duration = Duration::from_secs(2);

/// The rate of a file that does not tell its own.
const USUAL_FPS: f64 = 25.0;

pub(super) struct Film {
    capture: VideoCapture,
    /// A file plays at its own rate; a stream comes when it comes.
    play: Option<Pace>,
    wanted: Pace,
    size: Option<Size>,
    picture: Mat,
    resized: Mat,
    fps: f64,
}

impl Film {
    pub(super) fn open(film: &str, camera: &Camera) -> Result<Film> {
        let is_file = !film.contains("://");
        if is_file && !std::path::Path::new(film).exists() {
            bail!("no such file");
        }
        let (open, read) = (OPEN.as_millis() as i32, READ.as_millis() as i32);
        let params = Vector::from_slice(&[CAP_PROP_OPEN_TIMEOUT_MSEC, open, CAP_PROP_READ_TIMEOUT_MSEC, read]);
        let capture = VideoCapture::from_file_with_params(film, CAP_FFMPEG, &params).context("cannot be opened")?;
        if !capture.is_opened()? {
            bail!("cannot be opened as {}", if is_file { "a film" } else { "a stream" });
        }
        let told = capture.get(CAP_PROP_FPS)?;
        let fps = if told.is_finite() && told > 0.0 && told <= 240.0 { told } else { USUAL_FPS };
        Ok(Film {
            capture,
            play: is_file.then(|| Pace::new(fps)),
            wanted: Pace::of(camera.fps),
            size: camera.size,
            picture: Mat::default(),
            resized: Mat::default(),
            fps,
        })
    }

    pub(super) fn next(&mut self, fps: Fps, wanted: bool) -> Result<Next<'_>> {
        self.wanted.keep(fps);
        if self.play.as_mut().is_some_and(|pace| !pace.waits(PATIENCE)) {
            return Ok(Next::Nothing);
        }
        if !self.grab()? {
            bail!("ended");
        }
        let captured = Stamp::now();
        if !wanted || !self.wanted.takes_now() {
            return Ok(Next::Passed);
        }
        if !self.capture.retrieve(&mut self.picture, 0)? {
            bail!("gives no pictures");
        }
        let frame = self.resized()?;
        Ok(Next::Taken(captured, Picture::Pixels(frame)))
    }

    pub(super) fn describe(&self) -> String {
        let size = self.size.map(|size| format!("{size} ")).unwrap_or_default();
        format!("{size}{}, {:.0} frames a second", if self.play.is_some() { "file" } else { "stream" }, self.fps)
    }

    /// The next picture; a file begins again at its end.
    fn grab(&mut self) -> Result<bool> {
        if self.capture.grab()? {
            return Ok(true);
        }
        Ok(self.play.is_some() && self.capture.set(CAP_PROP_POS_FRAMES, 0.0)? && self.capture.grab()?)
    }

    fn resized(&mut self) -> Result<Frame<'_>> {
        let own = self.picture.size()?;
        let wish = self.size.map_or(own, |size| CvSize::new(size.width as i32, size.height as i32));
        let picture = if wish == own {
            &self.picture
        } else {
            resize(&self.picture, &mut self.resized, wish, 0.0, 0.0, INTER_AREA)?;
            &self.resized
        };
        let data = picture.data_bytes().context("gives pictures in pieces")?;
        Ok(Frame { width: wish.width as u32, height: wish.height as u32, layout: Layout::Bgr, data })
    }
}
