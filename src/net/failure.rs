//! From the errors of sockets and TLS to the reasons of the closed list.

use std::error::Error;
use std::fmt::Display;
use std::io;

use rustls::CertificateError;

use crate::engine::check::Failure;
use crate::model::Reason;

pub(crate) use crate::engine::check::brief;

/// The failure of `what`, such as `connecting to db:5432`, for the reason that `error`, or
/// whatever caused it, stands for.
pub(crate) fn failure(what: impl Display, error: &io::Error) -> Failure {
    Failure::new(reason_of(error), format!("{what} failed: {}", brief(error)))
}

/// The reason for an I/O error, which may wrap one of TLS.
pub(crate) fn reason_of(error: &io::Error) -> Reason {
    // `source` of an I/O error skips the very error that it wraps.
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return reason_of_tls(error);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return reason_of(error);
        }
        cause = error.source();
    }
    Reason::of_io(error)
}

/// The reason for a failure of TLS itself.
pub(crate) fn reason_of_tls(error: &rustls::Error) -> Reason {
    use rustls::InvalidMessage as Invalid;
    let error = match error {
        rustls::Error::InvalidCertificate(error) => error,
        rustls::Error::InvalidMessage(
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
        // Whatever else is wrong with it, such as an authority's certificate used as a server's:
        // nobody trusted vouches for its use here.
        _ => Reason::TlsUntrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_behind_layers_of_io_errors() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(reason_of(&error), Reason::TlsExpired);
        assert_eq!(reason_of(&io::Error::from_raw_os_error(24)), Reason::LocalResource);
        assert_eq!(reason_of(&io::ErrorKind::ConnectionRefused.into()), Reason::ConnectionRefused);
    }
}
