//! Maps an error of TLS to a reason and to words for people.
//!
//! `rustls` shows many of its errors as the names of its types. People who run checks know none of
//! them, and cannot tell a fault of the server from a limit of this client.

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved,
};

use crate::engine::check::brief;
use crate::model::Reason;

use super::chain::date;
use super::crypto::KNOWN_KEYS;
use super::limits::{Limit, words};

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
        // rustls knows these signatures in TLS 1.3 alone.
        Error::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm) => {
            "the server signs by a key for RSA-PSS alone, which this client knows in TLS 1.3 and \
             not in 1.2"
                .to_owned()
        }
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

/// What `error` of a library's own TLS client means, which knows less than the one of this crate.
#[cfg(feature = "sql-pool")]
pub(crate) fn explain_to_driver(error: &Error) -> String {
    use CertificateError as Certificate;
    const LIMIT: &str = "the driver of this kind takes no certificate that is its own authority, none \
                         of X.509 v1, and no key of P-521 or for RSA-PSS alone";
    match error {
        Error::InvalidCertificate(
            Certificate::UnknownIssuer
            | Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. }
            | Certificate::NotValidForName
            | Certificate::NotValidForNameContext { .. }
            | Certificate::Revoked,
        ) => explain(error),
        Error::InvalidCertificate(_) => format!("{}; {LIMIT}", explain(error)),
        Error::AlertReceived(
            alert @ (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity),
        ) => {
            let name = alert.as_str().map_or_else(|| format!("{alert:?}"), words);
            format!("the server refuses ({name}); {LIMIT}")
        }
        error => explain(error),
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
