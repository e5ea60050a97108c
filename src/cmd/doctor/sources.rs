//! Boards and cameras: whether they exist, are accessible and unambiguous, and fit on their USB bus.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Findings;
use super::user::{Access, User};
use crate::agent::camera;
use crate::cmd::devices::{Devices, Roots};
use crate::config::{Agent, Camera, Source, VideoSource};
use crate::host;

/// Limit of a video source's check: five seconds each for a name lookup, a connection and some answers.
const VIDEO_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn examine(agent: &Agent, users: &[User], findings: &mut Findings<'_>) {
    let host::Roots { dev, sys, .. } = host::Roots::default();
    // Drivers may block.
    let devices = spawn_blocking(move || Devices::find(&Roots { dev, sys })).await.ok();
    let devices = devices.as_ref();
    for port in &agent.serial {
        examine_device(&format!("port {}", port.name), &port.port, devices, users, findings);
    }
    for camera in &agent.cameras {
        let what = format!("camera {}", camera.name);
        match &camera.source {
            Source::Pattern => findings.ok(&format!("{what}: a test picture, which needs no device")),
            Source::Device(path) => examine_device(&what, path, devices, users, findings),
            Source::Video(video) => examine_video(camera, video, users, findings).await,
        }
    }
    for warning in devices.map(|devices| devices.crowded(agent)).unwrap_or_default() {
        findings.warning(&warning.what, &warning.remedy);
    }
}

fn examine_device(what: &str, path: &Path, devices: Option<&Devices>, users: &[User], findings: &mut Findings<'_>) {
    let what = format!("{what}: {}", path.display());
    let Ok(device) = path.metadata() else {
        let remedy = "plug it in; `watchpost devices` lists the names of connected devices";
        return findings.error(&format!("{what} does not exist"), remedy);
    };
    if !device.file_type().is_char_device() {
        return findings
            .error(&format!("{what} is not a device"), "`watchpost devices` lists the names of connected devices");
    }
    let denied: Vec<_> = users.iter().filter(|user| !user.may(Access::ReadAndWrite, path)).collect();
    for user in &denied {
        findings.error(&format!("{what}: {} may not use it", user.name), &user.remedy(path));
    }
    if let Some(warning) = devices.and_then(|devices| devices.ambiguous(path)) {
        findings.warning(&format!("{what}: {}", warning.what), &warning.remedy);
    } else if denied.is_empty() {
        findings.ok(&what);
    }
}

async fn examine_video(camera: &Camera, video: &VideoSource, users: &[User], findings: &mut Findings<'_>) {
    let what = format!("camera {}: {}", camera.name, camera.source);
    if let VideoSource::File(path) = video
        && path.exists()
        && let Some(user) = users.iter().find(|user| !user.may(Access::Read, path))
    {
        let remedy = format!("chmod a+r {}", path.display());
        return findings.error(&format!("{what}: {} may not read it", user.name), &remedy);
    }
    match timeout(VIDEO_TIMEOUT, camera::check(video.clone(), camera)).await {
        Ok(Ok(())) => findings.ok(&format!("{what}: it responds; pictures are not checked here")),
        Ok(Err(error)) => findings.error_of(&what, &format!("{error:#}")),
        Err(_) => findings.error_of(&what, "no reply in time; check the network"),
    }
}
