//! Whether the cameras of a configuration fit on their USB buses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Warning;
use super::cameras::{Camera, fps_in_figures};
use crate::agent::camera::offer::Settled;
use crate::config::{self, Source};

/// Bandwidth of a bus for isochronous transfers, in bytes a second: at most 80 % of 480 Mbit/s (Universal Serial Bus
/// Specification 2.0, 5.6.4).
const BUS_BANDWIDTH: f64 = 0.8 * 480e6 / 8.0;

/// Bandwidth of one camera: three transactions of 1,024 bytes in each of the 8,000 microframes of a second (5.6.3 and
/// 5.9.2).
const CAMERA_BANDWIDTH: f64 = 3.0 * 1024.0 * 8000.0;

/// A camera of the configuration, on the USB 2 bus it shares with others.
struct User<'a> {
    name: &'a str,
    /// Bytes a second that it needs; `None` for JPEGs, whose size is unknown in advance.
    needs: Option<f64>,
}

pub(super) fn assess(found: &[Camera], configured: &[config::Camera], file: &Path) -> String {
    let mut text = format!("Cameras of {}\n\n", file.display());
    let width = configured.iter().map(|camera_config| camera_config.name.chars().count()).max().unwrap_or(0);
    for camera_config in configured {
        let camera = camera_of(found, camera_config);
        let settled = camera.and_then(|camera| camera.offer.as_ref().ok()?.settled(camera_config));
        writeln!(text, "  {:<width$}  {}", &*camera_config.name, describe(camera_config, camera, settled))
            .expect("writing to a String cannot fail");
    }
    text + &buses(found, configured).iter().map(|(bus, users)| assess_bus(bus, users)).collect::<String>()
}

/// Returns warnings about cameras that need more bandwidth than their bus has.
pub(super) fn crowded(found: &[Camera], configured: &[config::Camera]) -> Vec<Warning> {
    buses(found, configured).iter().flat_map(|(bus, users)| warnings(bus, users)).collect()
}

fn buses<'a>(found: &[Camera], configured: &'a [config::Camera]) -> BTreeMap<String, Vec<User<'a>>> {
    let mut buses: BTreeMap<String, Vec<User>> = BTreeMap::new();
    for camera_config in configured {
        let camera = camera_of(found, camera_config);
        let settled = camera.and_then(|camera| camera.offer.as_ref().ok()?.settled(camera_config));
        if let Some((bus, settled)) = camera.and_then(Camera::bus).zip(settled) {
            buses.entry(bus).or_default().push(User { name: &camera_config.name, needs: needs(settled) });
        }
    }
    buses
}

fn camera_of<'a>(found: &'a [Camera], camera_config: &config::Camera) -> Option<&'a Camera> {
    let Source::Device(path) = &camera_config.source else { return None };
    found.iter().find(|camera| camera.names.include(path))
}

fn describe(camera_config: &config::Camera, camera: Option<&Camera>, settled: Option<Settled>) -> String {
    let Some(camera) = camera else {
        return match &camera_config.source {
            Source::Device(path) if path.exists() => format!("{} is not a camera", path.display()),
            Source::Device(path) => format!("{} does not exist", path.display()),
            other => format!("{other}, which needs no device"),
        };
    };
    let what = match (&camera.offer, settled) {
        (Err(cause), _) => cause.clone(),
        (Ok(_), None) => "which offers no format that watchpost can use".to_owned(),
        (Ok(_), Some(settled)) => {
            let Settled { fourcc, size, fps } = settled;
            let how = needs(settled).map_or("its own JPEGs".to_owned(), |bytes| format!("{} MB/s", in_mb(bytes)));
            format!("{fourcc} {size} {}: {how}", fps_in_figures(fps))
        }
    };
    format!("{}, {what}", camera.name)
}

/// Returns the bandwidth in bytes a second, or `None` for JPEGs. YUYV has two bytes a pixel.
fn needs(Settled { fourcc, size, fps }: Settled) -> Option<f64> {
    (!fourcc.is_jpeg()).then(|| f64::from(size.width) * f64::from(size.height) * 2.0 * fps)
}

fn in_mb(bytes: f64) -> f64 {
    (bytes / 1e5).round() / 10.0
}

fn assess_bus(bus: &str, users: &[User]) -> String {
    let warnings: String = warnings(bus, users).iter().map(Warning::to_string).collect();
    match users {
        [_, _, ..] if !is_too_much(users) => warnings + &note(bus, users.iter().map(|user| user.name)),
        _ => warnings,
    }
}

/// Returns the bandwidth of all cameras that do not send JPEGs.
fn raw_sum(users: &[User]) -> f64 {
    users.iter().filter_map(|user| user.needs).sum()
}

fn is_too_much(users: &[User]) -> bool {
    users.iter().filter(|user| user.needs.is_some()).count() > 1 && raw_sum(users) > BUS_BANDWIDTH
}

fn warnings(bus: &str, users: &[User]) -> Vec<Warning> {
    let raw: Vec<(&str, f64)> = users.iter().filter_map(|user| Some((user.name, user.needs?))).collect();
    let too_large = raw.iter().filter(|(_, needs)| *needs > CAMERA_BANDWIDTH);
    let of_each = too_large.map(|(name, needs)| warn_of_one(name, *needs));
    let of_all = is_too_much(users).then(|| warn_of_all(bus, raw.iter().map(|(name, _)| *name), raw_sum(users)));
    of_each.chain(of_all).collect()
}

fn warn_of_one(name: &str, needs: f64) -> Warning {
    let (needs, most) = (in_mb(needs), in_mb(CAMERA_BANDWIDTH));
    Warning {
        what: format!("{name} needs {needs} MB/s, but one camera gets at most {most} on a USB 2 bus"),
        remedy: "choose a smaller size or fewer frames a second".to_owned(),
    }
}

fn warn_of_all<'a>(bus: &str, names: impl Iterator<Item = &'a str>, sum: f64) -> Warning {
    let (names, needs, most) = (list(names), in_mb(sum), in_mb(BUS_BANDWIDTH));
    Warning {
        what: format!("{names} need {needs} MB/s of {bus}, which carries at most {most}"),
        remedy: "choose smaller sizes or fewer frames a second, or use another bus for one of them".to_owned(),
    }
}

fn note<'a>(bus: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!(
        "\n  {} share {bus}. Each camera reserves bandwidth when it starts; many reserve {} of the\n  \
         {} MB/s even for JPEGs. If there is not enough left for a camera, `watchpost run` reports\n  \
         \"no bandwidth left\".\n",
        list(names),
        in_mb(CAMERA_BANDWIDTH),
        in_mb(BUS_BANDWIDTH)
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}
