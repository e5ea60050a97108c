//! One camera: starts its thread while links take its frames, supervises it, and restarts it when it fails.
//!
//! `capture.rs` is the thread. It polls a `source.rs` for a `picture.rs`; `finish.rs` turns that into a JPEG, and
//! `broken.rs` counts pictures that cannot be sent. `usb.rs` chooses formats and picks the newest frame of a V4L2
//! device; `v4l2.rs` wraps the ioctls, and `videodev2.rs` has the kernel's structs. `network/` asks network cameras for their
//! streams, and reads those that send JPEGs over HTTP. `video/` reads other streams, files and pipelines, each in its own
//! process. `refusal.rs` has the answers after which the next attempt must wait. `pattern.rs` draws a test picture.
//!
//! Every source returns its newest picture at the rate of `pace.rs`; frames are never queued here. A stream may be silent for as
//! long as `patience.rs` says. `offer.rs` lists
//! the formats of a device, with the sizes and rates of `choices.rs`.

mod broken;
mod capture;
mod choices;
mod network;
pub mod video;
mod finish;
pub mod offer;
pub mod pace;
pub mod patience;
mod pattern;
mod picture;
mod refusal;
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
use capture::{Capture, FRAME_TIMEOUT, open_timeout};
use refusal::Refusal;

pub use source::{check, needs_video};

/// Bounds of the delay between attempts to open a camera.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Streams are retried sooner: a connection attempt is cheap, and people who restart a camera wait for its picture.
const MAX_STREAM_RETRY_DELAY: Duration = Duration::from_secs(3);

/// How long a source waits for a picture before its thread checks whether it must stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(250);

/// A device without a picture for this long is reopened.
const STALL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How often the camera's task checks its thread's heartbeat.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a stopped thread may take to end before it is abandoned: it hangs in a driver or a stream.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a camera that may idle keeps running after the last link stopped taking frames, in case one starts again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest time between two starts of a camera that receivers switch off and on. Opening a camera costs the driver, the
/// USB bus and, for a stream, its server more than a message costs the receiver.
const MIN_RESTART_INTERVAL: Duration = Duration::from_secs(1);

/// A camera's worker.
pub struct Camera {
    /// The camera's table in the configuration.
    pub config: config::Camera,
    /// Receives the newest frame.
    pub slot: Slot,
    /// Receives status and counts.
    pub health: Part,
    /// The requests of all links.
    pub demand: watch::Receiver<Demand>,
    /// Number of frames so far.
    pub frames: Arc<AtomicU64>,
    /// The thread's heartbeat. The watchdog uses it only while the camera sends frames: a restart would not help a
    /// camera that never did.
    pub heartbeat: Heartbeat,
}

/// How a capture ended.
enum Outcome {
    /// The camera is no longer needed, or the agent is shutting down.
    Stopped,
    /// The source failed.
    Failed(anyhow::Error),
    /// The thread missed its heartbeat.
    Hung,
}

impl Camera {
    /// Captures while there is demand, until shutdown. On any failure, closes the camera and retries with backoff.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let is_video = matches!(self.config.source, config::Source::Video(_));
        let max_delay = if is_video { MAX_STREAM_RETRY_DELAY } else { MAX_RETRY_DELAY };
        let (mut backoff, mut hung) = (Backoff::new(FIRST_RETRY_DELAY, max_delay), None);
        let mut not_before = Instant::now();
        while shutdown.run_until_cancelled(self.wait_until_needed()).await.is_some() {
            // A thread that hangs keeps its device open, so wait for it to end. Its outcome was reported when it was
            // abandoned.
            hung = hung.filter(|thread: &JoinHandle<()>| !thread.is_finished());
            if hung.is_some() {
                let _ = shutdown.run_until_cancelled(sleep(FIRST_RETRY_DELAY)).await;
                continue;
            }
            if Instant::now() < not_before {
                let _ = shutdown.run_until_cancelled(sleep_until(not_before)).await;
                continue;
            }
            let (worked, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
            let outcome = self.capture(&worked, &mut hung, &shutdown).await;
            // The last frame is now out of date.
            self.slot.clear();
            let hangs = matches!(outcome, Outcome::Hung);
            match outcome {
                Outcome::Stopped => {
                    not_before = started + MIN_RESTART_INTERVAL;
                    continue;
                }
                Outcome::Failed(error) => {
                    if let Some(refusal) = error.downcast_ref::<Refusal>() {
                        self.health.down(&refusal.status());
                        self.wait_after_refusal(refusal.retry_delay, &shutdown).await;
                        continue;
                    }
                    self.health.down(&format!("{error:#}"));
                }
                Outcome::Hung => self.health.down("hangs in its driver or stream"),
            }
            // Retry soon if the camera worked before, or if the device is not plugged in. Do not check the path if the
            // thread hung: on a dead file server, this task would hang, too.
            if worked.load(Ordering::Relaxed) || !hangs && self.is_missing() {
                backoff.reset();
            }
            let _ = shutdown.run_until_cancelled(sleep(backoff.delay())).await;
        }
        if hung.is_some_and(|thread| !thread.is_finished()) {
            warn!("camera {}: did not stop; abandoning its thread", self.config.name);
        }
    }

    /// Waits for the next attempt after a refusal, or until the camera is switched off: switching it on again retries at once.
    async fn wait_after_refusal(&mut self, delay: Duration, shutdown: &CancellationToken) {
        let switched_off = self.demand.wait_for(|demand| !demand.is_on());
        let _ = shutdown.run_until_cancelled(timeout(delay, switched_off)).await;
    }

    /// Waits until a link needs the camera.
    async fn wait_until_needed(&mut self) {
        if self.is_needed() {
            return;
        }
        while !self.is_needed() {
            self.health.idle(if self.demand.borrow().is_on() {
                "idle: no link needs its frames"
            } else {
                "switched off"
            });
            if self.demand.changed().await.is_err() {
                // All senders are gone, so the demand never changes again.
                std::future::pending::<()>().await;
            }
        }
        self.health.start();
    }

    fn is_needed(&self) -> bool {
        let demand = self.demand.borrow();
        demand.is_on() && (demand.is_wanted() || !self.may_idle())
    }

    /// Videos may always idle, because a running video is decoded even if no link takes its frames.
    fn may_idle(&self) -> bool {
        self.config.on_demand || matches!(self.config.source, config::Source::Video(_))
    }

    /// Waits until no link has needed the camera for [`IDLE_TIMEOUT`], or until it is switched off.
    async fn wait_until_idle(&mut self) {
        loop {
            while self.is_needed() {
                if self.demand.changed().await.is_err() {
                    return;
                }
            }
            let off = !self.demand.borrow().is_on();
            if off
                || timeout(IDLE_TIMEOUT, self.demand.wait_for(|demand| demand.is_wanted() || !demand.is_on()))
                    .await
                    .is_err()
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
    ) -> Outcome {
        let capture = Capture {
            config: self.config.clone(),
            slot: self.slot.clone(),
            health: self.health.clone(),
            demand: self.demand.clone(),
            stop: shutdown.child_token(),
            frames: Arc::clone(&self.frames),
            heartbeat: self.heartbeat.clone(),
            worked: Arc::clone(worked),
        };
        let (stop, heartbeat) = (capture.stop.clone(), capture.heartbeat.clone());
        heartbeat.expect_within(open_timeout(&self.config.source));
        let (thread, mut result) = match start(capture) {
            Ok(started) => started,
            Err(error) => return Outcome::Failed(error),
        };
        let device = matches!(self.config.source, config::Source::Device(_)).then(|| self.health.clone());
        let early = tokio::select! {
            result = &mut result => Some(outcome_of(result)),
            () = wait_until_overdue(&heartbeat, device) => Some(Outcome::Hung),
            () = self.wait_until_idle() => None,
            () = shutdown.cancelled() => None,
        };
        stop.cancel();
        let (outcome, is_over) = match early {
            Some(Outcome::Hung) => (Outcome::Hung, false),
            Some(outcome) => (outcome, true),
            // A stream may need longer to answer, which is not an error.
            None => (Outcome::Stopped, timeout_at(Instant::now() + STOP_TIMEOUT, result).await.is_ok()),
        };
        if !is_over {
            *hung = Some(thread);
            return outcome;
        }
        let joined = thread.join();
        self.heartbeat.end();
        if joined.is_err() { Outcome::Failed(anyhow!("its thread panicked")) } else { outcome }
    }

    fn is_missing(&self) -> bool {
        match &self.config.source {
            config::Source::Device(path) | config::Source::Video(config::VideoSource::File(path)) => !path.exists(),
            config::Source::Pattern | config::Source::Video(_) => false,
        }
    }
}

fn start(capture: Capture) -> Result<(JoinHandle<()>, oneshot::Receiver<Result<()>>)> {
    let (sender, receiver) = oneshot::channel();
    let name = format!("camera-{}", capture.config.name);
    let run = move || {
        let result = capture.run();
        capture.heartbeat.end();
        // The receiver is gone if the thread was abandoned.
        let _ = sender.send(result);
    };
    Ok((Builder::new().name(name).spawn(run).context("cannot start its thread")?, receiver))
}

fn outcome_of(received: Result<Result<()>, oneshot::error::RecvError>) -> Outcome {
    match received {
        Ok(Ok(())) => Outcome::Stopped,
        Ok(Err(error)) => Outcome::Failed(error),
        // The thread sent nothing, so it panicked; joining it reports that.
        Err(_) => Outcome::Failed(anyhow!("its thread exited")),
    }
}

/// Waits until a beat is overdue. Reports a slow device long before its open timeout.
async fn wait_until_overdue(heartbeat: &Heartbeat, device: Option<Part>) {
    let (start, opening) = (Instant::now(), heartbeat.due());
    // Once the source is open, the thread beats faster and the due time comes nearer.
    while heartbeat.due() == opening && Instant::now() < opening.into() {
        sleep(CHECK_INTERVAL).await;
        let is_slow = start.elapsed() > FRAME_TIMEOUT && heartbeat.due() == opening;
        if let Some(device) = device.as_ref().filter(|_| is_slow) {
            device.down("is slow to open");
        }
    }
    loop {
        let due = heartbeat.due();
        sleep_until(due.into()).await;
        // If the whole machine stalled, the thread needs a moment to catch up, too.
        sleep(CHECK_INTERVAL).await;
        if heartbeat.due() == due {
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
        let (notifier, control) = (FrameNotifier::default(), SharedDemand::new(&config));
        let slot = notifier.slot();
        let health = Part::new(Kind::Camera, config.name.clone(), config.source.to_string(), &Arc::default());
        let (demand, shutdown) = (control.follow(), CancellationToken::new());
        let frames = Arc::default();
        let heartbeat = Heartbeat::of(String::new());
        let camera = Camera { config, slot: slot.clone(), health: health.clone(), demand, frames, heartbeat };
        let camera = tokio::spawn(camera.run(shutdown.clone()));
        let mut notifications = notifier.follow();
        control.set_consumer(0, true);
        for _ in 0..2 {
            notifications.changed().await.expect("a frame");
            assert!(health.status().up);
            assert!(control.set(Some(false), None, None));
            while health.status().cause != "switched off" {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(slot.is_empty(), "the last frame is still there");
            notifications.mark_unchanged();
            assert!(control.set(Some(true), None, None));
        }
        shutdown.cancel();
        timeout(STOP_TIMEOUT, camera).await.expect("in time").expect("no panic");
    }
}
