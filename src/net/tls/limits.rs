//! The limits of this client: what it cannot verify in a certificate, or does not accept.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::public_key::PublicKey;

use crate::model::Reason;

use super::chain::parse;
use super::crypto::KNOWN_KEYS;

/// Something about a certificate that this client cannot verify, or does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) reason: Reason,
    text: String,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Limit {}

impl From<Limit> for Error {
    fn from(limit: Limit) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(limit))))
    }
}

impl Limit {
    /// A limit by which nobody whom this client trusts vouches for the certificate.
    fn untrusted(text: impl Into<String>) -> Self {
        Self { reason: Reason::TlsUntrusted, text: text.into() }
    }

    /// What keeps this client from verifying signatures by the key of `certificate`.
    pub(super) fn of_key(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = parse(certificate)?;
        let bits = rsa_bits(&certificate)?;
        (!(2048..=8192).contains(&bits)).then(|| {
            Self::untrusted(format!(
                "its RSA key has {bits} bits, and this client verifies by keys of 2048 to 8192 bits"
            ))
        })
    }
}

/// The length of an RSA key.
fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed().ok()? {
        // A leading zero keeps the number from being negative.
        PublicKey::RSA(key) => Some(key.modulus.iter().skip_while(|b| **b == 0).count() * 8),
        _ => None,
    }
}

/// What a failure to find a path of trust from `own` means.
pub(super) fn of_path(
    error: webpki::Error,
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Error {
    use webpki::Error as Path;
    let limit = |text: &str| Limit::untrusted(text).into();
    let error = match error {
        Path::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        Path::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Path::InvalidCertValidity => CertificateError::Expired,
        Path::UnknownIssuer => CertificateError::UnknownIssuer,
        Path::CertNotValidForName(_) if has_no_alternative_names(own) => {
            let text = "its certificate has no alternative names (subjectAltName), and this client does \
                 not take its common name instead";
            return Limit { reason: Reason::TlsNameMismatch, text: text.to_owned() }.into();
        }
        Path::CertNotValidForName(names) => CertificateError::NotValidForNameContext {
            expected: names.expected,
            presented: names.presented,
        },
        Path::InvalidSignatureForPublicKey => {
            return match others.iter().find_map(Limit::of_key) {
                Some(Limit { text, .. }) => limit(&format!("an authority of its chain: {text}")),
                None => CertificateError::BadSignature.into(),
            };
        }
        Path::UnsupportedSignatureAlgorithmContext(_)
        | Path::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            return limit(&format!(
                "its certificate or an authority's has a key or a signature that this client does \
                 not know ({}); it knows {KNOWN_KEYS}",
                algorithms(own, others)
            ));
        }
        Path::CaUsedAsEndEntity => {
            return limit(
                "its certificate is that of an authority, which this client takes only where \
                 `tls.ca` names that very certificate",
            );
        }
        Path::UnsupportedCertVersion => {
            return limit(
                "its certificate is of an old version of X.509, which this client takes only where \
                 `tls.ca` names that very certificate",
            );
        }
        Path::NameConstraintViolation if limits_directory_names(others) => {
            return limit(
                "an authority of its chain is limited to directory names (name constraints), which \
                 this client cannot verify",
            );
        }
        Path::NameConstraintViolation => {
            return limit(
                "an authority of its chain may not vouch for its names, or has limits (name \
                 constraints) that this client cannot verify",
            );
        }
        Path::UnsupportedCriticalExtension => {
            return limit(
                "a certificate of its chain has a critical extension that this client does not know",
            );
        }
        Path::BadDer | Path::BadDerTime | Path::TrailingData(_) => CertificateError::BadEncoding,
        Path::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => {
            return limit(&format!(
                "its chain cannot be verified: {}",
                words(&format!("{other:?}"))
            ));
        }
    };
    error.into()
}

fn has_no_alternative_names(certificate: &CertificateDer<'_>) -> bool {
    parse(certificate).is_some_and(|c| matches!(c.subject_alternative_name(), Ok(None)))
}

/// Whether one of `certificates` has constraints on directory names.
fn limits_directory_names(certificates: &[CertificateDer<'_>]) -> bool {
    certificates.iter().filter_map(parse).any(|certificate| {
        certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::NameConstraints(limits) => {
                [limits.permitted_subtrees.as_ref(), limits.excluded_subtrees.as_ref()]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .any(|subtree| matches!(subtree.base, GeneralName::DirectoryName(_)))
            }
            _ => false,
        })
    })
}

/// The identifiers of the keys and signatures of a chain, of each the first once.
fn algorithms(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> String {
    let mut found: Vec<String> = Vec::new();
    for certificate in std::iter::once(own).chain(others).filter_map(parse) {
        let key = &certificate.public_key().algorithm;
        let curve = key.parameters.as_ref().and_then(|p| p.as_oid().ok());
        for oid in
            [curve.as_ref().unwrap_or(&key.algorithm), &certificate.signature_algorithm.algorithm]
        {
            let text = name_of(&oid.to_id_string());
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found.join(", ")
}

/// The usual name of an algorithm; its identifier where it has none here.
fn name_of(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        "1.3.132.0.10" => "secp256k1",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => return other.to_owned(),
    };
    name.to_owned()
}

/// The words of a name such as `NoCipherSuitesInCommon`.
pub(super) fn words(name: &str) -> String {
    let mut text = String::new();
    let mut last = ' ';
    for next in name.chars() {
        if next.is_uppercase() && (last.is_lowercase() || last.is_ascii_digit()) {
            text.push(' ');
        }
        // An abbreviation, such as CA, keeps its letters.
        text.push(next);
        last = next;
    }
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        if word.chars().skip(1).any(char::is_lowercase) || word.len() == 1 {
            *word = word.to_lowercase();
        }
    }
    words.join(" ")
}
