//! From options and PEM files to the configuration of a TLS client.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::config::{ConfigPath, OptionError, TlsOptions};
use crate::model::without_byte_order_mark;
use crate::net::failure::brief;

use super::crypto::{KNOWN_KEYS, provider};
use super::verify::{Roots, Trust, Verifier};

/// A certificate chain and its private key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A configuration that verifies by `trust`, shows `identity` where it is asked for one, and offers
/// the protocols `alpn`.
///
/// # Errors
/// What is wrong with the identity.
pub(super) fn configure(
    trust: &Trust,
    identity: Option<Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(brief)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust.clone())));
    let mut config = match identity {
        Some((chain, key)) => {
            // Asked on its own, so that a key that is not known is not taken for one that does
            // not fit.
            provider().key_provider.load_private_key(key.clone_key()).map_err(|_| {
                format!("the private key is not supported; {KNOWN_KEYS}, P-521 apart, would be")
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("{}; it must be the private key of tls.cert", brief(error))
            })?
        }
        None => builder.with_no_client_auth(),
    };
    // A resumed session shows no certificate: its expiry or exchange would go unseen.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

pub(super) fn trust(options: &TlsOptions) -> Result<Trust, OptionError> {
    match (&options.ca, options.insecure) {
        (Some(_), true) => Err(OptionError::new(
            "tls.insecure",
            "any certificate is accepted, so `ca` has no effect; leave out one of the two",
        )),
        (None, true) => Ok(Trust::Any),
        (Some(ca), false) => trust_in(certificates(ca, "tls.ca")?).map_err(|error| {
            let text = format!("{} holds an invalid certificate: {error}", shown(ca));
            OptionError::new("tls.ca", format!("{text}; it must hold authorities as PEM"))
        }),
        (None, false) => system_trust().map_err(|error| OptionError::new("tls.ca", error)),
    }
}

/// Trust in `certificates`, or what is wrong with one of them.
fn trust_in(certificates: Vec<CertificateDer<'static>>) -> Result<Trust, String> {
    let mut roots = Roots::default();
    for certificate in certificates {
        roots.add(certificate).map_err(brief)?;
    }
    Ok(Trust::Roots(Arc::new(roots)))
}

/// The configuration of a client that sends what was recorded, such as spans and alerts, over
/// HTTP or gRPC. It verifies as checks do.
///
/// `ca` holds authorities to trust instead of the system's, and `identity` a certificate chain and
/// its private key; each as PEM.
///
/// # Errors
/// What is wrong with the contents of the files.
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) fn exporter_config(
    ca: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, String> {
    let certificates = |pem: &[u8]| -> Vec<_> {
        CertificateDer::pem_slice_iter(without_byte_order_mark(pem)).flatten().collect()
    };
    let trust = match ca {
        Some(pem) => trust_in(certificates(pem))?,
        // Without authorities plain HTTP works on, and TLS says what is missing.
        None => system_trust().unwrap_or_else(|_| Trust::Roots(Arc::default())),
    };
    let identity = identity.map(|(cert, key)| {
        let key = PrivateKeyDer::from_pem_slice(without_byte_order_mark(key));
        key.map(|key| (certificates(cert), key)).map_err(|_| "no private key".to_owned())
    });
    let mut config = configure(&trust, identity.transpose()?, alpn)?;
    // How long certificates last is no figure of an exporter.
    config.resumption = rustls::client::Resumption::default();
    Ok(config)
}

/// Trust in the system's authorities, which are read once.
fn system_trust() -> Result<Trust, String> {
    static TRUST: OnceLock<Result<Trust, String>> = OnceLock::new();
    let trust = TRUST.get_or_init(|| {
        let mut roots = Roots::default();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // Some systems have certificates among them that nobody can read.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err("this system has no authorities to trust; \
                        install its ca-certificates or name a PEM file"
                .to_owned());
        }
        Ok(Trust::Roots(Arc::new(roots)))
    });
    trust.clone()
}

pub(super) fn identity(options: &TlsOptions) -> Result<Option<Identity>, OptionError> {
    match (&options.cert, &options.key) {
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(OptionError::new("tls.cert", "a client certificate needs its key; add `key`"))
        }
        (None, Some(_)) => {
            Err(OptionError::new("tls.key", "a client key needs its certificate; add `cert`"))
        }
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "tls.cert")?;
            let pem = read(key, "tls.key")?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
                let text = format!("{} holds no private key", shown(key));
                OptionError::new("tls.key", format!("{text}; it must hold one as PEM"))
            })?;
            Ok(Some((chain, key)))
        }
    }
}

pub(super) fn server_name(
    options: &TlsOptions,
) -> Result<Option<ServerName<'static>>, OptionError> {
    let Some(name) = &options.server_name else { return Ok(None) };
    ServerName::try_from(name.trim_end_matches('.').to_owned()).map(Some).map_err(|_| {
        let text = "this is no host name or address; write the name on the certificate";
        OptionError::new("tls.server_name", text)
    })
}

fn certificates(
    file: &ConfigPath,
    option: &str,
) -> Result<Vec<CertificateDer<'static>>, OptionError> {
    let pem = read(file, option)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        let text = format!("{} holds no certificate; it must hold them as PEM", shown(file));
        OptionError::new(option, text)
    })
}

fn read(file: &ConfigPath, option: &str) -> Result<Vec<u8>, OptionError> {
    let read = std::fs::read(&file.0);
    read.map(|pem| without_byte_order_mark(&pem).to_vec()).map_err(|error| {
        let text = format!("{} cannot be read: {error}; it must be a PEM file", shown(file));
        OptionError::new(option, text)
    })
}

fn shown(file: &ConfigPath) -> std::path::Display<'_> {
    Path::display(&file.0)
}
