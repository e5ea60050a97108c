//! The kinds of sources that a camera can have.

use anyhow::Result;

use super::picture::Poll;
use super::video::pipe::PictureRequest;
use super::{pattern, usb, video};
use crate::agent::health::Part;
use crate::config::{self, Fps, Quality};

/// The links' requirements for a camera's next picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaptureRequest {
    /// The highest rate, in frames per second.
    pub(super) fps: Fps,
    /// The JPEG quality of a picture that is encoded here.
    pub(super) quality: Quality,
    /// Whether any link needs the picture.
    pub(super) is_wanted: bool,
}

pub(super) enum Source {
    Pattern(pattern::Pattern),
    Usb(Box<usb::Usb>),
    Video(Box<video::Video>),
}

impl Source {
    pub(super) fn open(camera: &config::Camera, health: &Part) -> Result<Source> {
        Ok(match &camera.source {
            config::Source::Pattern => Source::Pattern(pattern::Pattern::new(camera)),
            config::Source::Device(path) => Source::Usb(Box::new(usb::Usb::open(path, camera, health.clone())?)),
            config::Source::Video(video) => Source::Video(Box::new(video::Video::open(video, camera, health.clone())?)),
        })
    }

    /// Whether the source is open. Waits briefly for a source that needs time to open.
    ///
    /// # Errors
    /// When the source cannot be opened.
    pub(super) fn is_open(&mut self) -> Result<bool> {
        match self {
            Source::Pattern(_) | Source::Usb(_) => Ok(true),
            Source::Video(video) => video.is_open(),
        }
    }

    /// Polls for the newest picture. A picture that is not wanted is skipped as cheaply as the source can.
    ///
    /// # Errors
    /// When the source must be reopened.
    pub(super) fn poll(&mut self, request: CaptureRequest) -> Result<Poll<'_>> {
        let CaptureRequest { fps, quality, is_wanted } = request;
        match self {
            Source::Pattern(pattern) => Ok(pattern.poll(fps, is_wanted)),
            Source::Usb(usb) => usb.poll(fps, is_wanted),
            Source::Video(video) => video.poll(is_wanted.then_some(PictureRequest { fps, quality })),
        }
    }

    /// The source's actual settings, for status and log.
    pub(super) fn describe(&self) -> String {
        match self {
            Source::Pattern(pattern) => pattern.describe(),
            Source::Usb(usb) => usb.describe(),
            Source::Video(video) => video.describe(),
        }
    }
}
