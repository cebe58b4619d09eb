//! [`Failure`]: why a request was not accepted.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError};

use super::Retry;
use crate::model::redacted;

/// The kind of a failure: the `error_type` of a metric and of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorType {
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// The receiver asks for fewer requests.
    RateLimited,
    /// The receiver answers that it does not serve now.
    Unavailable,
    /// The receiver does not accept the credentials.
    AuthFailed,
    /// The receiver refused the request, or a part of what it carried.
    Rejected,
    /// This process stopped before the receiver had answered.
    Shutdown,
    /// Anything else.
    Other,
}

#[cfg(feature = "otlp")]
impl ErrorType {
    /// Every kind, in the order of the enum.
    pub(crate) const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Unreachable,
        Self::RateLimited,
        Self::Unavailable,
        Self::AuthFailed,
        Self::Rejected,
        Self::Shutdown,
        Self::Other,
    ];

    /// The label's value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::AuthFailed => "auth_failed",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }
}

/// A request that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind of failure it was.
    pub(crate) error_type: ErrorType,
    /// A sentence for people, without secrets.
    pub(crate) detail: String,
    /// Whether sending again may help.
    pub(crate) retry: Retry,
}

/// The innermost cause of `error`, in words: the outer ones repeat the URL.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    loop {
        if let Some(tls) = tls_error(error) {
            return tls_words(tls).to_owned();
        }
        match error.source() {
            Some(source) => error = source,
            None => return redacted(&error.to_string()).into_owned(),
        }
    }
}

/// The error of TLS that `error` is, or that it carries as an error of a stream.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    error.downcast_ref().or_else(|| tls_error(error.downcast_ref::<io::Error>()?.get_ref()?))
}

/// What went wrong, in place of the text of rustls, which prints its own types.
fn tls_words(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer => {
                "the certificate is of an authority that is not trusted"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            CertificateError::Revoked => "the certificate was revoked",
            _ => "the certificate cannot be verified",
        },
        TlsError::AlertReceived(_) => "the receiver refused the TLS handshake",
        TlsError::InvalidMessage(_) => "the receiver does not answer in TLS",
        _ => "the TLS handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tls_are_in_words_wherever_they_are_carried() {
        let error = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let words = "the certificate is of an authority that is not trusted";
        assert_eq!(innermost(&error()), words);
        let of_stream = io::Error::new(io::ErrorKind::InvalidData, error());
        assert_eq!(innermost(&of_stream), words);
        assert_eq!(innermost(&io::Error::other(of_stream)), words);
        assert_eq!(innermost(&io::Error::other("plain")), "plain");
        let of_a_url = io::Error::other("no answer of http://u:s3cret@h/?key=s3cret");
        assert_eq!(innermost(&of_a_url), "no answer of http://h/");
    }
}
