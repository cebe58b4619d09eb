//! From the errors of sockets and TLS to the reasons of the closed list.

use std::error::Error;
use std::fmt::Display;
use std::io;

use rustls::CertificateError;

use crate::check::Failure;
use crate::model::Reason;

/// Longest text of a library that goes into a message; a peer has a say in some of them.
const LONGEST: usize = 200;

/// The failure of `what`, such as `connecting to db:5432`, for the reason that `error`, or
/// whatever caused it, stands for.
pub(crate) fn failure(what: impl Display, error: &io::Error) -> Failure {
    Failure::new(reason_of(error), format!("{what} failed: {}", brief(error)))
}

/// `text` on one line and cut to a length that suits a message.
pub(crate) fn brief(text: impl Display) -> String {
    let text = text.to_string();
    let mut line: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
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

    #[test]
    fn a_long_or_multi_line_text_becomes_a_short_line() {
        let text = brief("a\nb\r".repeat(500));
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("a b a b ") && text.ends_with('…'));
    }
}
