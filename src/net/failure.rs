//! Maps the errors of sockets, TLS and HTTP to reasons.

use std::error::Error;
use std::fmt::Display;
use std::io;

use crate::engine::check::Failure;
use crate::model::Reason;

pub(crate) use crate::engine::check::brief;

use super::tls::explain::{explain, reason};

/// The failure of `what`, such as `connecting to db:5432`, for the reason that `error`, or
/// whatever caused it, stands for.
pub(crate) fn failure(what: impl Display, error: &io::Error) -> Failure {
    let why = match tls_error(error) {
        Some(error) => explain(error),
        None => brief(error),
    };
    Failure::new(reason_of(error), format!("{what} failed: {why}"))
}

/// The reason for an I/O error, which may wrap one of TLS.
pub(crate) fn reason_of(error: &io::Error) -> Reason {
    match innermost(error) {
        (_, Some(error)) => reason(error),
        (error, None) => Reason::of_io(error),
    }
}

/// The reason of the error of TLS that `error` wraps, if any.
#[cfg(feature = "reqwest-client")]
pub(crate) fn wrapped_reason_of_tls(error: &io::Error) -> Option<Reason> {
    tls_error(error).map(reason)
}

/// The error of TLS that `error` wraps, if any.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    innermost(error).1
}

/// The limit of this client that an error of TLS behind `error` stands for, if it is one.
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) fn tls_limit(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let tls = match inner.downcast_ref::<io::Error>() {
            Some(error) => tls_error(error),
            None => inner.downcast_ref(),
        };
        if let Some(error) = tls {
            return is_limit(error).then(|| explain(error));
        }
        cause = inner.source();
    }
    None
}

/// Whether `error` may come from what this client does not know or take.
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
const fn is_limit(error: &rustls::Error) -> bool {
    use rustls::{AlertDescription::HandshakeFailure, CertificateError, Error as Tls};
    matches!(
        error,
        Tls::InvalidCertificate(CertificateError::Other(_))
            | Tls::PeerIncompatible(_)
            | Tls::AlertReceived(HandshakeFailure)
    )
}

/// The innermost I/O error that `error` wraps, and the error of TLS that this one wraps.
fn innermost(error: &io::Error) -> (&io::Error, Option<&rustls::Error>) {
    // `source` of an I/O error skips the very error that it wraps.
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<rustls::Error>() {
            return (error, Some(inner));
        }
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            return innermost(inner);
        }
        cause = inner.source();
    }
    (error, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_behind_layers_of_io_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(reason_of(&error), Reason::TlsExpired);
        assert_eq!(reason_of(&io::Error::from_raw_os_error(24)), Reason::LocalResource);
        assert_eq!(reason_of(&io::ErrorKind::ConnectionRefused.into()), Reason::ConnectionRefused);
    }
}
