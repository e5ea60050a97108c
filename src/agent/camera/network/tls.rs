//! TLS for `https://`. A camera must prove who it is: otherwise, anybody on the network could send its pictures and read its
//! password.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::connect::in_time;
use crate::agent::camera::refusal::Refusal;

/// Completes a handshake with a host that one of this machine's certificate authorities vouches for.
///
/// # Errors
/// The reason in words.
pub(super) async fn encrypt(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).context("its host name is not valid")?;
    let connector = TlsConnector::from(Arc::new(config()?));
    in_time(connector.connect(name, stream)).await?.map_err(|error| describe(&error))
}

fn config() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read only makes the hosts that need it untrusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().context("cannot set up TLS")?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn describe(error: &io::Error) -> anyhow::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => Refusal::of(format!("certificate: {}", words(fault))).into(),
        Some(Error::AlertReceived(alert)) => anyhow!("TLS: the camera aborted the handshake ({alert:?})"),
        Some(_) => anyhow!("TLS: its answer is not TLS, or too old a version"),
        None => anyhow!("TLS: the camera closed the connection"),
    }
}

fn words(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; check this machine's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host name; use the name in the certificate"
        }
        CertificateError::UnknownIssuer => {
            "its issuer is unknown to this machine; install the issuer's certificate, or use http://"
        }
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::Revoked => "it was revoked",
        _ => "it is not valid for a camera",
    }
}
