//! The receiver's configuration file.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::address::{Address, Endpoint};
use super::curve::Agents;
use super::error::Fault;
use super::limits::Limits;
use super::link::{Format, InPattern, Inlet, InletTable, ShownAs};
use super::period::Period;
use super::record::{self, Record};
use super::storage::state_dir;
use super::toml_error;
use super::web::Web;

/// The receiver's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Its links to agents.
    pub links: Vec<Inlet>,
    /// The page.
    pub web: Web,
    /// Where readings are stored; `None` without a history.
    pub history: Option<History>,
    /// Which frames are recorded; `None` without recordings.
    pub record: Option<Record>,
    /// What agents may use of the machine.
    pub limits: Limits,
}

impl Receiver {
    /// Returns the path of the file that remembers agents: next to the history, or in the user's state directory.
    #[must_use]
    pub fn agents_file(&self) -> Option<PathBuf> {
        match &self.history {
            Some(history) => Some(history.file()?.with_extension("agents.json")),
            None => Some(state_dir()?.join("agents.json")),
        }
    }

    /// Whether the two differ at most in their links.
    #[must_use]
    pub fn is_but_for_links(&self, other: &Receiver) -> bool {
        let others = |one: &Receiver| Receiver { links: Vec::new(), ..one.clone() };
        others(self) == others(other)
    }
}

/// The `[history]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Absolute path of the file; by default in the user's state directory.
    pub path: Option<PathBuf>,
    /// Older readings are deleted. Their minute and hour averages stay.
    pub keep: Period,
    /// The most series of all agents.
    pub max_series: NonZeroU32,
    /// The most series of one agent.
    pub max_series_per_agent: NonZeroU32,
}

impl Default for History {
    fn default() -> History {
        let (max_series, max_series_per_agent) = (default_max_series(), default_max_series_per_agent());
        History { path: None, keep: default_keep(), max_series, max_series_per_agent }
    }
}

fn default_max_series() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(999_999)
}

fn default_max_series_per_agent() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(9_999)
}

/// About 1.2 GB for five quantities a second.
fn default_keep() -> Period {
    Period(Duration::from_hours(90 * 24))
}

impl History {
    /// Returns the path of the file, or `None` if it is not configured and the user has no state directory.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.path.clone().or_else(|| state_dir().map(|dir| dir.join("history.sqlite")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    link: Vec<Spanned<InletTable>>,
    web: Option<Spanned<Web>>,
    history: Option<Spanned<HistoryTable>>,
    record: Option<Spanned<record::Table>>,
    limits: Option<Spanned<Limits>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryTable {
    path: Option<PathBuf>,
    #[serde(default = "default_keep")]
    keep: Period,
    #[serde(default = "default_max_series")]
    max_series: NonZeroU32,
    #[serde(default = "default_max_series_per_agent")]
    max_series_per_agent: NonZeroU32,
    #[serde(default)]
    off: bool,
}

impl Default for Receiver {
    /// A bound pair link in the format watchpost on port 5559 of this machine, the page on port 8080, a history, and
    /// recordings with one frame a second.
    fn default() -> Receiver {
        let address = Address::try_from("tcp://127.0.0.1:5559".to_owned());
        let end = Endpoint::Bind(address.expect("the built-in address is an address"));
        let shown_as = ShownAs::default();
        let (format, agents) = (Format::default(), Agents::new());
        let link = Inlet { pattern: InPattern::Pair, end, format, shown_as, curve: None, agents };
        let (web, history, record) = (Web::default(), Some(History::default()), Some(Record::unasked()));
        Receiver { links: vec![link], web, history, record, limits: Limits::default() }
    }
}

pub(super) fn parse(text: &str) -> Result<Receiver, Fault> {
    let file: File = toml_error::parse(text)?;
    let mut links = Vec::new();
    let mut shown = BTreeSet::new();
    for table in file.link {
        let span = table.span();
        let link = InletTable::check(table)?;
        if link.format == Format::Base64 && !shown.insert(link.shown_as.clone()) {
            let ShownAs { agent, camera } = &link.shown_as;
            let what = format!(
                "another base64 link already has the camera {camera} of agent {agent}; \
                 give this link another `camera`"
            );
            return Err(Fault::of("camera", span, what));
        }
        links.push(link);
    }
    if links.is_empty() {
        return Err(Fault::of_file(
            "nothing to receive from: there is no [[link]] table; add one, for example the default\n\n    [[link]]\n    pattern = \"pair\"\n    bind = \"tcp://127.0.0.1:5559\"",
        ));
    }
    let web = file.web.map_or(Ok(Web::default()), Web::check)?;
    let history = file.history.map_or(Ok(Some(History::default())), checked_history)?;
    let record = file.record.map_or(Ok(None), Record::check)?;
    let limits = file.limits.map_or(Ok(Limits::default()), Limits::check)?;
    Ok(Receiver { links, web, history, record, limits })
}

fn checked_history(history: Spanned<HistoryTable>) -> Result<Option<History>, Fault> {
    let span = history.span();
    let HistoryTable { path, keep, max_series, max_series_per_agent, off } = history.into_inner();
    if let Some(path) = path.as_ref().filter(|path| !path.is_absolute() || path.file_name().is_none()) {
        let what = format!(
            "\"{}\" is not a whole path of a file; write for example \"/var/lib/watchpost/history.sqlite\"",
            path.display()
        );
        return Err(Fault::of("path", span, what));
    }
    Ok((!off).then_some(History { path, keep, max_series, max_series_per_agent }))
}
