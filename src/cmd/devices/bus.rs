//! Whether the cameras of a configuration fit on their USB buses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Warning;
use super::cameras::{Camera, fps_in_figures};
use crate::agent::camera::offer::Settled;
use crate::config::{self, Source};

/// What isochronous transfers may take of a bus, in bytes a second: at most 80 % of 480 Mbit/s (Universal Serial Bus
/// Specification 2.0, 5.6.4).
const OF_BUS: f64 = 0.8 * 480e6 / 8.0;

/// What one camera may take of it: three transactions of 1,024 bytes in each of the 8,000 microframes of a second
/// (5.6.3 and 5.9.2).
const OF_CAMERA: f64 = 3.0 * 1024.0 * 8000.0;

/// A camera of the configuration, on the USB 2 bus it shares with others.
struct User<'a> {
    name: &'a str,
    /// Bytes a second that it has to have; `None` for JPEGs, whose size nobody knows before.
    needs: Option<f64>,
}

pub(super) fn assess(found: &[Camera], wished: &[config::Camera], file: &Path) -> String {
    let mut text = format!("Cameras of {}\n\n", file.display());
    let width = wished.iter().map(|wish| wish.name.chars().count()).max().unwrap_or(0);
    for wish in wished {
        let camera = camera_of(found, wish);
        let settled = camera.and_then(|camera| camera.offer.as_ref().ok()?.settled(wish));
        writeln!(text, "  {:<width$}  {}", &*wish.name, describe(wish, camera, settled)).expect("a String takes all");
    }
    text + &buses(found, wished).iter().map(|(bus, users)| judge_bus(bus, users)).collect::<String>()
}

/// What the cameras ask too much of their buses.
pub(super) fn crowded(found: &[Camera], wished: &[config::Camera]) -> Vec<Warning> {
    buses(found, wished).iter().flat_map(|(bus, users)| warnings(bus, users)).collect()
}

fn buses<'a>(found: &[Camera], wished: &'a [config::Camera]) -> BTreeMap<String, Vec<User<'a>>> {
    let mut buses: BTreeMap<String, Vec<User>> = BTreeMap::new();
    for wish in wished {
        let camera = camera_of(found, wish);
        let settled = camera.and_then(|camera| camera.offer.as_ref().ok()?.settled(wish));
        if let Some((bus, settled)) = camera.and_then(Camera::bus).zip(settled) {
            buses.entry(bus).or_default().push(User { name: &wish.name, needs: needs(settled) });
        }
    }
    buses
}

fn camera_of<'a>(found: &'a [Camera], wish: &config::Camera) -> Option<&'a Camera> {
    let Source::Device(path) = &wish.source else { return None };
    found.iter().find(|camera| camera.names.include(path))
}

fn describe(wish: &config::Camera, camera: Option<&Camera>, settled: Option<Settled>) -> String {
    let Some(camera) = camera else {
        return match &wish.source {
            Source::Device(path) if path.exists() => format!("{} is no camera", path.display()),
            Source::Device(path) => format!("{} is not there", path.display()),
            other => format!("{other}, which needs no device"),
        };
    };
    let what = match (&camera.offer, settled) {
        (Err(cause), _) => cause.clone(),
        (Ok(_), None) => "which offers nothing that watchpost can use".to_owned(),
        (Ok(_), Some(settled)) => {
            let Settled { fourcc, size, fps } = settled;
            let how = needs(settled).map_or("its own JPEGs".to_owned(), |bytes| format!("{} MB/s", in_mb(bytes)));
            format!("{fourcc} {size} {}: {how}", fps_in_figures(fps))
        }
    };
    format!("{}, {what}", camera.name)
}

/// YUYV has two bytes a pixel.
fn needs(Settled { fourcc, size, fps }: Settled) -> Option<f64> {
    (!fourcc.is_jpeg()).then(|| f64::from(size.width) * f64::from(size.height) * 2.0 * fps)
}

fn in_mb(bytes: f64) -> f64 {
    (bytes / 1e5).round() / 10.0
}

fn judge_bus(bus: &str, users: &[User]) -> String {
    let warnings: String = warnings(bus, users).iter().map(Warning::to_string).collect();
    match users {
        [_, _, ..] if !is_too_much(users) => warnings + &note(bus, users.iter().map(|user| user.name)),
        _ => warnings,
    }
}

/// What those need together that send no JPEGs.
fn raw_sum(users: &[User]) -> f64 {
    users.iter().filter_map(|user| user.needs).sum()
}

fn is_too_much(users: &[User]) -> bool {
    users.iter().filter(|user| user.needs.is_some()).count() > 1 && raw_sum(users) > OF_BUS
}

fn warnings(bus: &str, users: &[User]) -> Vec<Warning> {
    let raw: Vec<(&str, f64)> = users.iter().filter_map(|user| Some((user.name, user.needs?))).collect();
    let too_large = raw.iter().filter(|(_, needs)| *needs > OF_CAMERA);
    let of_each = too_large.map(|(name, needs)| warn_of_one(name, *needs));
    let of_all = is_too_much(users).then(|| warn_of_all(bus, raw.iter().map(|(name, _)| *name), raw_sum(users)));
    of_each.chain(of_all).collect()
}

fn warn_of_one(name: &str, needs: f64) -> Warning {
    let (needs, most) = (in_mb(needs), in_mb(OF_CAMERA));
    Warning {
        what: format!("{name} needs {needs} MB/s, and one camera can have at most {most} of a USB 2 bus"),
        remedy: "choose a smaller size or fewer frames a second".to_owned(),
    }
}

fn warn_of_all<'a>(bus: &str, names: impl Iterator<Item = &'a str>, sum: f64) -> Warning {
    let (names, needs, most) = (list(names), in_mb(sum), in_mb(OF_BUS));
    Warning {
        what: format!("{names} need {needs} MB/s of {bus}, which carries at most {most}"),
        remedy: "choose smaller sizes or fewer frames a second, or plug one into another bus".to_owned(),
    }
}

fn note<'a>(bus: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!(
        "\n  {} share {bus}. A camera reserves its part of the bus before it starts, many of them {} of\n  \
         the {} MB/s whatever they send, JPEGs too. If that is too much for one, `watchpost run` says \
         \"no bandwidth left\".\n",
        list(names),
        in_mb(OF_CAMERA),
        in_mb(OF_BUS)
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}
