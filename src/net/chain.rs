//! How long a peer's certificates last, seen also where the peer is then not trusted.

use std::sync::{Arc, OnceLock};

use opentelemetry_semantic_conventions::attribute as semconv;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::engine::check::Context;
use crate::model::Measurement;

use super::tls::Verifier;

pub(crate) static NOT_AFTER: Measurement = Measurement {
    name: "tls_certificate_not_after_timestamp_seconds",
    help: "When the first certificate of the chain that the peer shows expires, in Unix time.",
};

/// The chain of certificates that a peer has shown, by its times alone: Unix time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// When the peer's own certificate becomes valid.
    pub(crate) not_before: i64,
    /// When the peer's own certificate expires.
    pub(crate) not_after: i64,
    /// When the first of all those shown expires.
    pub(crate) earliest: i64,
}

impl Chain {
    /// The chain shown in the handshake of `stream`.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        let (own, others) = stream.get_ref().1.peer_certificates()?.split_first()?;
        Self::read(own, others)
    }

    /// Reads the peer's own certificate and those of the authorities in between; one of these
    /// that is malformed is no reason to miss the others.
    fn read(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<Self> {
        let (not_before, not_after) = validity(own)?;
        let ends = others.iter().filter_map(validity).map(|(_, end)| end);
        Some(Self { not_before, not_after, earliest: ends.fold(not_after, i64::min) })
    }

    /// Notes the figure of the run, and the times of the peer's own certificate on its span.
    pub(super) fn note(&self, cx: &Context) {
        self.measure(cx);
        for (key, time) in [
            (semconv::TLS_SERVER_NOT_BEFORE, self.not_before),
            (semconv::TLS_SERVER_NOT_AFTER, self.not_after),
        ] {
            if let Some(text) = date(time) {
                cx.attribute(key, text);
            }
        }
    }

    /// Notes the figure of the run alone.
    pub(crate) fn measure(&self, cx: &Context) {
        cx.measure(&NOT_AFTER, self.earliest as f64);
    }
}

/// A time as RFC 3339, where the calendar reaches that far.
pub(crate) fn date(time: i64) -> Option<String> {
    jiff::Timestamp::from_second(time).ok().map(|time| time.to_string())
}

fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Looks at the chain of one handshake and leaves the verdict on it to another.
#[derive(Debug)]
pub(super) struct Witness {
    verifier: Verifier,
    seen: OnceLock<Chain>,
}

impl Witness {
    pub(super) fn of(verifier: Verifier) -> Self {
        Self { verifier, seen: OnceLock::new() }
    }

    /// The chain, once it was shown.
    pub(super) fn seen(self: &Arc<Self>) -> Option<Chain> {
        self.seen.get().copied()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(chain) = Chain::read(own, others) {
            let _ = self.seen.set(chain);
        }
        self.verifier.verify_server_cert(own, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.verifier.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.verifier.root_hint_subjects()
    }
}
