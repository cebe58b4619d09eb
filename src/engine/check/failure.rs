//! Why a run failed, and which reason an error of the system or a library stands for.

#[cfg(any(feature = "redis-client", feature = "sql", feature = "tls"))]
use std::fmt::Display;

use crate::model::{Outcome, Reason};

/// Longest text of a library that goes into a message; a peer has a say in some of them.
#[cfg(any(feature = "redis-client", feature = "sql", feature = "tls"))]
const LONGEST: usize = 200;

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) answered: bool,
}

impl Failure {
    /// A failure for `reason`, with a redacted message for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), answered: false }
    }

    /// Says that the protocol call itself succeeded and only our expectation was not met: the
    /// CLIENT span then carries no error.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.answered = true;
        self
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Any error fails a run: an I/O error in its chain gives the reason, its texts the message.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut reason = io_reason(&error);
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            reason = reason.or_else(|| io_reason(cause));
            source = cause.source();
        }
        Self::new(reason.unwrap_or(Reason::Other), message)
    }
}

fn io_reason(error: &(dyn std::error::Error + 'static)) -> Option<Reason> {
    error.downcast_ref::<std::io::Error>().map(Reason::of_io)
}

impl Reason {
    /// The outcome of a run that ends for this reason.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::LocalResource => Outcome::Unknown,
            Self::Timeout => Outcome::Timeout,
            _ => Outcome::Failure,
        }
    }

    /// The reason that an I/O error stands for; [`Reason::Other`] when none does.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::ConnectionRefused,
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::UnexpectedEof => Self::ConnectionReset,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            Kind::TimedOut => Self::Timeout,
            Kind::AddrNotAvailable | Kind::OutOfMemory => Self::LocalResource,
            _ => match error.raw_os_error() {
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: what is wanting is ours, not the dependency's.
                Some(24 | 23 | 105 | 12) => Self::LocalResource,
                _ => Self::Other,
            },
        }
    }
}

/// `text` on one line and cut to a length that suits a message.
#[cfg(any(feature = "redis-client", feature = "sql", feature = "tls"))]
pub(crate) fn brief(text: impl Display) -> String {
    let text = text.to_string();
    let mut line: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_multi_line_text_becomes_a_short_line() {
        let text = brief("a\nb\r".repeat(500));
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("a b a b ") && text.ends_with('…'));
    }
}
