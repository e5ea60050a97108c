//! One camera: its thread is started while its frames are wanted, watched over, and started again when it fails.
//!
//! `capture.rs` is the thread, `source.rs` what it captures a `picture.rs` from, `finish.rs` makes the JPEG of it, and
//! `broken.rs` counts what is none. `usb.rs` is the policy of V4L2 devices over `v4l2.rs` and the kernel's structs in
//! `videodev2.rs`, `video/` is streams, files and pipelines, each in a process of its own, `pattern.rs` needs nothing. Each
//! gives the newest picture it has at the rate of `pace.rs`; nothing is queued here. `pulse.rs` tells a thread that hangs
//! from one that waits, and `offer.rs` asks a device what there is to choose from, which `choices.rs` reads.

mod broken;
mod capture;
mod choices;
pub mod video;
mod finish;
pub mod offer;
pub mod pace;
mod pattern;
mod picture;
mod pulse;
mod source;
mod usb;
mod v4l2;
mod videodev2;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::demand::Demand;
use super::health::Part;
use crate::backoff::Backoff;
use crate::config;
use crate::frame::Slot;
use crate::service::Heartbeat;
use capture::{Capture, LIVING, opening};
use pulse::Pulse;

/// The waits between tries to open a camera.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// To ask a network camera costs it and us next to nothing, and who restarts one looks for its picture.
const MAX_RETRY_DELAY_OF_STREAMS: Duration = Duration::from_secs(3);

/// The longest a source waits for a picture before it lets its thread look whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(250);

/// A device that gave no picture for this long is opened anew.
const STALLED: Duration = Duration::from_millis(1_500);

/// How often it is looked whether a source is open by now.
const LOOK: Duration = Duration::from_millis(100);

/// A thread that is told to stop and has not ended by then hangs in a driver or a stream, and is left behind.
const END: Duration = Duration::from_secs(1);

/// A camera that rests while no link takes its frames goes on for this long, in case one takes them again.
const LINGER: Duration = Duration::from_secs(5);

/// What a camera's worker has.
pub struct Camera {
    /// Its table in the configuration.
    pub config: config::Camera,
    /// Where its newest frame goes.
    pub slot: Slot,
    /// Where it reports.
    pub health: Part,
    /// What is asked of it.
    pub demand: watch::Receiver<Demand>,
    /// Its frames so far.
    pub frames: Arc<AtomicU64>,
    /// Of its thread, as long as one gives frames: with one that never did, nothing would be better after a new start.
    pub heartbeat: Heartbeat,
}

/// How a capture ended.
enum End {
    /// It is no longer needed, or everything ends.
    Stopped,
    /// It failed.
    Failed(anyhow::Error),
    /// Its thread shows no life.
    Hangs,
}

impl Camera {
    /// Captures until the shutdown, while there is demand; whatever goes wrong, the camera is closed and tried again.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let is_video = matches!(self.config.source, config::Source::Video(_));
        let max_delay = if is_video { MAX_RETRY_DELAY_OF_STREAMS } else { MAX_RETRY_DELAY };
        let (mut backoff, mut hung) = (Backoff::new(FIRST_RETRY_DELAY, max_delay), None);
        while shutdown.run_until_cancelled(self.needed()).await.is_some() {
            // As long as a thread hangs its device is in use. What it ends with was said when it was given up.
            hung = hung.filter(|thread: &JoinHandle<()>| !thread.is_finished());
            if hung.is_some() {
                let _ = shutdown.run_until_cancelled(sleep(FIRST_RETRY_DELAY)).await;
                continue;
            }
            let worked = Arc::new(AtomicBool::new(false));
            let end = self.capture(&worked, &mut hung, &shutdown).await;
            // What it saw last is old from now on.
            self.slot.clear();
            let hangs = matches!(end, End::Hangs);
            match end {
                End::Stopped => continue,
                End::Failed(error) => self.health.down(&format!("{error:#}")),
                End::Hangs => self.health.down("hangs in its driver or stream"),
            }
            // What worked, and what is merely not plugged in, is looked for at the quickest. Whoever asked for a file that
            // made its thread hang, on a server that is gone, would hang, too.
            if worked.load(Ordering::Relaxed) || !hangs && self.is_missing() {
                backoff.reset();
            }
            let _ = shutdown.run_until_cancelled(sleep(backoff.delay())).await;
        }
        if hung.is_some_and(|thread| !thread.is_finished()) {
            warn!("camera {} hangs in its driver or stream, its thread is left behind", self.config.name);
        }
    }

    /// Waits until there is something to capture for.
    async fn needed(&mut self) {
        if self.is_needed() {
            return;
        }
        while !self.is_needed() {
            self.health.rest(if self.demand.borrow().is_on() {
                "at rest: no link takes its frames"
            } else {
                "switched off"
            });
            if self.demand.changed().await.is_err() {
                // Nobody is left who could ask for anything.
                std::future::pending::<()>().await;
            }
        }
        self.health.start();
    }

    fn is_needed(&self) -> bool {
        let demand = self.demand.borrow();
        demand.is_on() && (demand.is_wanted() || !self.rests())
    }

    /// A film is decoded even when it is only kept at its newest picture.
    fn rests(&self) -> bool {
        self.config.on_demand || matches!(self.config.source, config::Source::Video(_))
    }

    /// Waits until there has been nothing to capture for, for some time.
    async fn idle(&mut self) {
        loop {
            while self.is_needed() {
                if self.demand.changed().await.is_err() {
                    return;
                }
            }
            let off = !self.demand.borrow().is_on();
            if off
                || timeout(LINGER, self.demand.wait_for(|demand| demand.is_wanted() || !demand.is_on())).await.is_err()
            {
                return;
            }
        }
    }

    async fn capture(
        &mut self,
        worked: &Arc<AtomicBool>,
        hung: &mut Option<JoinHandle<()>>,
        shutdown: &CancellationToken,
    ) -> End {
        let capture = Capture {
            config: self.config.clone(),
            slot: self.slot.clone(),
            health: self.health.clone(),
            demand: self.demand.clone(),
            pulse: Arc::new(Pulse::new(opening(&self.config.source))),
            stop: shutdown.child_token(),
            frames: Arc::clone(&self.frames),
            heartbeat: self.heartbeat.clone(),
            worked: Arc::clone(worked),
        };
        let (stop, pulse) = (capture.stop.clone(), Arc::clone(&capture.pulse));
        let (thread, mut end) = match start(capture) {
            Ok(started) => started,
            Err(error) => return End::Failed(error),
        };
        let device = matches!(self.config.source, config::Source::Device(_)).then(|| self.health.clone());
        let early = tokio::select! {
            end = &mut end => Some(ended(end)),
            () = hangs(&pulse, device) => Some(End::Hangs),
            () = self.idle() => None,
            () = shutdown.cancelled() => None,
        };
        stop.cancel();
        let (end, is_over) = match early {
            Some(End::Hangs) => (End::Hangs, false),
            Some(end) => (end, true),
            // To wait for a stream's answer takes longer; that is no trouble of the camera's.
            None => (End::Stopped, timeout_at(Instant::now() + END, end).await.is_ok()),
        };
        if !is_over {
            *hung = Some(thread);
            return end;
        }
        let ended = thread.join();
        self.heartbeat.end();
        if ended.is_err() { End::Failed(anyhow!("its thread panicked")) } else { end }
    }

    fn is_missing(&self) -> bool {
        match &self.config.source {
            config::Source::Device(path) | config::Source::Video(config::VideoSource::File(path)) => !path.exists(),
            config::Source::Pattern | config::Source::Video(_) => false,
        }
    }
}

type Ended = Result<(), anyhow::Error>;

fn start(capture: Capture) -> Result<(JoinHandle<()>, oneshot::Receiver<Ended>)> {
    let (end, ended) = oneshot::channel();
    let name = format!("camera-{}", capture.config.name);
    let run = move || {
        let how = capture.run();
        capture.heartbeat.end();
        // Nobody hears what a thread says that was given up.
        let _ = end.send(how);
    };
    Ok((Builder::new().name(name).spawn(run).context("cannot start its thread")?, ended))
}

fn ended(end: Result<Ended, oneshot::error::RecvError>) -> End {
    match end {
        Ok(Ok(())) => End::Stopped,
        Ok(Err(error)) => End::Failed(error),
        // Said by nobody: the thread is joined, and tells.
        Err(_) => End::Failed(anyhow!("its thread ended")),
    }
}

/// Waits until a beat is late. Of a device that is slow to open it is said long before it is given up.
async fn hangs(pulse: &Pulse, device: Option<Part>) {
    let (start, opening) = (Instant::now(), pulse.due());
    // Once it is open, it beats faster: what is due comes nearer.
    while pulse.due() == opening && Instant::now() < opening.into() {
        sleep(LOOK).await;
        let is_slow = start.elapsed() > LIVING && pulse.due() == opening;
        if let Some(device) = device.as_ref().filter(|_| is_slow) {
            device.down("takes long to open");
        }
    }
    loop {
        let due = pulse.due();
        sleep_until(due.into()).await;
        // When all was held up, the thread has just woken, too.
        sleep(LOOK).await;
        if pulse.due() == due {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::agent::demand::SharedDemand;
    use crate::agent::health::Kind;
    use crate::frame::FrameNotifier;

    #[tokio::test]
    async fn camera_is_switched_off_and_on() {
        let text = "camera = [{ name = 'a', source = 'pattern' }]\nlink = [{ pattern = 'pub', bind = 'ipc://x' }]";
        let config = config::agent_from(text, Path::new("")).expect("a configuration").cameras.remove(0);
        let (bell, control) = (FrameNotifier::default(), SharedDemand::new(&config));
        let slot = bell.slot();
        let health = Part::new(Kind::Camera, config.name.clone(), config.source.to_string(), &Arc::default());
        let (demand, shutdown) = (control.follow(), CancellationToken::new());
        let frames = Arc::default();
        let heartbeat = Heartbeat::of(String::new());
        let camera = Camera { config, slot: slot.clone(), health: health.clone(), demand, frames, heartbeat };
        let camera = tokio::spawn(camera.run(shutdown.clone()));
        let mut rings = bell.follow();
        control.set_consumer(0, true);
        for _ in 0..2 {
            rings.changed().await.expect("a frame");
            assert!(health.status().up);
            assert!(control.set(Some(false), None, None));
            while health.status().cause != "switched off" {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(slot.is_empty(), "an old frame is still there");
            rings.mark_unchanged();
            assert!(control.set(Some(true), None, None));
        }
        shutdown.cancel();
        timeout(END, camera).await.expect("in time").expect("no panic");
    }
}
