//! What an error of TLS means, in words and as a reason.
//!
//! `rustls` shows many of its errors as the names of its types. People who run checks know none of
//! them, and cannot tell a fault of the server from a limit of this client.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::public_key::PublicKey;

use crate::engine::check::brief;
use crate::model::Reason;

use super::chain::{date, parse};
use super::crypto::KNOWN_KEYS;

/// Something about a certificate that this client cannot verify, or does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    reason: Reason,
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

/// The reason for a failure of TLS itself.
pub(crate) fn reason(error: &Error) -> Reason {
    use InvalidMessage as Invalid;
    let error = match error {
        Error::InvalidCertificate(error) => error,
        Error::InvalidMessage(
            Invalid::HandshakePayloadTooLarge | Invalid::CertificatePayloadTooLarge,
        ) => return Reason::TooLarge,
        _ => return Reason::TlsFailed,
    };
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Reason::TlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::TlsNameMismatch
        }
        CertificateError::BadEncoding => Reason::TlsFailed,
        CertificateError::Other(OtherError(error)) => {
            error.downcast_ref::<Limit>().map_or(Reason::TlsUntrusted, |limit| limit.reason)
        }
        // Whatever else is wrong with it: nobody trusted vouches for its use here.
        _ => Reason::TlsUntrusted,
    }
}

/// What `error` means, as the rest of a sentence such as `the handshake failed: …`.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "the server answers with something other than TLS".to_owned()
        }
        Error::InappropriateHandshakeMessage { .. } => {
            "the server breaks the order of a handshake".to_owned()
        }
        Error::PeerIncompatible(what) => of_incompatible(what),
        Error::PeerMisbehaved(what) => {
            format!("the server breaks the rules of TLS ({})", words(&format!("{what:?}")))
        }
        Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        Error::DecryptError => "a message of the server cannot be decrypted".to_owned(),
        Error::PeerSentOversizedRecord => "the server sends a record that is too long".to_owned(),
        Error::NoApplicationProtocol => {
            "the server and this client have no protocol in common (ALPN)".to_owned()
        }
        Error::General(text) => text.clone(),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    let expired = "its certificate, or one of its chain, has expired";
    let not_yet = "its certificate, or one of its chain, is not valid yet";
    match error {
        CertificateError::UnknownIssuer => {
            "no authority that this client trusts vouches for its certificate".to_owned()
        }
        CertificateError::Expired => expired.to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("{expired}: it was valid until {}", shown(*not_after))
        }
        CertificateError::NotValidYet => not_yet.to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("{not_yet}: it is valid from {}", shown(*not_before))
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                format!("its certificate is for no name, and not for {expected}")
            } else {
                let names = presented.iter().map(|name| plain_name(name));
                let presented = brief(names.collect::<Vec<_>>().join(", "));
                format!("its certificate is for {presented}, and not for {expected}")
            }
        }
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::BadSignature => {
            "a signature of its chain or of the handshake is wrong".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers (extended key usage)".to_owned()
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::Other(OtherError(error)) => match error.downcast_ref::<Limit>() {
            Some(limit) => limit.to_string(),
            None => format!("its certificate cannot be verified: {}", words(&error.to_string())),
        },
        other => format!("its certificate cannot be verified: {}", words(&format!("{other:?}"))),
    }
}

/// A name as `webpki` presents it, `DnsName("orders.example")`, without its type.
fn plain_name(name: &str) -> &str {
    name.split_once('(')
        .and_then(|(_, name)| name.strip_suffix(')'))
        .map_or(name, |name| name.trim_matches('"'))
}

fn shown(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    date(seconds).unwrap_or_else(|| format!("{seconds} s of Unix time"))
}

fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let name = alert.as_str().map_or_else(|| format!("{alert:?}"), words);
    match alert {
        Alert::HandshakeFailure | Alert::InsufficientSecurity => format!(
            "the server refuses ({name}): it may want a key, signature or cipher that this client \
             does not know; it knows TLS 1.2 and 1.3, and {KNOWN_KEYS}"
        ),
        Alert::ProtocolVersion => {
            format!("the server knows neither TLS 1.2 nor 1.3, as this client does ({name})")
        }
        Alert::CertificateRequired => {
            format!("the server wants a client certificate ({name}); set `tls.cert` and `tls.key`")
        }
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked => {
            format!("the server refuses the client's certificate, or its lack of one ({name})")
        }
        Alert::UnrecognisedName => format!("the server knows no such name ({name})"),
        Alert::NoApplicationProtocol => {
            format!("the server and this client have no protocol in common ({name})")
        }
        _ => format!("the server ended it ({name})"),
    }
}

fn of_incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the server speaks a version of TLS that this client does not know: it knows 1.2 and 1.3"
                .to_owned()
        }
        PeerIncompatible::NoSignatureSchemesInCommon => format!(
            "the server signs in no way that this client knows; it knows {KNOWN_KEYS}"
        ),
        PeerIncompatible::NoKxGroupsInCommon => {
            "the server exchanges keys in no way that this client knows; it knows X25519, P-256, \
             P-384 and P-521"
                .to_owned()
        }
        other => format!(
            "the server and this client do not fit ({})",
            words(&format!("{other:?}"))
        ),
    }
}

/// The words of a name such as `NoCipherSuitesInCommon`.
fn words(name: &str) -> String {
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
