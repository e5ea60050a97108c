//! `--save`: the newest JPEG of each camera as a file, for other programs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::fs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::live_frame::LiveFrame;
use super::wall::Wall;
use crate::name::Name;

/// When the last saved frame of each camera arrived.
type Saved = HashMap<(Name, Name), Instant>;

/// Rate limit of the log line about failures.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Keeps the newest frame in `DIR/AGENT/CAMERA.jpg` until the shutdown. Files are always complete: a temporary file replaces
/// them by renaming. A full or broken disk only costs files, and is logged.
///
/// # Errors
/// When the directory cannot be created.
pub async fn run(dir: PathBuf, mut wall: watch::Receiver<Wall>, shutdown: CancellationToken) -> Result<()> {
    fs::create_dir_all(&dir).await.with_context(|| format!("cannot create {}", dir.display()))?;
    let mut saved = Saved::new();
    let mut logged: Option<Instant> = None;
    loop {
        let newer = newer(&wall.borrow_and_update(), &mut saved);
        for (agent, camera) in newer {
            // One frame at a time, so that a slow disk does not keep all of them in memory.
            let Some(frame) = newest(&wall.borrow(), &agent, &camera) else { continue };
            let Err(error) = save(&dir, &agent, &camera, &frame).await else { continue };
            if logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                logged = Some(Instant::now());
                warn!("{error:#}");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = wall.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// The cameras with a frame that is not saved yet.
fn newer(wall: &Wall, saved: &mut Saved) -> Vec<(Name, Name)> {
    let before = std::mem::take(saved);
    let mut newer = Vec::new();
    for (agent, view) in &wall.agents {
        for (name, camera) in &view.cameras {
            let Some(frame) = &camera.newest else { continue };
            let key = (agent.clone(), name.clone());
            if before.get(&key) != Some(&frame.received) {
                newer.push(key.clone());
            }
            saved.insert(key, frame.received);
        }
    }
    newer
}

fn newest(wall: &Wall, agent: &Name, camera: &Name) -> Option<Arc<LiveFrame>> {
    wall.agents.get(agent)?.cameras.get(camera)?.newest.clone()
}

async fn save(dir: &Path, agent: &Name, camera: &Name, frame: &LiveFrame) -> Result<()> {
    // A `Name` cannot contain path separators or dots.
    let dir = dir.join(&**agent);
    let (file, beside) = (dir.join(format!("{camera}.jpg")), dir.join(format!(".{camera}.jpg")));
    let write = async {
        fs::create_dir_all(&dir).await?;
        fs::write(&beside, &frame.jpeg).await?;
        fs::rename(&beside, &file).await
    };
    write.await.with_context(|| format!("cannot write {}", file.display()))
}
