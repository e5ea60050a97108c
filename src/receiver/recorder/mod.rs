//! Every camera's frames, unaltered, in Matroska files that play anywhere, with the readings below them.
//!
//! A link's task hands frames over without waiting (`queue.rs`); a thread (`keeper.rs`) writes those of a second together, of
//! each camera (`camera.rs`, with `timing.rs` for when a frame was) into its files (`segment.rs`; `matroska.rs` and `ebml.rs` say
//! how they look). Another thread makes files whole that are long enough, or that an earlier receiver has left unfinished, and
//! removes old ones (`caretaker.rs`). What there is, and what is in it (`reader.rs`), is the `library.rs`.
//!
//! What is written is handed to the system at once, a second's frames in one call, and left to it to be put on the disk, which
//! is kind to SD cards: a receiver that is killed loses a second, a power cut as much as the system holds back, half a minute
//! as a rule. A file that is finished is synced.

mod camera;
mod captions;
mod caretaker;
mod ebml;
mod figures;
mod keeper;
mod library;
pub mod matroska;
mod queue;
mod range;
pub mod reader;
mod segment;
mod timing;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

pub use captions::Captions;
pub use figures::{Figures, State};
pub use library::{Library, Picture, Spans};
pub use range::Range;

use super::wall::Shown;
use crate::config::Record;
use crate::service::Heartbeat;
use caretaker::Caretaker;
use keeper::Keeper;
use queue::Queue;

/// As of the history: at the end, so long is waited for a disk that is slow. What is not finished then is at the next start.
const WRITTEN: Duration = Duration::from_millis(700);

/// A recorder and its threads.
pub struct Recorder {
    queue: Arc<Queue>,
    library: Arc<Library>,
    captions: Captions,
    keeper: JoinHandle<()>,
    caretaker: JoinHandle<()>,
    heartbeats: [Heartbeat; 2],
}

/// Where links hand frames over.
#[derive(Clone)]
pub struct Feed(Arc<Queue>);

impl Recorder {
    /// Begins to record into a directory, which is made. A disk that is full or fails is no error: it is tried again until it is
    /// well.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(config: &Record, dir: PathBuf) -> io::Result<Recorder> {
        let rate = config.fps.map_or("every frame".to_owned(), |fps| format!("{} frames a second at most", fps.get()));
        let (keep, most) = (config.keep, config.max_size);
        info!("recorder: {rate} of each camera, for {keep}, at most {most}, into {}", dir.display());
        let queue = Arc::new(Queue::default());
        let library = Arc::new(Library::new(dir.clone()));
        library.set_state("");
        let captions = Captions::default();
        let (tasks, taken) = channel();
        let heartbeats =
            ["the recorder's thread", "the recordings' caretaker"].map(|what| Heartbeat::of(what.to_owned()));
        let [heartbeat, caretakers_life] = heartbeats.clone();
        let caretaker = Caretaker::new(
            config.clone(),
            dir.clone(),
            Arc::clone(&library),
            Arc::clone(&queue),
            taken,
            caretakers_life,
        );
        let caretaker = Builder::new().name("caretaker".to_owned()).spawn(move || caretaker.run())?;
        let keeper =
            Keeper::new(config.clone(), dir, Arc::clone(&queue), Arc::clone(&library), captions.clone(), tasks);
        let keeper = Builder::new().name("recorder".to_owned()).spawn(move || keeper.run(&heartbeat))?;
        Ok(Recorder { queue, library, captions, keeper, caretaker, heartbeats })
    }

    /// Its threads'.
    pub fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        self.heartbeats.iter()
    }

    /// What a link needs.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(Arc::clone(&self.queue))
    }

    /// What was recorded.
    #[must_use]
    pub fn library(&self) -> Arc<Library> {
        Arc::clone(&self.library)
    }

    /// The texts below the pictures, which have to be told of the wall.
    #[must_use]
    pub fn captions(&self) -> Captions {
        self.captions.clone()
    }

    /// Waits until all is written.
    pub async fn end(self) {
        self.queue.end();
        let threads = [self.keeper, self.caretaker];
        let joined = spawn_blocking(|| threads.into_iter().try_for_each(JoinHandle::join));
        match timeout(WRITTEN, joined).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => warn!("recorder: a thread failed"),
            Err(_) => warn!("recorder: the disk takes too long; abandoning its threads"),
        }
    }
}

impl Feed {
    /// Hands a frame over; it is counted if there is no room. A picture that says why there is none is no frame.
    pub fn offer(&self, shown: &Arc<Shown>) {
        if shown.header.no_signal.is_none() {
            self.0.put(shown);
        }
    }
}
