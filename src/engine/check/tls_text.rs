//! The reason for an error of TLS, by its text alone.
//!
//! A host's own client may speak TLS by a library that this crate is built without, or in another
//! version of it. Its errors are of types that are unknown here, and so their text has to do: that
//! of `rustls`, and of OpenSSL behind `native-tls`.

use crate::model::Reason;

/// How `rustls` begins to say what is wrong with a certificate.
const RUSTLS_CERTIFICATE: &str = "invalid peer certificate: ";

/// How OpenSSL does.
const OPENSSL_CERTIFICATE: &str = "certificate verify failed";

/// Beginnings of what `rustls` says of a handshake that fails otherwise.
const RUSTLS_HANDSHAKE: [&str; 6] = [
    "received fatal alert",
    "received corrupt message",
    "received unexpected message",
    "received unexpected handshake message",
    "peer is incompatible",
    "peer misbehaved",
];

/// The reason for an error of TLS with this text; `None` when it is none of TLS.
pub(crate) fn reason_of_tls_text(text: &str) -> Option<Reason> {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[RUSTLS_CERTIFICATE, OPENSSL_CERTIFICATE]) {
        return Some(if says(&["xpired", "not valid yet", "not yet valid", "NotValidYet"]) {
            Reason::TlsExpired
        } else if says(&["not valid for name", "NotValidForName", "ostname mismatch"]) {
            Reason::TlsNameMismatch
        } else if says(&["BadEncoding"]) {
            Reason::TlsFailed
        } else {
            Reason::TlsUntrusted
        });
    }
    says(&RUSTLS_HANDSHAKE).then_some(Reason::TlsFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_tls_gives_its_reason() {
        for (text, wanted) in [
            ("invalid peer certificate: Expired", Some(Reason::TlsExpired)),
            ("invalid peer certificate: UnknownIssuer", Some(Reason::TlsUntrusted)),
            ("invalid peer certificate: BadEncoding", Some(Reason::TlsFailed)),
            ("received fatal alert: HandshakeFailure", Some(Reason::TlsFailed)),
            (
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate \
                 verify failed:ssl/statem/statem_clnt.c:1889: (certificate has expired)",
                Some(Reason::TlsExpired),
            ),
            ("certificate verify failed (Hostname mismatch)", Some(Reason::TlsNameMismatch)),
            ("certificate verify failed (self-signed certificate)", Some(Reason::TlsUntrusted)),
            ("connection refused", None),
        ] {
            assert_eq!(reason_of_tls_text(text), wanted, "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_texts_are_those_that_rustls_writes() {
        use rustls::pki_types::{ServerName, UnixTime};
        use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
        use std::time::Duration;

        let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let expected = ServerName::try_from("db").expect("a name");
        for (error, wanted) in [
            (CertificateError::Expired, Reason::TlsExpired),
            (CertificateError::ExpiredContext { time, not_after: time }, Reason::TlsExpired),
            (CertificateError::NotValidYet, Reason::TlsExpired),
            (CertificateError::NotValidYetContext { time, not_before: time }, Reason::TlsExpired),
            (CertificateError::NotValidForName, Reason::TlsNameMismatch),
            (
                CertificateError::NotValidForNameContext { expected, presented: Vec::new() },
                Reason::TlsNameMismatch,
            ),
            (CertificateError::UnknownIssuer, Reason::TlsUntrusted),
            (CertificateError::Revoked, Reason::TlsUntrusted),
            (CertificateError::BadEncoding, Reason::TlsFailed),
        ] {
            let text = Error::InvalidCertificate(error).to_string();
            assert_eq!(reason_of_tls_text(&text), Some(wanted), "{text}");
        }
        for error in [
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        ] {
            assert_eq!(reason_of_tls_text(&error.to_string()), Some(Reason::TlsFailed), "{error}");
        }
    }
}
