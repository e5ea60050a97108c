//! The kinds of sources that a camera can have.

use anyhow::Result;
use tokio::task::spawn_blocking;

use super::network::address::{Address, Scheme};
use super::network::{self, NetworkCamera, Opening};
use super::picture::Poll;
use super::video::pipe::PictureRequest;
use super::{pattern, usb, video};
use crate::agent::health::Part;
use crate::config::{self, Fps, Quality, VideoSource};

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

/// Whether a camera needs watchpost-video, as far as its table tells. An HTTP camera may send a video, too.
#[must_use]
pub fn needs_video(camera: &config::Camera) -> bool {
    match &camera.source {
        config::Source::Video(video) => {
            camera.size.is_some() || network_address(video).is_none_or(|address| !address.is_http())
        }
        config::Source::Device(_) | config::Source::Pattern => false,
    }
}

/// Checks that a source responds, and asks a network camera for its stream. Takes seconds if it does not.
///
/// # Errors
/// The reason why the source cannot be used, and what to do.
pub async fn check(source: VideoSource, camera: &config::Camera) -> Result<()> {
    let Some(address) = network_address(&source) else {
        // Files and name servers may not respond.
        return spawn_blocking(move || video::is_usable(&source)).await?;
    };
    if network::check(address, camera).await? || needs_video(camera) {
        video::is_installed()?;
    }
    Ok(())
}

/// The address of a network camera that can be asked for its stream.
fn network_address(source: &VideoSource) -> Option<Address> {
    let VideoSource::Stream(text) = source else { return None };
    Address::parse(text).filter(|address| address.is_http() || address.scheme == Scheme::Rtsp)
}

pub(super) enum Source {
    Pattern(pattern::Pattern),
    Usb(Box<usb::Usb>),
    Network(Box<NetworkCamera>),
    Video(Box<video::Video>),
}

impl Source {
    pub(super) fn open(camera: &config::Camera, health: &Part) -> Result<Source> {
        Ok(match &camera.source {
            config::Source::Pattern => Source::Pattern(pattern::Pattern::new(camera)),
            config::Source::Device(path) => Source::Usb(Box::new(usb::Usb::open(path, camera, health.clone())?)),
            config::Source::Video(video) => Source::open_video(video, camera, health)?,
        })
    }

    fn open_video(video: &VideoSource, camera: &config::Camera, health: &Part) -> Result<Source> {
        let Some(address) = network_address(video) else {
            video::is_usable(video)?;
            return Ok(Source::Video(Box::new(video::Video::open(video, camera, health.clone())?)));
        };
        if needs_video(camera) {
            video::is_installed()?;
        }
        Ok(Source::Network(Box::new(NetworkCamera::open(address, camera, health.clone())?)))
    }

    /// Whether the source is open. Waits briefly for a source that needs time to open. Hands a network camera that does not send
    /// JPEGs over to watchpost-video.
    ///
    /// # Errors
    /// When the source cannot be opened.
    pub(super) fn is_open(&mut self, camera: &config::Camera, health: &Part) -> Result<bool> {
        match self {
            Source::Pattern(_) | Source::Usb(_) => Ok(true),
            Source::Network(network) => {
                let opening = network.is_open()?;
                if let (Opening::Video, config::Source::Video(video)) = (&opening, &camera.source) {
                    *self = Source::Video(Box::new(video::Video::open(video, camera, health.clone())?));
                }
                Ok(matches!(opening, Opening::Open))
            }
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
            Source::Network(network) => network.poll(fps, is_wanted),
            Source::Video(video) => video.poll(is_wanted.then_some(PictureRequest { fps, quality })),
        }
    }

    /// The source's actual settings, for status and log.
    pub(super) fn describe(&self) -> String {
        match self {
            Source::Pattern(pattern) => pattern.describe(),
            Source::Usb(usb) => usb.describe(),
            Source::Network(network) => network.describe(),
            Source::Video(video) => video.describe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::needs_video;
    use crate::config;

    #[test]
    fn only_http_cameras_of_their_own_size_may_do_without_video() {
        for (camera, needed) in [
            ("source = 'http://cam/'", false),
            ("source = 'HTTPS://cam/'", false),
            ("source = 'http://cam/', size = '640x480'", true),
            ("source = 'rtsp://cam/'", true),
            ("source = 'rtmp://cam/'", true),
            ("source = 'film.mp4'", true),
            ("source = 'pattern'", false),
            ("source = '/dev/video0', size = '640x480'", false),
        ] {
            let text =
                format!("camera = [{{ name = 'a', {camera} }}]\nlink = [{{ pattern = 'pub', bind = 'ipc://x' }}]");
            let agent = config::agent_from(&text, Path::new("")).expect("a configuration");
            assert_eq!(needs_video(&agent.cameras[0]), needed, "{camera}");
        }
    }
}
