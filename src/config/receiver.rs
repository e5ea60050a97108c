//! The receiver's configuration file.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::address::{Address, End};
use super::error::Fault;
use super::link::{Format, InPattern, Inlet, InletTable, ShownAs};
use super::record::{self, Record};
use super::storage::state_dir;

/// What a receiver is to do.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where messages come from.
    pub links: Vec<Inlet>,
    /// The page.
    pub web: Web,
    /// Where every reading is kept; none: nowhere.
    pub history: Option<History>,
    /// Which frames are kept; none: no frame is.
    pub record: Option<Record>,
}

/// The `[history]` table.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The file, by its whole path; none: in this user's usual place.
    pub path: Option<PathBuf>,
}

impl History {
    /// The file. None: nothing is said of it, and this user has no usual place.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.path.clone().or_else(|| state_dir().map(|dir| dir.join("history.sqlite")))
    }
}

/// The `[web]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Where the page is served; on this machine only.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8080).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    link: Vec<Spanned<InletTable>>,
    web: Option<Spanned<Web>>,
    history: Option<Spanned<HistoryTable>>,
    record: Option<Spanned<record::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryTable {
    path: Option<PathBuf>,
    #[serde(default)]
    off: bool,
}

impl Default for Receiver {
    /// One bound pair link in the format watchpost on this machine's port 5559, the page on 8080, a history, and a frame a second recorded.
    fn default() -> Receiver {
        let address = Address::try_from("tcp://127.0.0.1:5559".to_owned());
        let end = End::Bind(address.expect("the built-in address is an address"));
        let shown_as = ShownAs::default();
        let link = Inlet { pattern: InPattern::Pair, end, format: Format::default(), shown_as, curve: None };
        Receiver {
            links: vec![link],
            web: Web { listen: default_listen() },
            history: Some(History::default()),
            record: Some(Record::unasked()),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Receiver, Fault> {
    let file: File = toml::from_str(text)?;
    let mut links = Vec::new();
    let mut shown = BTreeSet::new();
    for table in file.link {
        let span = table.span();
        let link = InletTable::check(table)?;
        if link.format == Format::Base64 && !shown.insert(link.shown_as.clone()) {
            let ShownAs { agent, camera } = &link.shown_as;
            let what = format!(
                "frames of another base64 link are shown as camera {camera} of agent {agent} already; \
                 give this link a `camera` of its own"
            );
            return Err(Fault::of("camera", span, what));
        }
        links.push(link);
    }
    if links.is_empty() {
        return Err(Fault::of_file("nothing to receive from: there is no [[link]] table"));
    }
    let web = file.web.map_or(Ok(Web { listen: default_listen() }), checked_web)?;
    let history = file.history.map_or(Ok(Some(History::default())), checked_history)?;
    let record = file.record.map_or(Ok(None), Record::check)?;
    Ok(Receiver { links, web, history, record })
}

fn checked_web(web: Spanned<Web>) -> Result<Web, Fault> {
    let span = web.span();
    let web = web.into_inner();
    if !web.listen.ip().is_loopback() {
        let what = format!(
            "{} can be reached from other machines, and the page asks nobody who they are; \
             write \"127.0.0.1:8080\" and go there through `ssh -L 8080:127.0.0.1:8080 THIS-HOST`",
            web.listen
        );
        return Err(Fault::of("listen", span, what));
    }
    Ok(web)
}

fn checked_history(history: Spanned<HistoryTable>) -> Result<Option<History>, Fault> {
    let span = history.span();
    let HistoryTable { path, off } = history.into_inner();
    if let Some(path) = path.as_ref().filter(|path| !path.is_absolute() || path.file_name().is_none()) {
        let what = format!(
            "\"{}\" is not a file's whole path; write for example \"/var/lib/watchpost/history.sqlite\"",
            path.display()
        );
        return Err(Fault::of("path", span, what));
    }
    Ok((!off).then_some(History { path }))
}
