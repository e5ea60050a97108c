//! Cross-site request checks (`Host`, `Origin`, `Sec-Fetch-Site`): browsers send requests to this receiver for any
//! website's page, and say which. Other programs do not send these headers.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

/// How a browser came to make the request (W3C, Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Rejects requests made for another site's page. With `require_loopback` (no tokens) also rejects host names, which
/// another site's DNS could point here.
pub(super) fn check(headers: &HeaderMap, require_loopback: bool) -> Result<(), String> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else {
        return Err("exactly one `Host` header is required".into());
    };
    if require_loopback && !is_loopback(host) {
        return Err(format!(
            "{host:?} is not a loopback address: open http://127.0.0.1, or set up a token (`watchpost keygen --token`)"
        ));
    }
    if headers.get_all(ORIGIN).into_iter().any(|origin| !is_same_host(origin.to_str().ok(), host)) {
        return Err("requests from other sites are not allowed".into());
    }
    let is_any = |name, values: &[&str]| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| values.contains(&value))
    };
    // Links from other sites may lead here, but other sites may not embed pictures and scripts.
    if is_any(FETCH_SITE, &["cross-site", "same-site"]) && !is_any(FETCH_MODE, &["navigate"]) {
        return Err("other sites may not embed this".into());
    }
    Ok(())
}

/// Ignores the port, which differs at the other end of a tunnel.
fn is_loopback(host: &str) -> bool {
    let has_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| has_port(port)).map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_same_host(origin: Option<&str>, host: &str) -> bool {
    let site = origin.and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    site.is_some_and(|site| site.eq_ignore_ascii_case(host))
}
