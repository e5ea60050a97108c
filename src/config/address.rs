//! ZeroMQ addresses.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

/// A checked ZeroMQ endpoint: `tcp://HOST:PORT` or `ipc://PATH`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(String);

/// Which side of a connection a link takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Waits for the other side at this address.
    Bind(Address),
    /// Goes to the other side at this address, again and again.
    Connect(Address),
}

impl Endpoint {
    /// The address, whichever side.
    #[must_use]
    pub fn address(&self) -> &Address {
        match self {
            Endpoint::Bind(address) | Endpoint::Connect(address) => address,
        }
    }
}

impl Address {
    /// Whether nothing sent there leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let Some((host, _)) = self.host_and_port() else { return true };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Of a TCP endpoint the host, without brackets, and the port; `*` is any.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(&str, &str)> {
        let (host, port) = self.0.strip_prefix("tcp://")?.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']), port))
    }

    /// Any free port of this machine, for a bound end that nobody else needs to find.
    #[must_use]
    pub fn any_local_port() -> Address {
        Address("tcp://127.0.0.1:*".to_owned())
    }

    /// The endpoint as libzmq wants it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Address, String> {
        match check(&text) {
            Ok(()) => Ok(Address(text)),
            Err(why) => {
                Err(format!("{text:?} is not an address: {why}; write for example \"tcp://192.168.1.10:5559\""))
            }
        }
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    match text.split_once("://") {
        Some(("tcp", rest)) => {
            let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
            if host.is_empty() || host.contains(['/', ' ']) {
                return Err("the host is missing or has a character that no host has");
            }
            match port.parse::<u16>() {
                Ok(1..) => Ok(()),
                // ZeroMQ's wildcard: any free port, for a bound end.
                _ if port == "*" => Ok(()),
                _ => Err("the port is not a number from 1 to 65535"),
            }
        }
        Some(("ipc", path)) if !path.is_empty() => Ok(()),
        Some(("ipc", _)) => Err("the path is missing"),
        _ => Err("it starts with neither tcp:// nor ipc://"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
