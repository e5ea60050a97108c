//! A camera that is asked for its stream and, if it sends JPEGs over HTTP, read here.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::select;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, yield_now};
use tokio::time::sleep;

use super::address::Address;
use super::feed::{Arrived, Newest, read_pictures, read_stream};
use super::multipart::TooLarge;
use super::{Answer, ask};
use crate::agent::camera::POLL_TIMEOUT;
use crate::agent::camera::broken::BrokenFrames;
use crate::agent::camera::pace::Pace;
use crate::agent::camera::patience::{MIN_PATIENCE, Patience};
use crate::agent::camera::picture::{Picture, Poll};
use crate::agent::health::Part;
use crate::clock::Stamp;
use crate::config::{self, Fps};
use crate::jpeg::{self, Fault};

/// After a picture, how long to wait for a newer one that has already arrived.
const SETTLE_TIME: Duration = Duration::from_millis(1);

/// How often the task may then read what has arrived.
const READ_TURNS: u32 = 8;

/// How long a camera that sends without a pause may replace its own pictures.
const MAX_SETTLE_TIME: Duration = Duration::from_millis(100);

/// The longest side of a picture, as for a configured size.
const MAX_SIDE: u32 = 8_192;

/// The state of a camera that is being opened.
pub(in crate::agent::camera) enum Opening {
    /// It has not answered yet.
    Waiting,
    /// It sends JPEGs over HTTP.
    Open,
    /// watchpost-video has to read it.
    Video,
}

pub(in crate::agent::camera) struct NetworkCamera {
    /// Runs only while this thread waits in [`NetworkCamera::poll`] or [`NetworkCamera::is_open`]. `None` after the end.
    runtime: Option<Runtime>,
    asked: JoinHandle<Result<Answer>>,
    feed: Option<Feed>,
    fps: watch::Sender<Fps>,
    pace: Pace,
    broken: BrokenFrames,
    health: Part,
    description: &'static str,
}

/// A task that reads the camera, and what it has read.
struct Feed {
    task: JoinHandle<anyhow::Error>,
    newest: watch::Receiver<Arrived>,
    /// The number of the last picture that was taken.
    number: u64,
    patience: Patience,
    last_poll: Instant,
}

impl NetworkCamera {
    /// Starts to ask the camera for its stream.
    pub(in crate::agent::camera) fn open(
        address: Address,
        camera: &config::Camera,
        health: Part,
    ) -> Result<NetworkCamera> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().thread_name("name-lookup").build();
        let runtime = runtime.context("cannot set up its connection")?;
        let asked = runtime.spawn(ask(address, camera.size.is_some(), camera.certificate.clone()));
        let (pace, broken) = (Pace::of(camera.fps), BrokenFrames::new(health.clone()));
        let fps = watch::Sender::new(camera.fps);
        Ok(NetworkCamera { runtime: Some(runtime), asked, feed: None, fps, pace, broken, health, description: "" })
    }

    /// Waits briefly for the camera's answer.
    ///
    /// # Errors
    /// The reason in words why it has no pictures.
    pub(in crate::agent::camera) fn is_open(&mut self) -> Result<Opening> {
        let Some(runtime) = &self.runtime else { return Err(anyhow!("is closed")) };
        let asked = &mut self.asked;
        let answer = runtime.block_on(async { tokio::time::timeout(POLL_TIMEOUT, asked).await });
        let Ok(answer) = answer else { return Ok(Opening::Waiting) };
        let newest = watch::Sender::default();
        let arrivals = newest.subscribe();
        let newest = Newest(newest);
        let task = match answer.map_err(panicked)?? {
            Answer::Video => return Ok(Opening::Video),
            Answer::Stream(body, boundary) => {
                self.description = "Motion JPEG over HTTP";
                runtime.spawn(read_stream(body, boundary, newest))
            }
            Answer::Picture(client, body) => {
                self.description = "single JPEGs over HTTP";
                runtime.spawn(read_pictures(*client, body, self.fps.subscribe(), newest))
            }
        };
        let now = Instant::now();
        let patience = Patience::new(MIN_PATIENCE, now);
        self.feed = Some(Feed { task, newest: arrivals, number: 0, patience, last_poll: now });
        Ok(Opening::Open)
    }

    pub(in crate::agent::camera) fn poll(&mut self, fps: Fps, wanted: bool) -> Result<Poll<'_>> {
        let (Some(runtime), Some(feed)) = (&self.runtime, &mut self.feed) else { return Err(anyhow!("is closed")) };
        self.pace.set_fps(fps);
        self.fps.send_if_modified(|known| std::mem::replace(known, fps) != fps);
        let arrived = match runtime.block_on(feed.next()) {
            Ok(arrived) => arrived,
            Err(error) => {
                if error.is::<TooLarge>() {
                    self.health.count("oversized_frames", 1);
                }
                return Err(error);
            }
        };
        let Some(Arrived { jpeg, captured: Some(captured), number }) = arrived else {
            return if feed.is_silent(fps) { Err(anyhow!("sends no frames")) } else { Ok(Poll::NotReady) };
        };
        let replaced = number - feed.number - 1;
        feed.number = number;
        if !wanted {
            self.broken.reset();
            return Ok(Poll::Skipped);
        }
        if replaced > 0 {
            self.health.count("frames_replaced", replaced);
        }
        // Check the frame after a broken one even if it is not due: a skipped frame does not prove that the camera works.
        if !self.broken.is_failing() && !self.pace.accepts_now() {
            return Ok(Poll::Skipped);
        }
        self.frame(&jpeg, captured)
    }

    fn frame(&mut self, jpeg: &Bytes, captured: Stamp) -> Result<Poll<'_>> {
        match jpeg::check(jpeg) {
            Ok(valid) if valid.width.max(valid.height) > MAX_SIDE => {
                self.broken.count("oversized_frames", &"they have more than 8192 pixels in width or height")?;
            }
            Ok(valid) => {
                self.broken.reset();
                let (width, height, bytes) = (valid.width, valid.height, valid.complete());
                return Ok(Poll::Frame(captured, Picture::Jpeg { width, height, bytes }));
            }
            Err(fault) => self.broken.count(Fault::name(fault), &fault)?,
        }
        Ok(Poll::NotReady)
    }

    pub(in crate::agent::camera) fn describe(&self) -> String {
        self.description.to_owned()
    }
}

impl Drop for NetworkCamera {
    fn drop(&mut self) {
        // A name lookup cannot be interrupted, and must not delay the agent.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Feed {
    /// Waits briefly for the next picture; returns the newest that has arrived.
    ///
    /// # Errors
    /// The reason why there will be none.
    async fn next(&mut self) -> Result<Option<Arrived>> {
        let start = Instant::now();
        if start.duration_since(self.last_poll) > 2 * POLL_TIMEOUT {
            self.patience.restart(start);
        }
        let mut arrived = None;
        let mut wait = POLL_TIMEOUT;
        while arrived.is_none() || start.elapsed() < MAX_SETTLE_TIME {
            select! {
                biased;
                Ok(()) = self.newest.changed() => arrived = Some(self.newest.borrow_and_update().clone()),
                end = &mut self.task, if arrived.is_none() => return Err(end.unwrap_or_else(panicked)),
                () = sleep(wait) => {
                    if arrived.is_none() || !self.has_newer().await {
                        break;
                    }
                }
            }
            wait = SETTLE_TIME;
        }
        self.last_poll = Instant::now();
        if arrived.is_some() {
            self.patience.arrived(self.last_poll);
        }
        Ok(arrived)
    }

    /// Whether a newer picture has arrived. On a busy machine, the time to wait for it may pass before the task could read it.
    async fn has_newer(&mut self) -> bool {
        for _ in 0..READ_TURNS {
            yield_now().await;
            if self.newest.has_changed().is_ok_and(|changed| changed) {
                return true;
            }
        }
        false
    }

    fn is_silent(&self, fps: Fps) -> bool {
        self.patience.is_over(fps, Instant::now())
    }
}

fn panicked(_: JoinError) -> anyhow::Error {
    anyhow!("its connection ended unexpectedly")
}
