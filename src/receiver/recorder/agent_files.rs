//! Deletes all recordings of an agent, or moves them to another one. Each call does a part of it, so that nobody waits
//! long for the disk.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::library::{CameraId, Entry, Library};
use super::segment::{Times, US_PER_MS, dir_of};
use crate::name::{Name, StoredName};
use crate::store::StoreError;

/// Files that one call changes.
const FILES_PER_CALL: usize = 100;

/// How many later milliseconds are tried for the start of a moved file while its time is taken.
const MAX_COLLISIONS: i64 = 100;

/// What to do with an agent's recordings.
#[derive(Clone, Debug)]
pub enum FileChange {
    /// Delete them.
    Delete,
    /// Move them to the agent with this name.
    MoveTo(Name),
}

/// Why an agent's recordings cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A file is not finished yet.
    #[error("its last recording is not finished yet; try again in a minute")]
    Unfinished,
    /// The recorder does not work, so the directory may belong to another receiver.
    #[error("its recordings cannot be changed while the recorder fails ({0}); see the receiver's log")]
    Failing(String),
    /// A file cannot be changed.
    #[error("its recordings cannot be changed: {0}; mend that and repeat the request")]
    Disk(#[from] StoreError),
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> ChangeError {
        ChangeError::Disk(error.into())
    }
}

impl Library {
    /// The agents that have recordings.
    #[must_use]
    pub fn agents(&self) -> Vec<Name> {
        let catalogue = self.catalogue();
        let mut agents: Vec<_> = catalogue.cameras.keys().map(|(agent, _)| agent.clone()).collect();
        agents.dedup();
        agents
    }

    /// Changes some of an agent's files; returns whether none are left. Other files in its directory stay.
    ///
    /// # Errors
    /// When a file is being written, or cannot be changed.
    pub fn change_agent(&self, agent: &Name, change: &FileChange) -> Result<bool, ChangeError> {
        let cause = self.state().cause;
        if !cause.is_empty() {
            return Err(ChangeError::Failing(cause));
        }
        if self.is_recording(agent) {
            return Err(ChangeError::Unfinished);
        }
        let directory = self.dir().join(&**agent);
        let mut changed = 0;
        for camera in entries(&directory)? {
            let name = camera.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(StoredName(name)) = StoredName::try_from(name) else { continue };
            let id = (agent.clone(), name);
            for path in entries(&camera)?.into_iter().filter(|path| is_recording(path)) {
                if changed == FILES_PER_CALL {
                    return Ok(false);
                }
                self.change_file(&id, &path, change)?;
                changed += 1;
            }
            remove_if_empty(&camera)?;
        }
        remove_if_empty(&directory)?;
        Ok(true)
    }

    /// Whether a file of the agent is being written.
    fn is_recording(&self, agent: &Name) -> bool {
        let catalogue = self.catalogue();
        let mut files =
            catalogue.cameras.iter().filter(|((of, _), _)| of == agent).flat_map(|(_, files)| files.values());
        files.any(|entry| matches!(entry, Entry::Open(_)))
    }

    fn change_file(&self, camera: &CameraId, path: &Path, change: &FileChange) -> io::Result<()> {
        let times = path.file_name().and_then(OsStr::to_str).and_then(Times::from_file_name);
        match (change, times) {
            (FileChange::Delete, _) => ignore_missing(fs::remove_file(path))?,
            (FileChange::MoveTo(into), times) => return self.move_file(camera, path, times, into),
        }
        if let Some(times) = times {
            self.catalogue().remove(camera, times.start_us);
        }
        Ok(())
    }

    fn move_file(&self, camera: &CameraId, path: &Path, times: Option<Times>, into: &Name) -> io::Result<()> {
        let target = (into.clone(), camera.1.clone());
        let directory = dir_of(self.dir(), &target);
        fs::create_dir_all(&directory)?;
        let Some(mut moved) = times else {
            return ignore_missing(fs::rename(path, free_place(&directory, path)));
        };
        let start_us = moved.start_us;
        let is_taken = |times: &Times| {
            let is_known =
                self.catalogue().cameras.get(&target).is_some_and(|files| files.contains_key(&times.start_us));
            is_known || directory.join(times.file_name()).exists()
        };
        while is_taken(&moved) {
            moved.start_us += US_PER_MS;
            if moved.start_us > start_us + MAX_COLLISIONS * US_PER_MS {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        ignore_missing(fs::rename(path, directory.join(moved.file_name())))?;
        let mut catalogue = self.catalogue();
        let entry = catalogue.cameras.get(camera).and_then(|files| files.get(&start_us)).cloned();
        catalogue.remove(camera, start_us);
        if let Some(entry) = entry {
            catalogue.insert(&target, moved.start_us, entry);
        }
        Ok(())
    }
}

/// Whether the recorder made the file: a recording, or a damaged one that it moved aside.
fn is_recording(path: &Path) -> bool {
    let name = path.with_extension("mkv");
    let is_named_so = name.file_name().and_then(OsStr::to_str).and_then(Times::from_file_name).is_some();
    is_named_so && path.extension().is_some_and(|extension| extension == "mkv" || extension == "damaged")
}

/// The path of a damaged file in another directory, with a number if its name is taken.
fn free_place(directory: &Path, path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = (0..).map(|number| match number {
        0 => directory.join(format!("{stem}.damaged")),
        number => directory.join(format!("{stem}-{number}.damaged")),
    });
    names.into_iter().find(|place| !place.exists()).unwrap_or_else(|| directory.join(stem))
}

/// The entries of a directory; none if it is missing. No directory can have the longest names of earlier versions.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if is_missing(&error) || error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes a directory unless it has other files.
fn remove_if_empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => Ok(()),
        removed => ignore_missing(removed),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        result => result,
    }
}

/// Whether a file or directory does not exist, or cannot exist with so long a name.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
}
