//! The cameras: V4L2 capture devices and their modes.

use std::fmt::Write as _;
use std::io;

use super::names::{self, Names};
use super::usb::{self, Usb};
use super::{Roots, line, lines, name_lines, no_permission};
use crate::agent::camera::offer::{self, Format, Offer, Rates, Sizes};

/// Limit of video devices: `VIDEO_NUM_DEVICES` in the kernel's drivers/media/v4l2-core/v4l2-dev.c.
const MAX_NODES: u32 = 256;

#[derive(Debug)]
pub(super) struct Camera {
    pub(super) name: String,
    pub(super) names: Names,
    /// Its modes, or why they cannot be queried.
    pub(super) offer: Result<Offer, String>,
    usb: Option<Usb>,
}

impl Camera {
    /// Returns the name of its USB 2 bus; `None` on a faster bus or without USB.
    pub(super) fn bus(&self) -> Option<String> {
        match (&self.usb, &self.offer) {
            (Some(usb), _) => (usb.speed <= 480.0).then(|| format!("USB bus {}", usb.bus)),
            (None, Ok(offer)) => {
                let (controller, _port) = offer.bus.strip_prefix("usb-")?.rsplit_once('-')?;
                Some(format!("USB bus {controller}"))
            }
            (None, Err(_)) => None,
        }
    }
}

pub(super) fn find(roots: &Roots) -> Vec<Camera> {
    let mut cameras: Vec<Camera> =
        (0..MAX_NODES).filter_map(|number| probe(roots, &format!("video{number}"))).collect();
    names::compare(cameras.iter_mut().map(|camera| &mut camera.names));
    cameras
}

/// Returns the camera of a node; `None` if the node does not exist or is not a camera.
fn probe(roots: &Roots, node: &str) -> Option<Camera> {
    let path = roots.dev.join(node);
    let offer = if path.exists() { offer::of(&path) } else { return None };
    let class = roots.sys.join("class/video4linux").join(node);
    let index = usb::attribute(&class, "index");
    let offer = match offer {
        Ok(offer) => Ok(offer?),
        // List an inaccessible camera once, without its metadata node.
        Err(_) if index.as_ref().is_some_and(|index| index != "0") => return None,
        Err(error) => Err(describe_error(&error)),
    };
    let usb = usb::device(&roots.sys, "video4linux", node).and_then(|device| usb::parent(&device));
    // A camera may have several nodes for pictures. Their by-id names contain the index.
    let identity = usb.as_ref().map(|usb| format!("{} {}", usb.identity, index.unwrap_or_default()));
    let name = match &offer {
        Ok(offer) => offer.card.clone(),
        Err(_) => usb::attribute(&class, "name").unwrap_or_else(|| "a camera".to_owned()),
    };
    Some(Camera { name, names: Names::of(roots, "v4l", node, identity), offer, usb })
}

fn describe_error(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, _) => no_permission("video"),
        (io::ErrorKind::NotFound, _) | (_, Some(nix::libc::ENODEV)) => "just unplugged".to_owned(),
        (_, Some(nix::libc::EBUSY)) => "another program is using it, and the driver permits no second one".to_owned(),
        (_, Some(nix::libc::ENOTTY)) => "not a V4L2 device".to_owned(),
        _ => format!("its modes cannot be read: {error}"),
    }
}

pub(super) fn describe(cameras: &[Camera]) -> String {
    let mut text = "Cameras, with their sizes and the frames a second of each\n".to_owned();
    let is_pipeline = |camera: &&Camera| camera.offer.as_ref().is_ok_and(|offer| offer.is_pipeline);
    let (pipeline, own): (Vec<_>, Vec<_>) = cameras.iter().partition(is_pipeline);
    if own.is_empty() {
        text += "\n  None. Plug one in; `lsusb` lists USB devices, and `sudo dmesg -w` shows what happens when you plug in a\n  \
                 cable. A network camera needs no device: its source is an address.\n";
    }
    for camera in own {
        describe_one(&mut text, camera);
    }
    text += &names::warn("cameras", cameras.iter().map(|camera| &camera.names));
    if !pipeline.is_empty() {
        text +=
            "\n  Parts of this computer's built-in camera pipeline, which needs libcamera; watchpost cannot use them\n";
        lines(&mut text, "", pipeline.iter().map(|camera| camera.names.node.display().to_string()));
    }
    text
}

fn describe_one(text: &mut String, camera: &Camera) {
    let bus = camera.bus().map(|bus| format!(", {bus}")).unwrap_or_default();
    writeln!(text, "\n  {}{bus}", camera.name).expect("writing to a String cannot fail");
    name_lines(text, "source", &camera.names.best_first());
    let offer = match &camera.offer {
        Ok(offer) => offer,
        Err(cause) => return line(text, "but", cause),
    };
    let used = offer.used().map(|format| format.fourcc);
    let mut formats: Vec<&Format> = offer.formats.iter().collect();
    formats.sort_by_key(|format| (used != Some(format.fourcc), !format.fourcc.is_usable()));
    for Format { fourcc, choices } in formats {
        let remark = match used {
            Some(used) if used == *fourcc && fourcc.is_jpeg() => "(used, passed on as it is)",
            Some(used) if used == *fourcc => "(used, encoded here)",
            _ if fourcc.is_usable() => "(not used)",
            _ => "(cannot be used)",
        };
        let choices = if fourcc.is_usable() { in_order(choices) } else { Vec::new() };
        lines(text, &fourcc.to_string(), choices.into_iter().chain([remark.to_owned()]));
    }
    if used.is_none() {
        line(text, "but", "watchpost needs MJPG or YUYV");
    }
}

/// Returns sizes with their rates, largest and fastest first.
fn in_order(choices: &[(Sizes, Rates)]) -> Vec<String> {
    let mut choices: Vec<_> = choices.iter().collect();
    choices.sort_by_key(|(sizes, _)| match sizes {
        Sizes::One(size) | Sizes::Range { most: size, .. } => std::cmp::Reverse((size.width, size.height)),
    });
    let choice = |(sizes, rates): &(Sizes, Rates)| format!("{} {}", in_figures(*sizes), rates_in_figures(rates));
    choices.into_iter().map(|both| choice(both).trim_end().to_owned()).collect()
}

fn in_figures(sizes: Sizes) -> String {
    match sizes {
        Sizes::One(size) => size.to_string(),
        Sizes::Range { least, most, step } if step.width <= 1 && step.height <= 1 => format!("{least} to {most},"),
        Sizes::Range { least, most, step } => format!("{least} to {most} in steps of {step},"),
    }
}

fn rates_in_figures(rates: &Rates) -> String {
    match rates {
        Rates::Each(rates) => {
            let mut rates = rates.clone();
            rates.sort_by(|a, b| b.total_cmp(a));
            rates.iter().map(|fps| fps_in_figures(*fps)).collect::<Vec<_>>().join(" ")
        }
        Rates::Range { least, most } => format!("{} to {}", fps_in_figures(*least), fps_in_figures(*most)),
    }
}

/// Formats a rate with at most two decimals and no trailing zeros: 30, 29.97, 7.5.
pub(super) fn fps_in_figures(fps: f64) -> String {
    format!("{}", (fps * 100.0).round() / 100.0)
}
