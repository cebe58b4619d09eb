//! From the errors of sockets and TLS to the reasons of the closed list.

use std::error::Error;
use std::fmt::Display;
use std::io;

#[cfg(any(feature = "http", feature = "reqwest-client"))]
use hyper::StatusCode;

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

/// The reason for an answer over HTTP whose status is none of those expected.
#[cfg(any(feature = "http", feature = "reqwest-client"))]
pub(crate) const fn reason_of_status(status: StatusCode) -> Reason {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Reason::AuthFailed,
        _ => Reason::UnexpectedStatus,
    }
}

/// The failure of an answer `from` a peer whose status is none of those expected.
#[cfg(any(feature = "http", feature = "reqwest-client"))]
pub(crate) fn unexpected_status(from: impl Display, status: StatusCode, expected: &str) -> Failure {
    let text = format!("{from} answered {status}; expected {expected}");
    let failure = Failure::new(reason_of_status(status), text);
    // By HTTP's own convention.
    let failed = status.is_client_error() || status.is_server_error();
    if failed { failure } else { failure.answered() }
}

/// The error of TLS that `error` wraps, if any.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    innermost(error).1
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
