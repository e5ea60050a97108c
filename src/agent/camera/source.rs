//! Where pictures come from, whichever it is.

use anyhow::Result;

use super::picture::Poll;
use super::video::pipe::PictureRequest;
use super::{pattern, usb, video};
use crate::agent::health::Part;
use crate::config::{self, Fps, Quality};

/// What the links want of a camera's next picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaptureRequest {
    /// The highest rate, in frames per second.
    pub(super) fps: Fps,
    /// The JPEG quality of a picture that is encoded here.
    pub(super) quality: Quality,
    /// Whether any link takes the picture.
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

    /// Whether it is open by now; one that needs time for it is looked after for a moment.
    ///
    /// # Errors
    /// When the source cannot be opened.
    pub(super) fn is_open(&mut self) -> Result<bool> {
        match self {
            Source::Pattern(_) | Source::Usb(_) => Ok(true),
            Source::Video(video) => video.is_open(),
        }
    }

    /// The newest picture, as wished for; what is not `wanted` is passed over as cheaply as the source can.
    ///
    /// # Errors
    /// When the source has to be opened anew.
    pub(super) fn poll(&mut self, request: CaptureRequest) -> Result<Poll<'_>> {
        let CaptureRequest { fps, quality, is_wanted } = request;
        match self {
            Source::Pattern(pattern) => Ok(pattern.poll(fps, is_wanted)),
            Source::Usb(usb) => usb.poll(fps, is_wanted),
            Source::Video(video) => video.poll(is_wanted.then_some(PictureRequest { fps, quality })),
        }
    }

    /// What was agreed with the source, for status and log.
    pub(super) fn describe(&self) -> String {
        match self {
            Source::Pattern(pattern) => pattern.describe(),
            Source::Usb(usb) => usb.describe(),
            Source::Video(video) => video.describe(),
        }
    }
}
