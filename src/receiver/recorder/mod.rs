//! Records every camera's frames, unaltered, in Matroska files that common players open, with the readings as
//! subtitles.
//!
//! A link's task queues frames without blocking (`queue.rs`). The writer thread (`writer.rs`) takes them in groups and
//! writes about one second per camera at a time (`camera.rs`, with `timing.rs` for the frames' times) to its files
//! (`segment.rs`; `slots.rs` decides which cameras may have one, `matroska.rs` and `ebml.rs` define their format). The
//! retention thread (`retention.rs`) finishes complete files and those that an earlier receiver left unfinished, and
//! deletes old ones. `library.rs` has the catalogue of all files and looks into them with `reader.rs`; `agent_files.rs`
//! deletes and moves an agent's files.
//!
//! Each second of frames is one write without a sync, which spares SD cards. Killing the receiver loses up to a second;
//! a power cut loses what the system has not flushed, typically 30 seconds. Finished files are synced.

mod agent_files;
mod camera;
mod captions;
mod retention;
mod ebml;
mod stats;
mod writer;
mod library;
pub mod matroska;
mod queue;
mod range;
pub mod reader;
mod segment;
mod slots;
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

pub use agent_files::{ChangeError, FileChange};
pub use captions::Captions;
pub use library::{CameraSpans, Library, Picture};
pub use range::Range;
pub use stats::{RecorderState, RecorderStats};

use super::budget::Pool;
use super::live_frame::LiveFrame;
use super::quotas::Quotas;
use crate::config::Record;
use crate::service::Heartbeat;
use queue::Queue;
use retention::Retention;
use writer::Writer;

/// How long to wait at shutdown for a slow disk, as the history does. The next start finishes what is missing.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(700);

/// The recorder and its threads.
pub struct Recorder {
    queue: Arc<Queue>,
    library: Arc<Library>,
    captions: Captions,
    writer: JoinHandle<()>,
    retention: JoinHandle<()>,
    heartbeats: [Heartbeat; 2],
}

/// A link's handle for queuing frames.
#[derive(Clone)]
pub struct Feed(Arc<Queue>);

impl Recorder {
    /// Creates the directory and starts recording. Frames that are not written yet are in `memory`. A full or failing disk
    /// is not an error: the writer retries.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn open(config: &Record, dir: PathBuf, memory: Pool, quotas: Quotas) -> io::Result<Recorder> {
        let rate = config.fps.map_or("every frame".to_owned(), |fps| format!("at most {} fps", fps.get()));
        let (keep, max_size) = (config.keep, config.max_size);
        info!("recorder: {rate} per camera into {}; keep = {keep}, max_size = {max_size}", dir.display());
        let queue = Arc::new(Queue::new(memory));
        let library = Arc::new(Library::new(dir.clone()));
        library.set_state("");
        let captions = Captions::default();
        let (tasks, taken) = channel();
        let heartbeats =
            ["recorder writer thread", "recorder retention thread"].map(|what| Heartbeat::of(what.to_owned()));
        let [writer_heartbeat, retention_heartbeat] = heartbeats.clone();
        heartbeats.iter().for_each(Heartbeat::starts);
        let retention = Retention::new(
            config.clone(),
            dir.clone(),
            Arc::clone(&library),
            Arc::clone(&queue),
            taken,
            retention_heartbeat,
        );
        let retention = Builder::new().name("retention".to_owned()).spawn(move || retention.run())?;
        let writer =
            Writer::new(config.clone(), dir, Arc::clone(&queue), Arc::clone(&library), captions.clone(), tasks, quotas);
        let writer = Builder::new().name("recorder".to_owned()).spawn(move || writer.run(&writer_heartbeat))?;
        Ok(Recorder { queue, library, captions, writer, retention, heartbeats })
    }

    /// The heartbeats of the threads.
    pub fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        self.heartbeats.iter()
    }

    /// Returns the handle that a link needs.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(Arc::clone(&self.queue))
    }

    /// Returns the catalogue of recordings.
    #[must_use]
    pub fn library(&self) -> Arc<Library> {
        Arc::clone(&self.library)
    }

    /// Returns the captions below the pictures; their `follow` must run to keep them current.
    #[must_use]
    pub fn captions(&self) -> Captions {
        self.captions.clone()
    }

    /// Waits until the queue is written, for a limited time.
    pub async fn end(self) {
        self.queue.end();
        let threads = [self.writer, self.retention];
        let joined = spawn_blocking(|| threads.into_iter().try_for_each(JoinHandle::join));
        match timeout(SHUTDOWN_TIMEOUT, joined).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => warn!("recorder: a thread failed"),
            Err(_) => warn!("recorder: the disk takes too long; abandoning its threads"),
        }
    }
}

impl Feed {
    /// Queues a frame, or counts it as lost if the memory for frames is full. Ignores placeholders.
    pub fn offer(&self, frame: &Arc<LiveFrame>) {
        if frame.header.no_signal.is_none() {
            self.0.put(frame);
        }
    }
}
