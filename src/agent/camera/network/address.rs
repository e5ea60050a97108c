//! Addresses of network cameras.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a request must not contain unescaped (RFC 3986, 2). People write spaces, and browsers escape them.
const INVALID: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The parts of `SCHEME://USER:PASSWORD@HOST:PORT/TARGET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent::camera) struct Address {
    pub(in crate::agent::camera) scheme: Scheme,
    pub(in crate::agent::camera) host: String,
    pub(in crate::agent::camera) port: u16,
    /// Path and query, as a request needs them.
    pub(super) target: String,
    pub(super) login: Option<(String, String)>,
}

/// A protocol of network cameras that uses TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent::camera) enum Scheme {
    Http,
    Https,
    Rtsp,
    Rtmp,
}

impl Scheme {
    const ALL: [Scheme; 4] = [Scheme::Http, Scheme::Https, Scheme::Rtsp, Scheme::Rtmp];

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Rtsp => "rtsp",
            Scheme::Rtmp => "rtmp",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Rtsp => 554,
            Scheme::Rtmp => 1935,
        }
    }
}

impl Address {
    /// Parses an address. `None` if its scheme is another one or its port is not a number.
    pub(in crate::agent::camera) fn parse(text: &str) -> Option<Address> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = Scheme::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, host) = authority.rsplit_once('@').map_or((None, authority), |(login, host)| (Some(login), host));
        // An IPv6 address is in brackets because it contains colons.
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(scheme.default_port()), |port| port.parse().ok())?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{}", utf8_percent_encode(target, INVALID));
        Some(Address { scheme, host: host.to_owned(), port, target, login: login.map(user_and_password) })
    }

    pub(in crate::agent::camera) fn is_http(&self) -> bool {
        matches!(self.scheme, Scheme::Http | Scheme::Https)
    }

    /// Host and port as a request states them.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// The address without user and password.
    pub(super) fn public(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority(), self.target)
    }

    /// The path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The address that a redirect from here leads to. `None` if it leads to another scheme, host or port.
    pub(super) fn redirected(&self, location: &str) -> Option<Address> {
        let directory = self.path().rfind('/').map_or("/", |end| &self.path()[..=end]);
        let origin = format!("{}://{}", self.scheme.name(), self.authority());
        let whole = match location.as_bytes() {
            [b'/', b'/', ..] => format!("{}:{location}", self.scheme.name()),
            [b'/', ..] => format!("{origin}{location}"),
            [b'?', ..] => format!("{origin}{}{location}", self.path()),
            _ if location.contains("://") => location.to_owned(),
            _ => format!("{origin}{directory}{location}"),
        };
        let next = Address::parse(&whole)?;
        let is_same =
            next.scheme == self.scheme && next.host.eq_ignore_ascii_case(&self.host) && next.port == self.port;
        is_same.then(|| Address { login: self.login.clone(), ..next })
    }
}

fn user_and_password(login: &str) -> (String, String) {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decoded(user), decoded(password))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn address_has_host_port_target_and_login() {
        let parts = |text| {
            let address = Address::parse(text)?;
            Some((address.host.clone(), address.port, address.public(), address.login))
        };
        let some = |host: &str, port, public: &str, login: Option<(&str, &str)>| {
            let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
            Some((host.to_owned(), port, public.to_owned(), login))
        };
        assert_eq!(parts("rtsp://cam/live?x=1"), some("cam", 554, "rtsp://cam/live?x=1", None));
        let login = Some(("me", "a@b:c"));
        assert_eq!(parts("rtsp://me:a@b:c@10.0.0.9:8554/l"), some("10.0.0.9", 8554, "rtsp://10.0.0.9:8554/l", login));
        assert_eq!(parts("http://a%40b:c%23@cam"), some("cam", 80, "http://cam/", Some(("a@b", "c#"))));
        assert_eq!(parts("http://[fe80::1]:81?a=b c#d"), some("fe80::1", 81, "http://[fe80::1]:81/?a=b%20c", None));
        assert_eq!(parts("HTTPS://[::1]/"), some("::1", 443, "https://[::1]/", None));
        assert_eq!(parts("udp://239.0.0.1:5000"), None);
        assert_eq!(parts("http://cam:99999/"), None);
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let address = Address::parse("http://me:you@cam:81/a/b?c=d").expect("an address");
        for (location, next) in [
            ("/x?y", Some("http://cam:81/x?y")),
            ("x", Some("http://cam:81/a/x")),
            ("?x", Some("http://cam:81/a/b?x")),
            ("http://CAM:81/x", Some("http://CAM:81/x")),
            ("//cam:81/x", Some("http://cam:81/x")),
            ("https://cam:81/x", None),
            ("http://cam/x", None),
            ("//other:81/x", None),
            ("rtsp://cam:81/x", None),
            ("http://cam:81@other/x", None),
        ] {
            let redirected = address.redirected(location);
            assert_eq!(redirected.as_ref().map(Address::public).as_deref(), next, "{location}");
            assert!(redirected.is_none_or(|redirected| redirected.login == address.login));
        }
    }
}
