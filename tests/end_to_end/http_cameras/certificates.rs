//! Cameras with TLS.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::ways::Expected::{Cause, Pictures};
use super::ways::{INTERVAL, MJPEG, PART, Way, check_trusting, jpegs};
use crate::harness::http_camera::{HttpCamera, reply, stream_of};

/// A camera with TLS for this host name, and its certificate.
fn encrypted(host: &str, has_expired: bool) -> (HttpCamera, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host name");
    // A certificate of an authority with the same name would have a wrong signature.
    params.distinguished_name.push(DnType::CommonName, format!("{host} {}", fastrand::u64(..)));
    if has_expired {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let certificate = params.self_signed(&key).expect("a certificate");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("TLS").with_no_client_auth();
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = builder.with_single_cert(vec![certificate.der().clone()], private).expect("a key");
    let camera = HttpCamera::start_tls(config, |_, to| {
        to.write_all(MJPEG.as_bytes())?;
        stream_of(&jpegs(), INTERVAL, (PART, "\r\n"), to)
    });
    (camera, certificate.pem())
}

#[test]
fn certificates_are_checked() {
    let (good, first) = encrypted("127.0.0.1", false);
    let (other, second) = encrypted("cam.example", false);
    let (expired, third) = encrypted("127.0.0.1", true);
    let (stranger, _) = encrypted("127.0.0.1", false);
    let plain = HttpCamera::start(|_, to| reply("HTTP/1.1 200 OK", "", b"", to));
    let https = |name, camera, expected| Way { scheme: "https", ..Way::http(name, "me:you@", camera, expected) };
    let ways = [
        https("good", good, Pictures),
        https(
            "other_name",
            other,
            Cause("certificate: it is for another host name; set `certificate` to trust it; retrying every 1 min"),
        ),
        https("expired", expired, Cause("certificate: it has expired; retrying every 1 min")),
        https(
            "stranger",
            stranger,
            Cause(
                "certificate: its issuer is unknown to this machine; set `certificate` to trust it; retrying every 1 min",
            ),
        ),
        https("plain", plain, Cause("TLS: the camera closed the connection")),
    ];
    check_trusting(&ways, &[first, second, third].concat());
    // A password is not sent before the camera has proven who it is.
    let requests: usize = ways[1..].iter().map(|way| way.camera.requests().len()).sum();
    assert_eq!(requests, 0);
}

#[test]
fn certificate_of_the_table_is_accepted_and_no_other() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (own, first) = encrypted("cam.example", true);
    let (other, second) = encrypted("127.0.0.1", false);
    let (broken, missing) = (encrypted("127.0.0.1", false).0, encrypted("127.0.0.1", false).0);
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path.display().to_string()
    };
    let pinned = |name, camera, file: &str, expected| Way {
        scheme: "https",
        keys: format!(", certificate = \"{file}\""),
        ..Way::http(name, "", camera, expected)
    };
    let first = file("first.pem", &first);
    let damaged = file("damaged.pem", "-----BEGIN");
    let damaged_cause = format!("certificate: {damaged} has none in PEM format; retrying every 1 min").leak();
    let gone = dir.path().join("gone.pem").display().to_string();
    let gone_cause = format!("certificate: cannot read {gone}: No such file or directory").leak();
    let other_cause = "certificate: it is not the one in the file `certificate`; retrying every 1 min";
    let ways = [
        pinned("own", own, &first, Pictures),
        pinned("other", other, &first, Cause(other_cause)),
        pinned("broken", broken, &damaged, Cause(damaged_cause)),
        pinned("missing", missing, &gone, Cause(gone_cause)),
    ];
    // The authority that vouches for the second one does not matter.
    check_trusting(&ways, &second);
    assert!(ways[1..].iter().all(|way| way.camera.requests().is_empty()));
}
