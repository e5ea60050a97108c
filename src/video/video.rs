//! A source opened by OpenCV, with time limits.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use opencv::core::{CV_8UC3, LogLevel, Mat, MatTraitConst as _, Vector, set_log_level, set_num_threads};
use opencv::videoio::{
    CAP_FFMPEG, CAP_GSTREAMER, CAP_PROP_FPS, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_FRAMES, CAP_PROP_POS_MSEC,
    CAP_PROP_READ_TIMEOUT_MSEC, VideoCapture, VideoCaptureTrait as _, VideoCaptureTraitConst as _,
};
use watchpost::agent::camera::patience::{MAX_PATIENCE, MIN_PATIENCE};
use watchpost::config::VideoSource;

/// FFmpeg examines a stream for up to five seconds before it is open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

/// A file on a server that does not respond is reopened after this long.
const FILE_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest patience with a stream that arrives in segments, each as long as some of them.
const SEGMENTS_PATIENCE: Duration = Duration::from_secs(20);

/// The rate of a file that does not specify one.
const DEFAULT_FPS: f64 = 25.0;

pub(super) struct Video {
    capture: VideoCapture,
    file: Option<PathBuf>,
    fps: f64,
    is_stream: bool,
    is_segmented: bool,
}

impl Video {
    pub(super) fn open(source: &VideoSource) -> Result<Video> {
        // The warnings are harmless and repeat on every attempt.
        set_log_level(LogLevel::LOG_LEVEL_ERROR)?;
        // Leave the other cores to other cameras.
        set_num_threads(1)?;
        let start = Instant::now();
        let capture = match source {
            VideoSource::File(_) => ffmpeg(&source.text(), FILE_READ_TIMEOUT),
            // The reader gives up on a stream before.
            VideoSource::Stream(_) => ffmpeg(&source.text(), MAX_PATIENCE),
            // Pipeline elements have their own timeouts, and before OpenCV 4.8 only FFmpeg accepts any.
            VideoSource::Pipeline(pipeline) => VideoCapture::from_file(pipeline, CAP_GSTREAMER),
        }
        .context("cannot be opened")?;
        if !capture.is_opened()? {
            match source {
                VideoSource::Stream(_) if start.elapsed() >= OPEN_TIMEOUT => {
                    bail!("no reply within {} s", OPEN_TIMEOUT.as_secs())
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
        let is_segmented = matches!(source, VideoSource::Stream(address) if is_playlist(address));
        let is_stream = matches!(source, VideoSource::Stream(_));
        Ok(Video { capture, file: path, fps, is_stream, is_segmented })
    }

    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether it arrives in segments, each of which is read at once.
    pub(super) fn is_segmented(&self) -> bool {
        self.is_segmented
    }

    /// The shortest time that it may be silent.
    pub(super) fn min_patience(&self) -> Duration {
        if self.is_segmented { SEGMENTS_PATIENCE } else { MIN_PATIENCE }
    }

    /// The time of the last picture in the stream.
    pub(super) fn position(&self) -> opencv::Result<Duration> {
        let milliseconds = self.capture.get(CAP_PROP_POS_MSEC)?;
        Ok(Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or_default())
    }

    /// The rate that the file specifies; for a stream, it means nothing.
    pub(super) fn fps(&self) -> f64 {
        self.fps
    }

    /// Advances to the next picture. A file starts over at its end.
    pub(super) fn grab(&mut self) -> Result<()> {
        if self.capture.grab()? || self.rewind()? {
            return Ok(());
        }
        bail!("ended")
    }

    /// Starts a file over. False when the source is not a file, or the file has no pictures.
    fn rewind(&mut self) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if self.capture.set(CAP_PROP_POS_FRAMES, 0.0)? && self.capture.grab()? {
            return Ok(true);
        }
        // Some files cannot seek although they report success.
        self.capture = ffmpeg(&file.to_string_lossy(), FILE_READ_TIMEOUT)?;
        Ok(self.capture.grab()?)
    }

    /// Decodes the picture as blue, green and red.
    pub(super) fn retrieve(&mut self, picture: &mut Mat) -> Result<()> {
        if !self.capture.retrieve(picture, 0)? {
            bail!("sends no pictures");
        }
        if picture.typ() != CV_8UC3 {
            bail!("does not output BGR; write \"… ! videoconvert ! video/x-raw,format=BGR ! appsink\"");
        }
        Ok(())
    }
}

/// Whether the address is that of an HLS playlist.
fn is_playlist(address: &str) -> bool {
    address.split(['?', '#']).next().is_some_and(|path| path.to_ascii_lowercase().ends_with(".m3u8"))
}

fn ffmpeg(address: &str, read_timeout: Duration) -> opencv::Result<VideoCapture> {
    let (open, read) = (OPEN_TIMEOUT.as_millis() as i32, read_timeout.as_millis() as i32);
    let params = Vector::from_slice(&[CAP_PROP_OPEN_TIMEOUT_MSEC, open, CAP_PROP_READ_TIMEOUT_MSEC, read]);
    VideoCapture::from_file_with_params(address, CAP_FFMPEG, &params)
}
