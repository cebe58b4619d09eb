//! TLS towards a collector: the certificate files that the environment names.

use std::fmt;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::variables::Problem;
use crate::model::without_byte_order_mark;
use crate::net::exporter_config;

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
                Ok(pem) if check(without_byte_order_mark(&pem)) => return Some((name, pem)),
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

    /// A configuration for requests to `url` that offers the protocols `alpn`, and verifies as
    /// checks do.
    ///
    /// # Errors
    /// What is wrong with the contents of the files.
    pub(in crate::telemetry) fn client_config(
        &self,
        url: &Url,
        alpn: &[&[u8]],
    ) -> Result<ClientConfig, String> {
        // The system's authorities are read only where TLS is spoken.
        let nobody = (url.scheme() != "https").then_some(&[][..]);
        let ca = self.ca.as_deref().or(nobody);
        let identity = self.identity.as_ref().map(|(cert, key)| (&**cert, &**key));
        exporter_config(ca, identity, alpn)
    }
}

fn holds_certificates(pem: &[u8]) -> bool {
    let mut certs = CertificateDer::pem_slice_iter(pem).peekable();
    certs.peek().is_some() && certs.all(|cert| cert.is_ok())
}
