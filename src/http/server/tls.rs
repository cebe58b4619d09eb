//! The TLS configuration of the server, built from the contents of two PEM files.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};

use crate::model::without_byte_order_mark;

/// Why a certificate and a key make no TLS configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate's file has no PEM section of one.
    #[error("no certificate found; it must hold a PEM section BEGIN CERTIFICATE")]
    NoCertificate,
    /// A certificate is damaged.
    #[error("the certificate cannot be read; it must be an X.509 certificate chain in PEM")]
    BadCertificate,
    /// The key's file has no PEM section of one.
    #[error("no private key found; it must hold a PEM section BEGIN PRIVATE KEY, not encrypted")]
    NoKey,
    /// The key is damaged, or of an algorithm or size that is not supported.
    #[error(
        "the private key is not supported; RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519 would be"
    )]
    UnsupportedKey,
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// Anything else that rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Refused(rustls::Error),
}

/// A configuration for [`Server::tls`](crate::http::Server::tls) from a certificate chain, leaf first,
/// and its private key, both in PEM.
///
/// It offers HTTP/2 and HTTP/1.1 over TLS 1.3 and 1.2, and asks clients for no certificate.
///
/// # Errors
/// A [`TlsError`] that says which of the two is wrong; it never holds key material.
pub fn tls_config(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(without_byte_order_mark(cert_pem))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::BadCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key =
        PrivateKeyDer::from_pem_slice(without_byte_order_mark(key_pem)).map_err(
            |error| match error {
                pem::Error::NoItemsFound => TlsError::NoKey,
                _ => TlsError::UnsupportedKey,
            },
        )?;
    let provider = Arc::new(ring::default_provider());
    // Asked on its own, so that a bad key is not mistaken for a bad certificate.
    provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_| TlsError::UnsupportedKey)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch,
            rustls::Error::InvalidCertificate(_) => TlsError::BadCertificate,
            other => TlsError::Refused(other),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn error(cert: &str, key: &str) -> TlsError {
        tls_config(cert.as_bytes(), key.as_bytes()).expect_err("it is wrong")
    }

    #[test]
    fn a_pair_that_fits_offers_both_protocols() {
        let (cert, key) = pair();
        let config = tls_config(cert.as_bytes(), key.as_bytes()).expect("it fits");
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let (cert, key) = pair();
        let (_, other_key) = pair();
        assert_eq!(error("", &key), TlsError::NoCertificate);
        assert_eq!(error(&key, &key), TlsError::NoCertificate);
        assert_eq!(error(&cert, ""), TlsError::NoKey);
        assert_eq!(error(&cert, &cert), TlsError::NoKey);
        assert_eq!(error(&cert, &other_key), TlsError::KeyMismatch);
        let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(error(&cert, not_a_key), TlsError::UnsupportedKey);
        let cut_short = &cert[..cert.len() / 2];
        assert_eq!(error(cut_short, &key), TlsError::BadCertificate);
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(error(not_x509, &key), TlsError::BadCertificate);
    }
}
