//! Links: keys, the other ends, and addresses of this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::who::{Use, Who};
use super::{ANSWER, Findings};
use crate::auth::token::Tokens;
use crate::cmd::check;
use crate::config::{Address, Curve, Endpoint, Web};
use crate::link::{Link, LinkOptions, Pattern};

/// A bound end that knows a key and does not want it says nothing, and the connection ends when libzmq's time for a handshake
/// does, three seconds after its begin.
const GREETING: Duration = Duration::from_secs(5);

/// A link of the configuration.
pub(super) struct Wanted<'a> {
    pub(super) pattern: Pattern,
    pub(super) end: &'a Endpoint,
    pub(super) curve: Option<&'a Curve>,
}

impl Wanted<'_> {
    pub(super) async fn examine(&self, users: &[Who], findings: &mut Findings<'_>) {
        let what = format!("link {}", self.end.address());
        let may_open = self.examine_keys(&what, users, findings);
        match self.end {
            Endpoint::Bind(address) => match listen_at(address) {
                Some(Err((cause, remedy))) => findings.error(&format!("{what}: {cause}"), remedy),
                Some(Ok(how)) => findings.ok(&format!("{what}: {how}")),
                None => findings.ok(&what),
            },
            Endpoint::Connect(address) => match reach(address).await {
                Err(cause) => {
                    let remedy = "is the other end on and running, the address right, no firewall between?";
                    findings.error(&format!("{what}: {cause}"), remedy);
                }
                Ok(()) if may_open => self.greet(&what, findings).await,
                Ok(()) => findings.ok(&format!("{what}: somebody is there")),
            },
        }
    }

    /// Gives whether this user can use them.
    fn examine_keys(&self, what: &str, users: &[Who], findings: &mut Findings<'_>) -> bool {
        let Some(curve) = self.curve else { return true };
        let secret = curve.secret_key_file();
        let Err(errors) = check::keys(curve) else {
            if let Some(user) = users.iter().find(|user| !user.may(Use::Read, secret)) {
                let (file, user) = (secret.display(), &user.name);
                findings.error(&format!("{what}: {user} may not read {file}"), &format!("sudo chown {user} {file}"));
            }
            return true;
        };
        // What belongs to the service's user nobody else may read.
        let is_the_services =
            !may(users.first(), secret) && users.iter().skip(1).any(|user| user.may(Use::Read, secret));
        if is_the_services {
            findings.ok(&format!("{what}: {} is the service's; `sudo` looks into it", secret.display()));
        } else {
            for error in errors {
                findings.error_of(what, &format!("{error:#}"));
            }
        }
        false
    }

    /// Shakes hands with whoever is there, and leaves.
    async fn greet(&self, what: &str, findings: &mut Findings<'_>) {
        let options = LinkOptions {
            pattern: self.pattern,
            end: self.end.clone(),
            curve: self.curve.cloned(),
            refused: Arc::new(|_| {}),
        };
        let mut link = match options.open() {
            Ok(link) => link,
            Err(error) => return findings.error_of(what, &format!("{error:#}")),
        };
        let encrypted = if self.curve.is_some() { ", encrypted" } else { "" };
        match timeout(GREETING, hands(&mut link)).await {
            Ok(Ok(())) => findings.ok(&format!("{what}: the other end is there{encrypted}")),
            Ok(Err(trouble)) => findings.error_of(what, &trouble),
            Err(_) => findings.error(
                &format!("{what}: what is there gave no answer for {} s", GREETING.as_secs()),
                "is it watchpost, or a program that uses ZeroMQ, and not another one's port?",
            ),
        }
        link.close().await;
    }
}

fn may(user: Option<&Who>, file: &Path) -> bool {
    user.is_some_and(|user| user.may(Use::Read, file))
}

/// Waits until the other side is content, or says why it is not.
async fn hands(link: &mut Link) -> Result<(), String> {
    while link.peers() == 0 {
        if let Some(trouble) = link.refusal_reason() {
            return Err(trouble.replacen(": ", "; ", 1));
        }
        link.changed().await.map_err(|error| format!("{error:#}"))?;
    }
    Ok(())
}

/// Whether somebody is at the address.
async fn reach(address: &Address) -> Result<(), String> {
    let no_answer = |what: &str| format!("{what} for {} s", ANSWER.as_secs());
    let Some((host, port)) = address.host_and_port() else {
        let path = address.as_str().trim_start_matches("ipc://");
        return UnixStream::connect(path).await.map(drop).map_err(|error| format!("nobody is there: {error}"));
    };
    let port = port.parse().unwrap_or(0);
    let found = timeout(ANSWER, lookup_host((host, port))).await;
    let found = found.map_err(|_| no_answer("no name server had an answer"))?;
    let places: Vec<SocketAddr> = found.map_err(|_| format!("{host} has no address"))?.collect();
    match timeout(ANSWER, TcpStream::connect(&*places)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err("nobody listens there".to_owned()),
        Ok(Err(error)) => Err(format!("it cannot be reached: {error}")),
        Err(_) => Err(no_answer("it gave no answer")),
    }
}

/// Whether the address is one of this machine and may be used; none: that cannot be known.
fn listen_at(address: &Address) -> Option<Result<&'static str, (String, &'static str)>> {
    let (host, port) = address.host_and_port()?;
    let host: IpAddr = if host == "*" { Ipv4Addr::UNSPECIFIED.into() } else { host.parse().ok()? };
    Some(listen((host, port.parse().unwrap_or(0)).into()))
}

fn listen(place: SocketAddr) -> Result<&'static str, (String, &'static str)> {
    match TcpListener::bind(place) {
        Ok(_) => Ok("free"),
        Err(error) => match error.kind() {
            ErrorKind::AddrInUse => Ok("in use, by watchpost itself if it runs"),
            ErrorKind::AddrNotAvailable => {
                Err((format!("{} is no address of this machine", place.ip()), "`ip address` lists those that are"))
            }
            ErrorKind::PermissionDenied => {
                Err((format!("port {} is the administrator's", place.port()), "choose one from 1024 on"))
            }
            _ => Err((error.to_string(), "choose another address")),
        },
    }
}

pub(super) fn examine_page(web: &Web, findings: &mut Findings<'_>) {
    let what = format!("page http://{}/", web.listen);
    if let Err(error) = Tokens::read(web) {
        findings.error_of(&what, &format!("{error:#}"));
    }
    match listen(web.listen) {
        Err((cause, remedy)) => findings.error(&format!("{what}: {cause}"), remedy),
        Ok(how) => findings.ok(&format!("{what}: {how}")),
    }
}
