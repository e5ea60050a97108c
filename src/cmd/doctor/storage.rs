//! Spool, history and recordings: whether their paths can be written, and free disk space.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::user::{Access, User};
use super::{Findings, RESPONSE_TIMEOUT};
use crate::cmd::check;
use crate::config::{Agent, Outlet, Receiver};
use crate::host::{NEARLY_FULL, Room};

/// Free space without which no spool, history or recording can start.
const MIN_FREE_BYTES: u64 = 1_000_000;

/// Returns the path of the agent's spool, if it uses one.
pub(super) fn spool(agent: &Agent) -> Option<&Path> {
    let spool = agent.spool.as_ref().filter(|_| agent.links.iter().any(Outlet::is_acknowledged));
    spool.map(|spool| spool.path.as_path())
}

/// Returns what the receiver stores, each with its path and whether that is a directory.
pub(super) fn of_receiver(receiver: &Receiver) -> Vec<(&'static str, PathBuf, bool)> {
    let history = receiver.history.as_ref().and_then(|history| Some(("history", history.file()?, false)));
    let record = receiver.record.as_ref().and_then(|record| Some(("record", record.place()?, true)));
    history.into_iter().chain(record).collect()
}

pub(super) async fn examine(what: &str, path: &Path, is_directory: bool, users: &[User], findings: &mut Findings<'_>) {
    let what = format!("{what}: {}", path.display());
    let place = path.to_owned();
    // Calls to a disk that hangs do not return.
    let examined = spawn_blocking(move || (check::nearest(&place, is_directory), Room::of_disk(&place)));
    let Ok(Ok((nearest, room))) = timeout(RESPONSE_TIMEOUT, examined).await else {
        let remedy = "check its device or server; `findmnt` lists mounted disks, `sudo dmesg` their errors";
        let what = format!("{what}: the disk did not respond within {} s", RESPONSE_TIMEOUT.as_secs());
        return findings.error(&what, remedy);
    };
    if !is_directory && path.is_dir() {
        return findings.error(&format!("{what} is a directory"), "write the path of a file in that directory");
    }
    match nearest {
        Err(error) => return findings.error_of(&what, &format!("{error}; write another path, or move that file away")),
        // One of the users is enough: directories of the service may be closed to others.
        Ok(dir) if !users.iter().any(|user| user.may(Access::CreateFiles, &dir)) => {
            let user = users.last().map_or("", |user| &user.name);
            let wanted = parent(path, is_directory);
            // Do not suggest changing the owner of an existing directory.
            let remedy = if wanted.exists() {
                format!(
                    "write a path in a separate directory: `sudo install -d -o {user} /var/lib/watchpost` creates one"
                )
            } else {
                format!("sudo install -d -o {user} {}", wanted.display())
            };
            return findings.error(&format!("{what}: {user} may not write in {}", dir.display()), &remedy);
        }
        Ok(_) => {}
    }
    let Some((room, used)) = room.and_then(|room| Some((room, room.used_percent()?))) else {
        return findings.ok(&what);
    };
    let free = room.available_bytes.unwrap_or(0);
    let remedy = "free some space: `df -h` lists the disks, `sudo du -xhd2 / | sort -h` the largest directories";
    let of_disk = format!("{:.1} of {:.1} GB are free", free as f64 / 1e9, room.bytes as f64 / 1e9);
    if free < MIN_FREE_BYTES {
        findings.error(&format!("{what}: the disk is full"), remedy);
    } else if used > NEARLY_FULL || is_directory && used >= check::RECORDINGS_NEARLY_FULL {
        findings.warning(&format!("{what}: the disk is {used} % full, {of_disk}"), remedy);
    } else {
        findings.ok(&format!("{what}, {of_disk}"));
    }
}

/// Returns the directory that must exist.
fn parent(path: &Path, is_directory: bool) -> &Path {
    if is_directory { path } else { path.parent().unwrap_or(path) }
}
