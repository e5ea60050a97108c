//! `[[link]]` tables of the agent and of the receiver.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::address::{Address, Endpoint};
use super::curve::{Agents, Curve, CurveTable, InletCurveTable};
use super::error::Fault;
use crate::name::Name;

/// The format of messages on a link. The module `wire` implements each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Three parts: topic, header and JPEG.
    #[default]
    Watchpost,
    /// One part: the header with the JPEG in it.
    Json,
    /// One part: only the JPEG, as base64.
    Base64,
    /// The format of imagezmq's `ImageHub`.
    Imagezmq,
}

impl fmt::Display for Format {
    /// The value in the configuration file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Watchpost => "watchpost",
            Format::Json => "json",
            Format::Base64 => "base64",
            Format::Imagezmq => "imagezmq",
        })
    }
}

/// A link of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// ZeroMQ socket pattern.
    pub pattern: OutPattern,
    /// Whether it binds or connects, and the address.
    pub end: Endpoint,
    /// Format of messages.
    pub format: Format,
    /// The cameras whose frames it sends; by default all.
    pub cameras: Vec<Name>,
    /// The keys of an encrypted link.
    pub curve: Option<Curve>,
}

impl Outlet {
    /// Whether its receiver can acknowledge readings.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.pattern, OutPattern::Pair | OutPattern::Dealer) && self.format == Format::Watchpost
    }
}

/// The socket patterns of an agent's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutPattern {
    /// One peer, both directions.
    Pair,
    /// Any number of subscribers, one-way.
    Pub,
    /// A receiver that serves any number of agents, both directions.
    Dealer,
    /// A hub that replies to each message, such as imagezmq's.
    Req,
}

/// A link of the receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Inlet {
    /// ZeroMQ socket pattern.
    pub pattern: InPattern,
    /// Whether it binds or connects, and the address.
    pub end: Endpoint,
    /// Format of messages.
    pub format: Format,
    /// Agent and camera of frames in a format without names (base64).
    pub shown_as: ShownAs,
    /// The keys of an encrypted link.
    pub curve: Option<Curve>,
    /// The agents that may use each key.
    pub agents: Agents,
}

/// Agent and camera of frames without names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownAs {
    /// The agent's name.
    pub agent: Name,
    /// The camera's name.
    pub camera: Name,
}

impl Default for ShownAs {
    fn default() -> ShownAs {
        ShownAs { agent: Name::nearest("agent"), camera: Name::nearest("camera") }
    }
}

/// The socket patterns of a receiver's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InPattern {
    /// One peer, both directions.
    Pair,
    /// Subscribes to all messages.
    Sub,
    /// Any number of agents, both directions.
    Router,
}

impl Outlet {
    /// Returns a remark for its address: whether it is encrypted. Empty for an unencrypted link within this machine.
    #[must_use]
    pub fn secrecy(&self) -> &'static str {
        secrecy(&self.end, self.curve.as_ref())
    }
}

impl Inlet {
    /// Whether a peer with the key of this name may send as the agent.
    #[must_use]
    pub fn permits(&self, key: &str, agent: &Name) -> bool {
        *key == **agent || self.agents.get(key).is_some_and(|agents| agents.contains(agent))
    }

    /// As [`Outlet::secrecy`].
    #[must_use]
    pub fn secrecy(&self) -> &'static str {
        secrecy(&self.end, self.curve.as_ref())
    }
}

fn secrecy(end: &Endpoint, curve: Option<&Curve>) -> &'static str {
    match curve {
        Some(_) => ", encrypted",
        None if end.address().is_local() => "",
        None => ", not encrypted",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutletTable {
    pattern: OutPattern,
    bind: Option<Address>,
    connect: Option<Address>,
    #[serde(default)]
    format: Format,
    cameras: Option<Vec<Name>>,
    curve: Option<Spanned<CurveTable>>,
    #[serde(default)]
    plaintext: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InletTable {
    pattern: InPattern,
    bind: Option<Address>,
    connect: Option<Address>,
    #[serde(default)]
    format: Format,
    agent: Option<Name>,
    camera: Option<Name>,
    curve: Option<Spanned<InletCurveTable>>,
    #[serde(default)]
    plaintext: bool,
}

impl OutletTable {
    pub(super) fn check(table: Spanned<OutletTable>, all: &[Name]) -> Result<Outlet, Fault> {
        let span = table.span();
        let table = table.into_inner();
        let end = end(table.bind, table.connect, &span)?;
        let curve = curve(table.curve, table.plaintext, &end, &span)?;
        if let (OutPattern::Dealer | OutPattern::Req, Endpoint::Bind(_)) = (table.pattern, &end) {
            let what =
                "a dealer or req link connects to one other end, which binds; write `connect = \"tcp://HOST:PORT\"`";
            return Err(Fault::of("bind", span, what.into()));
        }
        let named = table.cameras.is_some();
        let cameras = table.cameras.unwrap_or_else(|| all.to_vec());
        if let Some(unknown) = cameras.iter().find(|name| !all.contains(name)) {
            let known = all.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none" } else { &known };
            return Err(Fault::of(
                "cameras",
                span,
                format!("no camera is named \"{unknown}\"; the cameras are: {known}"),
            ));
        }
        if table.format == Format::Base64 && cameras.len() > 1 {
            let what = "base64 carries no names, so the receiver cannot tell these cameras apart; \
                        write one, as in `cameras = [\"door\"]`, and a link for each of the others";
            return Err(Fault::of(if named { "cameras" } else { "format" }, span, what.into()));
        }
        Ok(Outlet { pattern: table.pattern, end, format: table.format, cameras, curve })
    }
}

impl InletTable {
    pub(super) fn check(table: Spanned<InletTable>) -> Result<Inlet, Fault> {
        let span = table.span();
        let table = table.into_inner();
        let end = end(table.bind, table.connect, &span)?;
        let (keys, agents) = table.curve.map(InletCurveTable::split).unzip();
        let curve = curve(keys, table.plaintext, &end, &span)?;
        if let (InPattern::Router, Endpoint::Connect(_)) = (table.pattern, &end) {
            let what = "a router link binds, and its agents connect; write `bind = \"tcp://ADDRESS:PORT\"`";
            return Err(Fault::of("connect", span, what.into()));
        }
        if table.pattern == InPattern::Router && table.format == Format::Base64 {
            let what = "base64 carries no names, so a router cannot tell its agents apart; use another format";
            return Err(Fault::of("format", span, what.into()));
        }
        if table.format != Format::Base64 && (table.agent.is_some() || table.camera.is_some()) {
            let what = "`agent` and `camera` are only for the format \"base64\", which carries no names; remove them";
            let key = if table.agent.is_some() { "agent" } else { "camera" };
            return Err(Fault::of(key, span, what.into()));
        }
        let shown_as = ShownAs {
            agent: table.agent.unwrap_or_else(|| ShownAs::default().agent),
            camera: table.camera.unwrap_or_else(|| ShownAs::default().camera),
        };
        Ok(Inlet {
            pattern: table.pattern,
            end,
            format: table.format,
            shown_as,
            curve,
            agents: agents.unwrap_or_default(),
        })
    }
}

fn end(bind: Option<Address>, connect: Option<Address>, span: &Range<usize>) -> Result<Endpoint, Fault> {
    let (key, end) = match (bind, connect) {
        (Some(address), None) => ("bind", Endpoint::Bind(address)),
        (None, Some(address)) => ("connect", Endpoint::Connect(address)),
        (None, None) => {
            let what = "a link needs an address: write `connect = \"tcp://HOST:PORT\"` or `bind = …`";
            return Err(Fault::of("pattern", span.clone(), what.into()));
        }
        (Some(_), Some(_)) => {
            let what = "a link either binds or connects; remove one of `bind` and `connect`";
            return Err(Fault::of("bind", span.clone(), what.into()));
        }
    };
    let is_wild = |address: &str| address.ends_with(":*") || address.starts_with("tcp://*");
    if matches!(&end, Endpoint::Connect(address) if is_wild(address.as_str())) {
        let what = "`*` works only with `bind`; write host and port of the other end";
        return Err(Fault::of(key, span.clone(), what.into()));
    }
    if matches!(&end, Endpoint::Bind(address) if address.as_str().starts_with("tcp://localhost:")) {
        let what = "a link binds to an address, not to a name; write 127.0.0.1 for this machine";
        return Err(Fault::of(key, span.clone(), what.into()));
    }
    if let Endpoint::Bind(address) = &end
        && let Some(host) = address.host_name().filter(|host| !may_be_interface(host))
    {
        let what = format!(
            "a link binds to an address, and \"{host}\" is the name of a host; \
             write the address, `*` for every address, or the name of a network interface"
        );
        return Err(Fault::of(key, span.clone(), what));
    }
    Ok(end)
}

/// Whether Linux allows a network interface of this name, as people name them: `eth0`, `br-lan`, or `eth0.100` of a VLAN.
fn may_be_interface(name: &str) -> bool {
    const MAX_BYTES: usize = 15;
    let has_domain = name.rsplit_once('.').is_some_and(|(_, last)| last.contains(char::is_alphabetic));
    name.len() <= MAX_BYTES && !has_domain
}

/// Checks that a link that leaves this machine is encrypted, unless the file permits plaintext.
fn curve(
    table: Option<Spanned<CurveTable>>,
    plaintext: bool,
    end: &Endpoint,
    span: &Range<usize>,
) -> Result<Option<Curve>, Fault> {
    match table {
        Some(_) if plaintext => {
            let what = "this link has a curve table, so it is encrypted; remove one of the two";
            Err(Fault::of("plaintext", span.clone(), what.into()))
        }
        Some(table) => CurveTable::check(table, end).map(Some),
        None if plaintext || end.address().is_local() => Ok(None),
        None => {
            let key = if matches!(end, Endpoint::Bind(_)) { "bind" } else { "connect" };
            let what = format!(
                "{} is not on this machine, and others could read and change messages on the way; run `watchpost keygen`, \
                 which creates keys and shows how to configure them; or, in a network that only you use, add the line \
                 `plaintext = true` to this link",
                end.address()
            );
            Err(Fault::of(key, span.clone(), what))
        }
    }
}
