//! Streams, files and pipelines, through OpenCV. `reader.rs` is a thread that reads at the source's rate whatever becomes
//! of the pictures, so that a slow encoder never builds a delay; `video.rs` is what it reads from, and `reach.rs` says of an
//! address why nothing comes from it.

mod reach;
mod reader;
mod video;

use anyhow::{Context as _, Result};
use opencv::core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Size as CvSize};
use opencv::imgproc::{INTER_AREA, resize};

use super::picture::{Next, Picture};
use crate::agent::health::Part;
use crate::config::{self, Camera, Fps, Size};
use crate::frame::{Frame, Layout};
use reader::{News, Reader};
use video::Video;

pub(super) struct Film {
    reader: Reader,
    size: Option<Size>,
    picture: Mat,
    resized: Mat,
    what: String,
}

impl Film {
    pub(super) fn open(film: &config::Film, camera: &Camera, health: Part) -> Result<Film> {
        let video = Video::open(film)?;
        let size = camera.size.map(|size| format!("{size} ")).unwrap_or_default();
        let rate = if video.is_file() { format!(", {:.0} frames a second", video.fps()) } else { String::new() };
        let what = format!("{size}{}{rate}", film.kind());
        let reader = Reader::start(&camera.name, video, health)?;
        Ok(Film { reader, size: camera.size, picture: Mat::default(), resized: Mat::default(), what })
    }

    pub(super) fn next(&mut self, fps: Fps, wanted: bool) -> Result<Next<'_>> {
        Ok(match self.reader.next(wanted.then_some(fps), &mut self.picture)? {
            News::Nothing => Next::Nothing,
            News::Passed => Next::Passed,
            News::Taken(captured) => Next::Taken(captured, Picture::Pixels(self.resized()?)),
        })
    }

    pub(super) fn describe(&self) -> String {
        self.what.clone()
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
