//! Maps a driver's error to the reason and message of a failed run, without any secret.

use std::fmt;
use std::io;

use opentelemetry_semantic_conventions::attribute as semconv;

use super::{Dialect, Stage};
use crate::engine::check::{Context, Failure, reason_of_tls_text};
use crate::model::{Reason, Redaction};
#[cfg(feature = "postgres")]
use crate::net::database::{ConnectError, ServerError};

/// How the driver begins to say that it does not know a login.
const UNKNOWN_PLUGIN: &str = "unknown authentication plugin: ";

/// No greeting or first answer of a database is longer; a length above it is another protocol's
/// text read as one.
const MAX_GREETING: u64 = 1 << 20;

/// The failure that an attempt to connect ended in.
#[cfg(feature = "postgres")]
pub(crate) fn connect_failure<D: Dialect>(
    redaction: &Redaction,
    cx: &Context,
    error: &ConnectError,
) -> Failure {
    let step = format_args!("connect to {}", error.server.place());
    match &error.error {
        ServerError::Driver(error) => failure::<D>(redaction, cx, Stage::Connect, step, error),
        ServerError::WrongSession(text) => {
            Failure::new(Reason::NotServing, format!("{step}: {text}"))
        }
        ServerError::TimedOut => {
            Failure::new(Reason::Timeout, format!("{step}: no answer within its share of the time"))
        }
    }
}

/// The failure that `error` stands for; `step` is what was being done.
///
/// A server's own error code goes to the CLIENT span.
pub(crate) fn failure<D: Dialect>(
    redaction: &Redaction,
    cx: &Context,
    stage: Stage,
    step: impl fmt::Display,
    error: &sqlx::Error,
) -> Failure {
    let (reason, text) = match error {
        sqlx::Error::Database(error) => {
            if let Some(code) = D::code(error.as_ref()) {
                cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code);
            }
            (D::reason(error.as_ref(), stage), redaction.clean(error.message()))
        }
        sqlx::Error::Io(error) => {
            let (reason, text) = of_io(error);
            (reason, redaction.clean(&text))
        }
        sqlx::Error::Tls(error) => {
            let reason = of_tls(error.as_ref()).unwrap_or(Reason::TlsFailed);
            (reason, redaction.clean(&tls_text(error.as_ref())))
        }
        sqlx::Error::Protocol(text) if is_end_instead_of_tls_answer(text) => {
            (Reason::ConnectionReset, "the server closed the connection".to_owned())
        }
        sqlx::Error::Protocol(text) if text.contains(UNKNOWN_PLUGIN) => {
            let plugin = text.split(UNKNOWN_PLUGIN).nth(1).and_then(|t| t.split(' ').next());
            let plugin = redaction.clean(plugin.unwrap_or_default());
            (
                Reason::AuthFailed,
                format!(
                    "the driver of the application's pool does not know the login `{plugin}` that \
                     the server asks for; the kind by its URL knows more of them"
                ),
            )
        }
        sqlx::Error::Protocol(text) => {
            // Behind it the driver names the line of its source.
            let text = text.rsplit_once(" (sqlx").map_or(text.as_str(), |(text, _)| text);
            (Reason::Protocol, redaction.clean(text))
        }
        // A value that does not decode and a row that is not there are answers of servers
        // that only nearly speak the protocol.
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => (Reason::Protocol, redaction.clean(&error.to_string())),
        _ => (Reason::Other, redaction.clean(&error.to_string())),
    };
    Failure::new(reason, format!("{step}: {text}"))
}

/// Whether the driver took the end of the stream for the zero byte of its own buffer: its text
/// is then about the answer 0x00 to the request for TLS.
fn is_end_instead_of_tls_answer(text: &str) -> bool {
    text.contains("SSLRequest: 0x00 ")
}

/// The reason and text of an I/O error, which may be a TLS or a look-up error inside.
pub(crate) fn of_io(error: &io::Error) -> (Reason, String) {
    let text = error.to_string();
    if let Some(inner) = error.get_ref()
        && let Some(reason) = of_tls(inner)
    {
        return (reason, tls_text(inner));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof if expected_bytes(&text) > MAX_GREETING => {
            (Reason::Protocol, "the answer does not speak the protocol".to_owned())
        }
        io::ErrorKind::UnexpectedEof => {
            (Reason::ConnectionReset, "the server closed the connection".to_owned())
        }
        io::ErrorKind::InvalidData => (Reason::Protocol, text),
        _ => (Reason::of_io(error), text),
    }
}

/// The reason of an error of TLS.
pub(crate) fn of_tls(error: &(dyn std::error::Error + 'static)) -> Option<Reason> {
    #[cfg(feature = "tls")]
    if let Some(error) = error.downcast_ref() {
        return Some(crate::net::reason_of_tls(error));
    }
    reason_of_tls_text(&error.to_string())
}

/// An error of TLS in words, where its type is known here.
fn tls_text(error: &(dyn std::error::Error + 'static)) -> String {
    #[cfg(feature = "tls")]
    if let Some(error) = error.downcast_ref() {
        return crate::net::explain_to_driver(error);
    }
    error.to_string()
}

/// The length that a peer announced before it closed, which the driver tells in its text:
/// `expected to read 5526600 bytes, got 0 bytes at EOF`.
fn expected_bytes(text: &str) -> u64 {
    let announced = text.strip_prefix("expected to read ").and_then(|t| t.split(' ').next());
    announced.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_tells_another_protocol_from_a_closed_connection() {
        let closed = |text: &str| of_io(&io::Error::new(io::ErrorKind::UnexpectedEof, text)).0;
        assert_eq!(closed("expected to read 4 bytes, got 0 bytes at EOF"), Reason::ConnectionReset);
        assert_eq!(closed("expected to read 5526600 bytes, got 9 bytes at EOF"), Reason::Protocol);
        assert_eq!(closed("unexpected end of file"), Reason::ConnectionReset);
    }
}
