//! Whose page asks: a browser lets every page on the web ask this machine, and says which one does. Programs say
//! nothing.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

/// What browsers say of how a request came about (W3C, Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Checks that a request is none of somebody else's page. Where nobody is asked who they are (`by_host`), a name that
/// somebody else's DNS points here is not ours either.
pub(super) fn check(headers: &HeaderMap, by_host: bool) -> Result<(), String> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else {
        return Err("one `Host` header is needed".into());
    };
    if by_host && !is_this_machine(host) {
        return Err(format!(
            "{host:?} is not this machine's own address: go to http://127.0.0.1, or let the receiver ask for a token \
             (`watchpost keygen --token`)"
        ));
    }
    if headers.get_all(ORIGIN).into_iter().any(|origin| !is_of(origin.to_str().ok(), host)) {
        return Err("a page from elsewhere may not ask for this".into());
    }
    let says = |name, what: &[&str]| {
        let said = headers.get(name).and_then(|said| said.to_str().ok());
        said.is_some_and(|said| what.contains(&said))
    };
    // A link to here may be followed; pictures and scripts of ours are not for others' pages.
    if says(SITE, &["cross-site", "same-site"]) && !says(MODE, &["navigate"]) {
        return Err("a page from elsewhere may not show this".into());
    }
    Ok(())
}

/// Whatever the port: it may be another one at the other end of a tunnel.
fn is_this_machine(host: &str) -> bool {
    let has_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| has_port(port)).map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_of(origin: Option<&str>, host: &str) -> bool {
    let from = origin.and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    from.is_some_and(|from| from.eq_ignore_ascii_case(host))
}
