//! Links: keys, the other ends, and addresses to bind.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::user::{Access, User};
use super::{Findings, RESPONSE_TIMEOUT};
use crate::auth::token::Tokens;
use crate::cmd::check;
use crate::config::{Address, Curve, Endpoint, Web};
use crate::link::{Link, LinkOptions, Pattern};

/// Limit of a handshake. A bound end does not answer a key that it refuses, and libzmq closes that connection after three
/// seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A link of the configuration.
pub(super) struct ConfiguredLink<'a> {
    pub(super) pattern: Pattern,
    pub(super) end: &'a Endpoint,
    pub(super) curve: Option<&'a Curve>,
}

/// Whether a link's keys can be used for a handshake.
#[derive(PartialEq, Eq)]
enum Keys {
    Usable,
    /// Only the service's user may read them.
    OnlyForService,
    Unusable,
}

impl ConfiguredLink<'_> {
    pub(super) async fn examine(&self, users: &[User], findings: &mut Findings<'_>) {
        let what = format!("link {}", self.end.address());
        let keys = self.examine_keys(&what, users, findings);
        if let Some(unknown) = check::unknown_interface(self.end) {
            return findings.error_of(&what, &unknown);
        }
        match self.end {
            Endpoint::Bind(address) => match listen_at(address) {
                Some(Err((cause, remedy))) => findings.error(&format!("{what}: {cause}"), remedy),
                Some(Ok(how)) => findings.ok(&format!("{what}: {how}")),
                None => findings.ok(&what),
            },
            Endpoint::Connect(address) => match reach(address).await {
                Err(cause) => {
                    let remedy = "check that the other end is running, the address is right and no firewall blocks it";
                    findings.error(&format!("{what}: {cause}"), remedy);
                }
                Ok(false) => findings.error(
                    &format!("{what}: the program that listens there does not speak ZeroMQ"),
                    "check host and port: they belong to another program",
                ),
                Ok(true) if keys == Keys::Usable => self.greet(&what, findings).await,
                Ok(true) if keys == Keys::OnlyForService => {
                    findings.ok(&format!("{what}: a program that uses ZeroMQ listens there"));
                }
                // The error about the keys is enough.
                Ok(true) => {}
            },
        }
    }

    fn examine_keys(&self, what: &str, users: &[User], findings: &mut Findings<'_>) -> Keys {
        let Some(curve) = self.curve else { return Keys::Usable };
        let secret = curve.secret_key_file();
        let Err(errors) = check::keys(curve) else {
            if let Some(user) = users.iter().find(|user| !user.may(Access::Read, secret)) {
                let (file, user) = (secret.display(), &user.name);
                findings.error(&format!("{what}: {user} may not read {file}"), &format!("sudo chown {user} {file}"));
            }
            return Keys::Usable;
        };
        // Only the service's user may read its files.
        let is_only_for_service =
            !may_read(users.first(), secret) && users.iter().skip(1).any(|user| user.may(Access::Read, secret));
        if is_only_for_service {
            findings.ok(&format!("{what}: {} belongs to the service; use `sudo` to check it", secret.display()));
            return Keys::OnlyForService;
        }
        for error in errors {
            findings.error_of(what, &format!("{error:#}"));
        }
        Keys::Unusable
    }

    /// Completes a handshake with the other end, and closes the link.
    async fn greet(&self, what: &str, findings: &mut Findings<'_>) {
        let options = LinkOptions {
            pattern: self.pattern,
            end: self.end.clone(),
            curve: self.curve.cloned(),
            identify: false,
            refused: Arc::new(|_| {}),
        };
        let mut link = match options.open() {
            Ok(link) => link,
            Err(error) => return findings.error_of(what, &format!("{error:#}")),
        };
        let encrypted = if self.curve.is_some() { ", encrypted" } else { "" };
        match timeout(HANDSHAKE_TIMEOUT, handshake(&mut link)).await {
            Ok(Ok(())) => findings.ok(&format!("{what}: the other end is there{encrypted}")),
            Ok(Err(error)) => findings.error_of(what, &error),
            Err(_) => findings.error(
                &format!("{what}: no reply within {} s", HANDSHAKE_TIMEOUT.as_secs()),
                "check that the port belongs to watchpost, or to another program that uses ZeroMQ",
            ),
        }
        link.close().await;
    }
}

fn may_read(user: Option<&User>, file: &Path) -> bool {
    user.is_some_and(|user| user.may(Access::Read, file))
}

/// Waits for a handshake.
///
/// # Errors
/// If it is refused.
async fn handshake(link: &mut Link) -> Result<(), String> {
    while link.peers() == 0 {
        if let Some(reason) = link.refusal_reason() {
            return Err(reason.replacen(": ", "; ", 1));
        }
        link.changed().await.map_err(|error| format!("{error:#}"))?;
    }
    Ok(())
}

/// Connects to the address; returns whether ZeroMQ answers there.
///
/// # Errors
/// If nothing listens there.
async fn reach(address: &Address) -> Result<bool, String> {
    let within = |what: &str| format!("{what} within {} s", RESPONSE_TIMEOUT.as_secs());
    let Some((host, port)) = address.host_and_port() else {
        let path = address.as_str().trim_start_matches("ipc://");
        return UnixStream::connect(path)
            .await
            .map(|_| true)
            .map_err(|error| format!("nothing listens there: {error}"));
    };
    let port = port.parse().unwrap_or(0);
    let found = timeout(RESPONSE_TIMEOUT, lookup_host((host, port))).await;
    let found = found.map_err(|_| within("no name server answered"))?;
    let addresses: Vec<SocketAddr> = found.map_err(|_| format!("{host} has no address"))?.collect();
    match timeout(RESPONSE_TIMEOUT, TcpStream::connect(&*addresses)).await {
        Ok(Ok(stream)) => Ok(speaks_zeromq(stream).await),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err("nothing listens there".to_owned()),
        Ok(Err(error)) => Err(format!("it cannot be reached: {error}")),
        Err(_) => Err(within("no reply")),
    }
}

/// Whether the other side starts with the signature of ZMTP (ZeroMQ RFC 23), which it sends without being asked.
async fn speaks_zeromq(mut stream: TcpStream) -> bool {
    let mut signature = [0; 10];
    let is_complete = timeout(RESPONSE_TIMEOUT, stream.read_exact(&mut signature)).await.is_ok_and(|read| read.is_ok());
    is_complete && signature[0] == 0xff && signature[9] == 0x7f
}

/// Whether a link can be bound at the address, with a remedy if not. Returns `None` if that cannot be known.
fn listen_at(address: &Address) -> Option<Result<&'static str, (String, &'static str)>> {
    let (host, port) = address.host_and_port()?;
    let host: IpAddr = if host == "*" { Ipv4Addr::UNSPECIFIED.into() } else { host.parse().ok()? };
    Some(listen((host, port.parse().unwrap_or(0)).into()))
}

fn listen(address: SocketAddr) -> Result<&'static str, (String, &'static str)> {
    match TcpListener::bind(address) {
        Ok(_) => Ok("free"),
        Err(error) => match error.kind() {
            ErrorKind::AddrInUse => Ok("in use, by watchpost itself if it is running"),
            ErrorKind::AddrNotAvailable => {
                Err((format!("{} is not an address of this machine", address.ip()), "`ip address` lists its addresses"))
            }
            ErrorKind::PermissionDenied => {
                Err((format!("port {} is privileged", address.port()), "choose one from 1024 upwards"))
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
