//! Describes what a configuration means on this machine.

mod sizing;

use std::fmt::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::Error;
use nix::unistd::{AccessFlags, access};

use crate::agent::camera::{needs_video, video};
use crate::agent::spool::NO_PATH;
use crate::auth::certificate::{Allowed, KeyPair};
use crate::auth::token::Tokens;
use crate::config::{
    Agent, Bytes, Camera, Curve, Either, Endpoint, Flip, Outlet, Quantity, Receiver, Record, Rotate, Source,
    VideoSource, Web,
};
use crate::host::Room;

/// The recorder deletes old recordings early while the disk is more than 90 % full. `check` and `doctor` warn from this
/// percentage on.
pub const RECORDINGS_NEARLY_FULL: u64 = 85;

/// What a configuration means.
pub struct Meaning {
    /// A line for each part, with its state, and errors and warnings below it.
    pub text: String,
    /// Number of errors.
    pub errors: usize,
}

/// Describes a configuration.
#[must_use]
pub fn describe(config: &Either) -> Meaning {
    match config {
        Either::Agent(agent) => describe_agent(agent),
        Either::Receiver(receiver) => describe_receiver(receiver),
    }
}

fn describe_agent(agent: &Agent) -> Meaning {
    let mut meaning = Meaning { text: format!("agent {}\n", agent.name), errors: 0 };
    for port in &agent.serial {
        let fields = if port.fields.is_empty() { String::new() } else { format!(", {}", port.fields.join(", ")) };
        let what = format!("{} at {} baud{fields}", port.port.display(), port.baud);
        let is_device = port.port.metadata().map_or(true, |file| file.file_type().is_char_device());
        let there = if is_device { probe(&port.port) } else { "exists, but is not a serial port" };
        meaning.line("port", &port.name, &what, there);
    }
    for quantity in &agent.quantities {
        meaning.line("quantity", &quantity.name, &describe_quantity(quantity), "");
    }
    for camera in &agent.cameras {
        let there = match (&camera.source, video::is_installed()) {
            (Source::Video(_), Err(missing)) if needs_video(camera) => missing.to_string(),
            (Source::Device(path) | Source::Video(VideoSource::File(path)), _) => probe(path).to_owned(),
            (Source::Video(_), _) => "not checked here".to_owned(),
            (Source::Pattern, _) => "needs no device".to_owned(),
        };
        let size = camera.size.map(|size| format!(", {size}")).unwrap_or_default();
        let view = describe_view(camera);
        let what = format!("{}{size}{view}, at most {} frames a second", camera.source, camera.fps.get());
        meaning.line("camera", &camera.name, &what, &there);
    }
    describe_footage(agent, &mut meaning);
    for link in &agent.links {
        let cameras = link.cameras.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        let cameras = if cameras.is_empty() { "no cameras".to_owned() } else { format!("cameras {cameras}") };
        let pattern = format!("{:?}", link.pattern).to_lowercase();
        let what = format!("{pattern}, format {}, {cameras}{}", link.format, link.secrecy());
        meaning.link(&link.end, &what, link.curve.as_ref(), "not connected here");
        if let Some(key) = link.curve.as_ref().map(Curve::own_name).filter(|key| *key != *agent.name) {
            let what = format!(
                "a receiver permits only the agent {key} for {key}.key; rename that file to {name}.key there, or add \
                 `agents = {{ \"{key}\" = [\"{name}\"] }}` to its curve table",
                name = agent.name
            );
            meaning.remark("warning", &what);
        }
    }
    describe_spool(agent, &mut meaning);
    meaning
}

fn describe_spool(agent: &Agent, meaning: &mut Meaning) {
    let mut there = Ok("");
    let (place, what) = match &agent.spool {
        _ if !agent.links.iter().any(Outlet::is_acknowledged) => {
            ("none".to_owned(), "no link has the pattern pair or dealer and the format watchpost".to_owned())
        }
        None => ("none".to_owned(), "Readings that no receiver takes are lost".to_owned()),
        Some(spool) => {
            let old = spool.keep.map(|keep| format!(", none older than {keep}")).unwrap_or_default();
            there = directory(&spool.path, false);
            (spool.path.display().to_string(), format!("at most {}{old}", spool.max_size))
        }
    };
    meaning.path("spool", &place, &what, there);
    if agent.wants_spool_path() {
        meaning.remark("warning", NO_PATH);
    }
}

/// The agent's file has sizes and rates of the cameras, and the receiver's file says how much is recorded.
fn describe_footage(agent: &Agent, meaning: &mut Meaning) {
    let mut total = Bytes(0);
    let mut unknown = Vec::new();
    for camera in &agent.cameras {
        match sizing::per_day(camera) {
            Some(Bytes(bytes)) => {
                total.0 += bytes;
                meaning.line("footage", &camera.name, &format!("about {} a day", Bytes(bytes)), "");
            }
            None => unknown.push(&*camera.name),
        }
    }
    let without = match unknown.as_slice() {
        [] => String::new(),
        names => format!(", without {}, where `size` is not set", names.join(", ")),
    };
    if total.0 > 0 {
        let what = format!("about {total} a day if a receiver records every frame{without}");
        meaning.line("footage", "together", &what, "");
    }
}

fn describe_view(camera: &Camera) -> String {
    let turned = match camera.rotate {
        Rotate::By0 => "",
        Rotate::By90 => ", rotated by 90 degrees",
        Rotate::By180 => ", rotated by 180 degrees",
        Rotate::By270 => ", rotated by 270 degrees",
    };
    let flipped = match camera.flip {
        None => "",
        Some(Flip::Horizontal) => ", mirrored left to right",
        Some(Flip::Vertical) => ", mirrored top to bottom",
    };
    let crop = camera.crop.map(|crop| format!(", cropped to {crop}")).unwrap_or_default();
    format!("{turned}{flipped}{crop}")
}

fn describe_quantity(quantity: &Quantity) -> String {
    let settings = [
        quantity.label.as_ref().map(|label| format!("labelled {label}")),
        quantity.scale.total_cmp(&1.0).is_ne().then(|| format!("times {}", quantity.scale)),
        quantity.offset.total_cmp(&0.0).is_ne().then(|| format!("plus {}", quantity.offset)),
        quantity.unit.as_ref().map(|unit| format!("in {unit}")),
        quantity.min.map(|min| format!("at least {min}")),
        quantity.max.map(|max| format!("at most {max}")),
    ];
    let settings: Vec<String> = settings.into_iter().flatten().collect();
    if settings.is_empty() { "no settings".to_owned() } else { settings.join(", ") }
}

fn describe_receiver(receiver: &Receiver) -> Meaning {
    let mut meaning = Meaning { text: "receiver\n".to_owned(), errors: 0 };
    for link in &receiver.links {
        let pattern = format!("{:?}", link.pattern).to_lowercase();
        let what = format!("{pattern}, format {}{}", link.format, link.secrecy());
        meaning.link(&link.end, &what, link.curve.as_ref(), "not connected here");
    }
    describe_web(&receiver.web, &mut meaning);
    let mut there = Ok("");
    let (place, what) = match receiver.history.as_ref().map(|history| (history.file(), history.keep)) {
        None => ("off".to_owned(), "no reading is kept".to_owned()),
        Some((None, _)) => ("nowhere".to_owned(), "this user has no home; set [history] path".to_owned()),
        Some((Some(file), keep)) => {
            there = directory(&file, false);
            (file.display().to_string(), format!("every reading is kept, for {keep}"))
        }
    };
    meaning.path("history", &place, &what, there);
    describe_record(receiver, &mut meaning);
    meaning
}

fn describe_web(web: &Web, meaning: &mut Meaning) {
    let place = format!("http://{}/", web.listen);
    let reach = if web.listen.ip().is_loopback() { "on this machine only" } else { "not encrypted" };
    match (&web.token_file, &web.view_token_file) {
        (None, _) => meaning.line("page", &place, reach, "without a login"),
        (Some(_), None) => meaning.line("page", &place, reach, "asks for a token"),
        (Some(_), Some(_)) => meaning.line("page", &place, reach, "asks for a token; another one permits viewing only"),
    }
    if let Err(error) = Tokens::read(web) {
        meaning.errors += 1;
        meaning.remark("error", &format!("{error:#}"));
    }
}

fn describe_record(receiver: &Receiver, meaning: &mut Meaning) {
    let Some(record) = &receiver.record else {
        meaning.line("record", "off", "no frame is recorded; add a [record] table to record", "");
        return;
    };
    let Some(dir) = record.place() else {
        meaning.line("record", "nowhere", "this user has no home; set [record] dir", "");
        return;
    };
    let which = match record.cameras.len() {
        0 => "every camera".to_owned(),
        1 => "one camera".to_owned(),
        number => format!("{number} cameras"),
    };
    let rate = record.fps.map_or("every frame".to_owned(), |fps| format!("at most {} frames a second", fps.get()));
    let what =
        format!("{which}, {rate}, in files of {}, for {}, at most {}", record.segment, record.keep, record.max_size);
    meaning.path("record", &dir.display().to_string(), &what, directory(&dir, true));
    describe_capacity(record, meaning);
    if let Some(used) =
        Room::of_disk(&dir).and_then(|room| room.used_percent()).filter(|used| *used >= RECORDINGS_NEARLY_FULL)
    {
        let what = format!("its disk is {used} % full; above 90 %, old recordings are deleted before `keep`");
        meaning.remark("warning", &what);
    }
}

/// The receiver's file does not say how large frames are, so this is for a camera with the default size and quality.
fn describe_capacity(record: &Record, meaning: &mut Meaning) {
    let cameras = record.cameras.len().max(1);
    let (size, fps, Bytes(bytes)) = sizing::default_per_day(record.fps);
    let per_day = Bytes(bytes * cameras as u64);
    let (time, words) = sizing::lasts(record.max_size, per_day);
    let first = if time < record.keep.0 { format!(", less than `keep` ({})", record.keep) } else { String::new() };
    let cameras = if cameras == 1 { "one camera".to_owned() } else { format!("{cameras} cameras") };
    let what = format!("lasts about {words}{first}, with {cameras} of {size} at {fps} frames/s ({per_day} a day)");
    meaning.line("capacity", &record.max_size.to_string(), &what, "");
}

impl Meaning {
    fn line(&mut self, kind: &str, name: &str, what: &str, there: &str) {
        let there = if there.is_empty() { String::new() } else { format!(": {there}") };
        writeln!(self.text, "  {kind:<8} {name:<12} {what}{there}").expect("writing to a String cannot fail");
    }

    /// Adds a line for a path, with its error below it.
    fn path(&mut self, kind: &str, place: &str, what: &str, there: Result<&str, String>) {
        self.line(kind, place, what, there.as_ref().map_or("", |there| there));
        if let Err(error) = there {
            self.errors += 1;
            self.remark("error", &error);
        }
    }

    /// Adds a line for a link, with errors and warnings about its keys below it.
    fn link(&mut self, link: &Endpoint, what: &str, curve: Option<&Curve>, state: &str) {
        match curve.map_or(Ok(String::new()), keys) {
            Ok(who) => self.line("link", &end(link), what, &format!("{who}{state}")),
            Err(errors) => {
                self.line("link", &end(link), what, "");
                self.errors += errors.len();
                for error in errors {
                    self.remark("error", &format!("{error:#}"));
                }
            }
        }
        if let Some(what) = unknown_interface(link) {
            self.remark("warning", &what);
        }
        if let Some(Curve::Server { secret_key_file, allowed_keys_dir }) = curve
            && is_in(secret_key_file, allowed_keys_dir)
        {
            let what = "also contains this end's own secret key, so every key there is permitted; use a separate directory \
                        with only the .key files of permitted peers";
            self.remark("warning", &format!("`allowed_keys_dir` {} {what}", allowed_keys_dir.display()));
        }
    }

    fn remark(&mut self, kind: &str, what: &str) {
        writeln!(self.text, "  {kind}: {what}").expect("writing to a String cannot fail");
    }
}

/// Warns that a link binds to a name that no network interface of this machine has.
#[must_use]
pub fn unknown_interface(link: &Endpoint) -> Option<String> {
    let Endpoint::Bind(address) = link else { return None };
    let name = address.host_name().filter(|name| !Path::new("/sys/class/net").join(name).exists())?;
    Some(format!(
        "this machine has no network interface \"{name}\", and a link cannot bind to the name of a host; \
         write the address, `*` for every address, or the name of an interface: `ip link` lists them"
    ))
}

fn end(end: &Endpoint) -> String {
    match end {
        Endpoint::Bind(address) => format!("bound to {address}"),
        Endpoint::Connect(address) => format!("to {address}"),
    }
}

/// Returns which peers the keys of a link permit, if it binds.
///
/// # Errors
/// Everything that is wrong with the keys.
pub fn keys(curve: &Curve) -> Result<String, Vec<Error>> {
    let own = KeyPair::read(curve.secret_key_file());
    let others = match (curve, &own) {
        (Curve::Server { allowed_keys_dir, .. }, _) => Allowed::open(allowed_keys_dir).map(|allowed| {
            let nobody = if allowed.is_empty() { ", so no peer can connect yet" } else { "" };
            format!("permits {allowed}{nobody}; ")
        }),
        (Curve::Client { server_key, .. }, Ok(own)) => own.server(server_key).map(|_| String::new()),
        (Curve::Client { server_key, .. }, Err(_)) => server_key.read().map(|_| String::new()),
    };
    match (own, others) {
        (Ok(_), Ok(who)) => Ok(who),
        (own, others) => Err(own.err().into_iter().chain(others.err()).collect()),
    }
}

/// Whether a file is in a directory, after resolving symbolic links.
fn is_in(file: &Path, dir: &Path) -> bool {
    let parent = |path: &Path| Some(path.canonicalize().ok()?.parent()?.to_owned());
    parent(file).is_some_and(|parent| dir.canonicalize().is_ok_and(|dir| dir == parent))
}

/// Returns whether a file can be created at this path, or in it if it is a directory's path.
fn directory(path: &Path, is_directory: bool) -> Result<&'static str, String> {
    let there = nearest(path, is_directory)?;
    let may_write = access(&there, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    Ok(match (may_write, path.exists()) {
        (true, true) => "exists",
        (true, false) => "will be created",
        (false, _) => "this user may not write there",
    })
}

/// Returns the nearest existing directory for a file, or for files if it is a directory's path.
///
/// # Errors
/// If the nearest existing path is not a directory.
pub fn nearest(path: &Path, is_directory: bool) -> Result<PathBuf, String> {
    let there = path.ancestors().skip(usize::from(!is_directory)).find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        return Err(format!("{} cannot be created: {} is not a directory", path.display(), there.display()));
    }
    Ok(there.to_owned())
}

/// Checks a device without opening it, because opening a port resets many boards.
fn probe(path: &Path) -> &'static str {
    if !path.exists() {
        "not connected; it will be used when it appears"
    } else if access(path, AccessFlags::R_OK | AccessFlags::W_OK).is_err() && !path.is_file() {
        "exists, but this user may not use it"
    } else {
        "exists"
    }
}
