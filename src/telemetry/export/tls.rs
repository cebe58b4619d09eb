//! TLS towards a collector: the certificate files that the environment names.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use url::Url;

use super::variables::Problem;

/// Contents of the PEM files, checked to be such.
#[derive(Default)]
pub(in crate::telemetry) struct TlsMaterial {
    ca: Option<Vec<u8>>,
    /// Certificate chain and private key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

type Variable = Option<(&'static str, String)>;

impl TlsMaterial {
    /// Reads the files that the variables name.
    pub(in crate::telemetry) fn read(
        ca: Variable,
        cert: Variable,
        key: Variable,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut read = |variable: Variable, check: fn(&[u8]) -> bool, holds: &str| {
            let (name, path) = variable?;
            let message = match std::fs::read(&path) {
                Ok(pem) if check(&pem) => return Some((name, pem)),
                Ok(_) => format!("{path:?} holds no {holds}; name a PEM file that does"),
                Err(error) => format!("{path:?} cannot be read: {error}; name a readable file"),
            };
            problems.push(Problem { name, message });
            None
        };
        let wanted = (cert.as_ref().map(|v| v.0), key.as_ref().map(|v| v.0));
        let ca = read(ca, holds_certificates, "certificate").map(|(_, pem)| pem);
        let cert = read(cert, holds_certificates, "certificate");
        let key = read(key, |pem| PrivateKeyDer::from_pem_slice(pem).is_ok(), "private key");
        if let (Some(name), None) | (None, Some(name)) = wanted {
            let message = "a client certificate and its key go together; set both".to_owned();
            problems.push(Problem { name, message });
        }
        let identity = cert.zip(key).map(|((_, cert), (_, key))| (cert, key));
        Self { ca, identity }
    }

    /// For gRPC.
    pub(in crate::telemetry) fn tonic(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        };
        match &self.identity {
            Some((cert, key)) => config.identity(Identity::from_pem(cert, key)),
            None => config,
        }
    }

    /// For HTTP towards `url`; the system's authorities are read only where TLS is spoken.
    pub(in crate::telemetry) fn rustls(&self, url: &Url) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(pem) => {
                for cert in CertificateDer::pem_slice_iter(pem).flatten() {
                    roots.add(cert)?;
                }
            }
            None if url.scheme() != "https" => {}
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some((cert, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = CertificateDer::pem_slice_iter(cert).flatten().collect();
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| rustls::Error::General("no private key".into()))?;
        builder.with_client_auth_cert(chain, key)
    }
}

fn holds_certificates(pem: &[u8]) -> bool {
    let mut certs = CertificateDer::pem_slice_iter(pem).peekable();
    certs.peek().is_some() && certs.all(|cert| cert.is_ok())
}
