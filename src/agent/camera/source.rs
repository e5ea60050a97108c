//! Where pictures come from, whichever it is.

use anyhow::Result;

use super::picture::Next;
use super::video::pipe::Wish;
use super::{pattern, usb, video};
use crate::agent::health::Part;
use crate::config;

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
    pub(super) fn next(&mut self, wish: Wish, wanted: bool) -> Result<Next<'_>> {
        match self {
            Source::Pattern(pattern) => Ok(pattern.next(wish.fps, wanted)),
            Source::Usb(usb) => usb.next(wish.fps, wanted),
            Source::Video(video) => video.next(wanted.then_some(wish)),
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
