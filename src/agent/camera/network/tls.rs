//! TLS for `https://`. A camera must prove who it is: otherwise, anybody on the network could send its pictures and read its
//! password. Most cameras have a certificate that no authority vouches for, so a camera's table can name one certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::connect::in_time;
use crate::agent::camera::refusal::Refusal;

/// Completes a handshake with a host that has the certificate in `file` or, without one, that one of this machine's certificate
/// authorities vouches for.
///
/// # Errors
/// The reason in words.
pub(super) async fn encrypt(stream: TcpStream, host: &str, file: Option<&Path>) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).context("its host name is not valid")?;
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().context("cannot set up TLS")?;
    let builder = match file {
        Some(file) => {
            let pinned = Pinned { certificate: read(file).await?, algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
        }
        None => builder.with_root_certificates(authorities()),
    };
    let connector = TlsConnector::from(Arc::new(builder.with_no_client_auth()));
    in_time(connector.connect(name, stream)).await?.map_err(|error| describe(&error))
}

fn authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read only makes the hosts that need it untrusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

async fn read(file: &Path) -> Result<CertificateDer<'static>> {
    let shown = file.display();
    let text = tokio::fs::read(file).await.with_context(|| format!("certificate: cannot read {shown}"))?;
    let certificate = CertificateDer::from_pem_slice(&text);
    certificate.map_err(|_| Refusal::of(format!("certificate: {shown} has none in PEM format")).into())
}

/// Accepts one certificate, whatever its name, issuer and dates are. The camera must have its private key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
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
            "it is for another host name; set `certificate` to trust it"
        }
        CertificateError::UnknownIssuer => "its issuer is unknown to this machine; set `certificate` to trust it",
        CertificateError::ApplicationVerificationFailure => "it is not the one in the file `certificate`",
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::Revoked => "it was revoked",
        _ => "it is not valid for a camera; set `certificate` to trust it",
    }
}
