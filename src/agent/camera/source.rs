//! Where pictures come from, whichever it is.

use anyhow::Result;

#[cfg(feature = "opencv")]
use super::opencv;
use super::picture::Next;
use super::{pattern, usb};
use crate::agent::health::Part;
use crate::config::{self, Fps};

pub(super) enum Source {
    Pattern(pattern::Pattern),
    Usb(Box<usb::Usb>),
    #[cfg(feature = "opencv")]
    Film(opencv::Film),
}

impl Source {
    pub(super) fn open(camera: &config::Camera, health: &Part) -> Result<Source> {
        Ok(match &camera.source {
            config::Source::Pattern => Source::Pattern(pattern::Pattern::new(camera)),
            config::Source::Device(path) => Source::Usb(Box::new(usb::Usb::open(path, camera, health.clone())?)),
            #[cfg(feature = "opencv")]
            config::Source::Film(film) => Source::Film(opencv::Film::open(film, camera, health.clone())?),
            #[cfg(not(feature = "opencv"))]
            config::Source::Film(_) => anyhow::bail!("this build is without OpenCV"),
        })
    }

    /// The newest picture, at `fps` at most; what is not `wanted` is passed over as cheaply as the source can.
    ///
    /// # Errors
    /// When the source has to be opened anew.
    pub(super) fn next(&mut self, fps: Fps, wanted: bool) -> Result<Next<'_>> {
        match self {
            Source::Pattern(pattern) => Ok(pattern.next(fps, wanted)),
            Source::Usb(usb) => usb.next(fps, wanted),
            #[cfg(feature = "opencv")]
            Source::Film(film) => film.next(fps, wanted),
        }
    }

    /// What was agreed with the source, for status and log.
    pub(super) fn describe(&self) -> String {
        match self {
            Source::Pattern(pattern) => pattern.describe(),
            Source::Usb(usb) => usb.describe(),
            #[cfg(feature = "opencv")]
            Source::Film(film) => film.describe(),
        }
    }
}
