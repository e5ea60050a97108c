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
    /// Waits for connections at this address.
    Bind(Address),
    /// Connects to this address, and reconnects when the connection is lost.
    Connect(Address),
}

impl Endpoint {
    /// Returns the address.
    #[must_use]
    pub fn address(&self) -> &Address {
        match self {
            Endpoint::Bind(address) | Endpoint::Connect(address) => address,
        }
    }
}

impl Address {
    /// Whether the address is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let Some((host, _)) = self.host_and_port() else { return true };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns host, without brackets, and port of a TCP address. `*` is any port.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(&str, &str)> {
        let (host, port) = self.0.strip_prefix("tcp://")?.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']), port))
    }

    /// Returns the host of a TCP address if it is a name: of a host, or of a network interface.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        let (host, _) = self.host_and_port()?;
        (host != "*" && !host.contains(':') && host.parse::<IpAddr>().is_err()).then_some(host)
    }

    /// Returns the address of any free local port, for an end that binds.
    #[must_use]
    pub fn any_local_port() -> Address {
        Address("tcp://127.0.0.1:*".to_owned())
    }

    /// Returns the address in libzmq's syntax.
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
            Err(reason) => {
                Err(format!("{text:?} is not an address: {reason}; write for example \"tcp://192.168.1.10:5559\""))
            }
        }
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    match text.split_once("://") {
        Some(("tcp", rest)) => {
            let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
            if host.is_empty() || host.contains(['/', ' ']) {
                return Err("the host is missing or contains an invalid character");
            }
            match port.parse::<u16>() {
                Ok(1..) => Ok(()),
                // ZeroMQ's wildcard for a bound end: any free port.
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
