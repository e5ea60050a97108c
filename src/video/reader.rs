//! Reads at the source's rate and keeps the newest picture for the encoder.

use std::mem::swap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use opencv::core::Mat;
use watchpost::agent::camera::pace::Pace;
use watchpost::agent::camera::patience::Patience;
use watchpost::clock::Stamp;
use watchpost::config::Fps;

use crate::segments::SegmentPace;
use crate::video::Video;

/// The longest time between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The reader's progress since the last poll.
#[derive(Clone, Copy)]
pub(super) enum Progress {
    /// It waited until the next picture was due, or for a stream's next picture.
    Waiting,
    /// It skipped pictures that are not wanted, or not at this rate.
    Skipped,
    /// It has a picture, with its time and the number of waiting pictures that it replaced.
    Picture(Stamp, u32),
}

/// A reader thread. Three pictures exist: the one being filled, the newest, and the one being encoded.
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// Whether it reads a stream, whose rate may be slow.
    is_stream: bool,
    thread: Option<JoinHandle<Result<()>>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The wanted rate; `None` when no picture is wanted.
    wanted: Option<Fps>,
    progress: Option<Progress>,
    newest: Mat,
    patience: Patience,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    pub(super) fn start(video: Video) -> Result<Reader> {
        let is_stream = video.is_stream();
        let patience = Patience::new(video.min_patience(), Instant::now());
        let state = State { wanted: None, progress: None, newest: Mat::default(), patience };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let read_loop = ReadLoop { shared: Arc::clone(&shared), video };
        let thread = Builder::new().name("reader".into()).spawn(|| read_loop.run());
        Ok(Reader { shared, is_stream, thread: Some(thread.context("cannot start its reader thread")?) })
    }

    /// Waits for a picture, or for other progress within [`PROGRESS_INTERVAL`]. Blocks while the reader hangs: the
    /// agent kills the program then.
    ///
    /// # Errors
    /// The error that stopped the reader.
    pub(super) fn poll(&mut self, wanted: Option<Fps>, picture: &mut Mat) -> Result<Progress> {
        loop {
            let mut state = self.shared.state();
            state.wanted = wanted;
            let waits = |state: &mut State| !matches!(state.progress, Some(Progress::Picture(..)));
            let woken = self.shared.changed.wait_timeout_while(state, PROGRESS_INTERVAL, waits);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(progress) = state.progress.take() {
                if let Progress::Picture(..) = progress {
                    swap(&mut state.newest, picture);
                }
                return Ok(progress);
            }
            let is_over = wanted.is_some_and(|fps| state.patience.is_over(fps, Instant::now()));
            drop(state);
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                self.join()?;
                bail!("its reader thread exited");
            }
            match self.is_stream {
                true if is_over => bail!("sends no frames"),
                true => return Ok(Progress::Waiting),
                false => {}
            }
        }
    }

    fn join(&mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => bail!("its reader thread panicked"),
            Some(Ok(end)) => end,
            None => Ok(()),
        }
    }
}

/// The thread's state.
struct ReadLoop {
    shared: Arc<Shared>,
    video: Video,
}

impl ReadLoop {
    fn run(mut self) -> Result<()> {
        // A file plays at its own rate; a stream sets the rate itself.
        let mut file_pace = self.video.is_file().then(|| Pace::new(self.video.fps()));
        let mut segment_pace = self.video.is_segmented().then(SegmentPace::default);
        let (mut pace, mut picture) = (None, Mat::default());
        loop {
            let wanted = self.shared.state().wanted;
            if file_pace.as_mut().is_some_and(|file_pace| !file_pace.wait_until_due(PROGRESS_INTERVAL)) {
                self.shared.state().progress.get_or_insert(Progress::Waiting);
                continue;
            }
            self.video.grab()?;
            if let Some(segment_pace) = &mut segment_pace {
                let due = segment_pace.due(self.video.position()?, Instant::now());
                sleep(due.saturating_duration_since(Instant::now()));
            }
            self.shared.state().patience.arrived(Instant::now());
            let captured = Stamp::now();
            if wanted.is_some_and(|fps| is_due(&mut pace, fps)) {
                self.video.retrieve(&mut picture)?;
                self.publish(captured, &mut picture);
            } else {
                self.skip();
            }
        }
    }

    fn skip(&self) {
        let mut state = self.shared.state();
        if !matches!(state.progress, Some(Progress::Picture(..))) {
            state.progress = Some(Progress::Skipped);
        }
    }

    /// Publishes a picture, and takes the memory of the previous one for reuse.
    fn publish(&self, captured: Stamp, picture: &mut Mat) {
        let mut state = self.shared.state();
        swap(&mut state.newest, picture);
        let replaced =
            if let Some(Progress::Picture(_, replaced)) = state.progress { replaced.saturating_add(1) } else { 0 };
        state.progress = Some(Progress::Picture(captured, replaced));
        drop(state);
        self.shared.changed.notify_one();
    }
}

fn is_due(pace: &mut Option<Pace>, fps: Fps) -> bool {
    let pace = pace.get_or_insert_with(|| Pace::of(fps));
    pace.set_fps(fps);
    pace.accepts_now()
}
