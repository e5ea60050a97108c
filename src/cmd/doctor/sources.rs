//! Boards and cameras: whether they are there, may be used, are told apart, and fit on their bus.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Findings;
use super::who::{Use, Who};
use crate::agent::camera::video;
use crate::cmd::devices::{Devices, Roots};
use crate::config::{Agent, Source, VideoSource};
use crate::host;

/// An answer is waited for for five seconds, a name's address for as long as its servers take.
const FILM: Duration = Duration::from_secs(8);

pub(super) async fn examine(agent: &Agent, users: &[Who], findings: &mut Findings<'_>) {
    let host::Roots { dev, sys, .. } = host::Roots::default();
    // A driver may take its time.
    let devices = spawn_blocking(move || Devices::find(&Roots { dev, sys })).await.ok();
    let devices = devices.as_ref();
    for port in &agent.serial {
        examine_device(&format!("port {}", port.name), &port.port, devices, users, findings);
    }
    for camera in &agent.cameras {
        let what = format!("camera {}", camera.name);
        match &camera.source {
            Source::Pattern => findings.ok(&format!("{what}: a test picture, which needs nothing")),
            Source::Device(path) => examine_device(&what, path, devices, users, findings),
            Source::Video(video) => examine_video(&format!("{what}: {}", camera.source), video, users, findings).await,
        }
    }
    for warning in devices.map(|devices| devices.crowded(agent)).unwrap_or_default() {
        findings.warning(&warning.what, &warning.remedy);
    }
}

fn examine_device(what: &str, path: &Path, devices: Option<&Devices>, users: &[Who], findings: &mut Findings<'_>) {
    let what = format!("{what}: {}", path.display());
    let Ok(device) = path.metadata() else {
        let remedy = "plug it in; `watchpost devices` lists what there is, by the names to be written into the file";
        return findings.error(&format!("{what} is not there"), remedy);
    };
    if !device.file_type().is_char_device() {
        return findings.error(&format!("{what} is no device"), "`watchpost devices` lists those that there are");
    }
    let denied: Vec<_> = users.iter().filter(|user| !user.may(Use::ReadAndWrite, path)).collect();
    for user in &denied {
        findings.error(&format!("{what} may not be used by {}", user.name), &user.remedy(path));
    }
    if let Some(warning) = devices.and_then(|devices| devices.ambiguous(path)) {
        findings.warning(&format!("{what}: {}", warning.what), &warning.remedy);
    } else if denied.is_empty() {
        findings.ok(&what);
    }
}

async fn examine_video(what: &str, video: &VideoSource, users: &[Who], findings: &mut Findings<'_>) {
    if let VideoSource::File(path) = video
        && path.exists()
        && let Some(user) = users.iter().find(|user| !user.may(Use::Read, path))
    {
        return findings.error(&format!("{what} may not be read by {}", user.name), "chmod a+r lets everybody read it");
    }
    let wanted = video.clone();
    match timeout(FILM, spawn_blocking(move || video::is_usable(&wanted))).await {
        Ok(Ok(Ok(()))) => findings.ok(&format!("{what}; no picture is asked for here")),
        Ok(Ok(Err(error))) => findings.error_of(what, &format!("{error:#}")),
        Ok(Err(_)) | Err(_) => findings.error_of(what, "no name server had an answer; is the network there?"),
    }
}
