//! What OpenCV has opened, with limits to its waits.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use opencv::core::{CV_8UC3, LogLevel, Mat, MatTraitConst as _, Vector, set_log_level, set_num_threads};
use opencv::videoio::{
    CAP_FFMPEG, CAP_GSTREAMER, CAP_PROP_FPS, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_FRAMES,
    CAP_PROP_READ_TIMEOUT_MSEC, VideoCapture, VideoCaptureTrait as _, VideoCaptureTraitConst as _,
};
use watchpost::config::VideoSource;

/// FFmpeg looks at a stream for up to five seconds before it has opened it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

/// A stream that is silent for this long is opened anew.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The rate of a file that does not tell its own.
const DEFAULT_FPS: f64 = 25.0;

pub(super) struct Video {
    capture: VideoCapture,
    file: Option<PathBuf>,
    fps: f64,
}

impl Video {
    pub(super) fn open(source: &VideoSource) -> Result<Video> {
        // Warnings are of what does no harm, at each try.
        set_log_level(LogLevel::LOG_LEVEL_ERROR)?;
        // The other cores are for other cameras.
        set_num_threads(1)?;
        let start = Instant::now();
        let capture = match source {
            VideoSource::File(_) | VideoSource::Stream(_) => ffmpeg(&source.text()),
            // Its elements have timeouts of their own; before OpenCV 4.8 only FFmpeg takes any.
            VideoSource::Pipeline(pipeline) => VideoCapture::from_file(pipeline, CAP_GSTREAMER),
        }
        .context("cannot be opened")?;
        if !capture.is_opened()? {
            match source {
                VideoSource::Stream(_) if start.elapsed() >= OPEN_TIMEOUT => {
                    bail!("gave no answer for {} s", OPEN_TIMEOUT.as_secs())
                }
                VideoSource::Pipeline(_) => {
                    bail!("cannot be opened as a pipeline; run it with gst-launch-1.0 to see why")
                }
                _ => bail!("cannot be opened as a {}", source.kind()),
            }
        }
        let reported = capture.get(CAP_PROP_FPS)?;
        let fps = if reported.is_finite() && reported > 0.0 && reported <= 240.0 { reported } else { DEFAULT_FPS };
        let path = if let VideoSource::File(path) = source { Some(path.clone()) } else { None };
        Ok(Video { capture, file: path, fps })
    }

    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// As a file tells; a stream is not asked.
    pub(super) fn fps(&self) -> f64 {
        self.fps
    }

    /// Goes to the next picture; a file begins again at its end.
    pub(super) fn grab(&mut self) -> Result<()> {
        let start = Instant::now();
        if self.capture.grab()? || self.rewind()? {
            return Ok(());
        }
        if self.file.is_none() && start.elapsed() >= READ_TIMEOUT {
            bail!("gives no frames");
        }
        bail!("ended")
    }

    /// False when it is no file, or has no pictures.
    fn rewind(&mut self) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if self.capture.set(CAP_PROP_POS_FRAMES, 0.0)? && self.capture.grab()? {
            return Ok(true);
        }
        // Not every kind of file can be wound back, whatever was said of it.
        self.capture = ffmpeg(&file.to_string_lossy())?;
        Ok(self.capture.grab()?)
    }

    /// The picture in blue, green and red.
    pub(super) fn retrieve(&mut self, picture: &mut Mat) -> Result<()> {
        if !self.capture.retrieve(picture, 0)? {
            bail!("gives no pictures");
        }
        if picture.typ() != CV_8UC3 {
            bail!("does not give BGR; write \"… ! videoconvert ! video/x-raw,format=BGR ! appsink\"");
        }
        Ok(())
    }
}

fn ffmpeg(address: &str) -> opencv::Result<VideoCapture> {
    let (open, read) = (OPEN_TIMEOUT.as_millis() as i32, READ_TIMEOUT.as_millis() as i32);
    let params = Vector::from_slice(&[CAP_PROP_OPEN_TIMEOUT_MSEC, open, CAP_PROP_READ_TIMEOUT_MSEC, read]);
    VideoCapture::from_file_with_params(address, CAP_FFMPEG, &params)
}
