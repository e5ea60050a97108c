//! Where things are kept: whether that can be written, and how much room there is.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::who::{Use, Who};
use super::{ANSWER, Findings};
use crate::cmd::check;
use crate::config::{Agent, Outlet, Receiver};
use crate::host::{NEARLY_FULL, Room};

/// A spool, a history or a recording cannot begin with less, in bytes.
const LEAST: u64 = 1_000_000;

/// The agent's spool, if it is to have one.
pub(super) fn spool(agent: &Agent) -> Option<&Path> {
    let spool = agent.spool.as_ref().filter(|_| agent.links.iter().any(Outlet::is_acknowledged));
    spool.map(|spool| spool.path.as_path())
}

/// What the receiver keeps, where, and whether that is a directory.
pub(super) fn of_receiver(receiver: &Receiver) -> Vec<(&'static str, PathBuf, bool)> {
    let history = receiver.history.as_ref().and_then(|history| Some(("history", history.file()?, false)));
    let record = receiver.record.as_ref().and_then(|record| Some(("record", record.place()?, true)));
    history.into_iter().chain(record).collect()
}

pub(super) async fn examine(what: &str, path: &Path, is_directory: bool, users: &[Who], findings: &mut Findings<'_>) {
    let what = format!("{what}: {}", path.display());
    let place = path.to_owned();
    // Whatever is asked of a disk that hangs gives no answer.
    let looked = spawn_blocking(move || (check::nearest(&place, is_directory), Room::of_disk(&place)));
    let Ok(Ok((nearest, room))) = timeout(ANSWER, looked).await else {
        let remedy =
            "is its device plugged in, its server there? `findmnt` lists what is mounted, `sudo dmesg` says more";
        return findings.error(&format!("{what}: the disk gave no answer for {} s", ANSWER.as_secs()), remedy);
    };
    if !is_directory && path.is_dir() {
        return findings.error(&format!("{what} is a directory"), "write the path of a file in it");
    }
    match nearest {
        Err(error) => return findings.error_of(&what, &format!("{error}; write another path, or move that away")),
        // It is enough that the service's user may: what is its own others need not reach.
        Ok(dir) if !users.iter().any(|user| user.may(Use::MakeFiles, &dir)) => {
            let user = users.last().map_or("", |user| &user.name);
            let wanted = parent(path, is_directory);
            // What belongs to others must not be given away.
            let remedy = if wanted.exists() {
                format!(
                    "write a path in a directory of its own: `sudo install -d -o {user} /var/lib/watchpost` makes one"
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
    let remedy = "make room: `df -h` has all disks, `sudo du -xhd2 / | sort -h` what takes most";
    let of_disk = format!("{:.1} of {:.1} GB are free", free as f64 / 1e9, room.bytes as f64 / 1e9);
    if free < LEAST {
        findings.error(&format!("{what}: the disk is full"), remedy);
    } else if used > NEARLY_FULL {
        findings.warning(&format!("{what}: the disk is {used} % full, {of_disk}"), remedy);
    } else {
        findings.ok(&format!("{what}, {of_disk}"));
    }
}

/// The directory that has to be there.
fn parent(path: &Path, is_directory: bool) -> &Path {
    if is_directory { path } else { path.parent().unwrap_or(path) }
}
