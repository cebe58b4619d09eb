//! [`Failure`]: why a run failed. Maps errors of the system and of libraries to reasons.

#[cfg(any(feature = "redis-client", feature = "reqwest-client", feature = "tls"))]
use std::fmt::Display;

use std::error::Error;

use crate::model::{Outcome, Reason, redacted};

/// Longest text of a library in a message; a peer can influence some of these texts.
#[cfg(any(feature = "redis-client", feature = "reqwest-client", feature = "tls"))]
const LONGEST: usize = 200;

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) answered: bool,
}

impl Failure {
    /// A failure for `reason`, with a message for people.
    ///
    /// URLs in the message lose user, password, query and fragment wherever it is shown. Any other
    /// secret has to be left out by whoever writes it.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), answered: false }
    }

    /// The failure that `error` stands for: an I/O error in its chain of causes gives the reason.
    pub(crate) fn of_error(error: &(dyn Error + 'static)) -> Self {
        Self::new(causes(error).find_map(io_reason).unwrap_or(Reason::Other), error_text(error))
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
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of_error(&error)
    }
}

/// Longest chain of causes that is followed: one that leads in a circle has no end.
const LONGEST_CHAIN: usize = 16;

/// `error` and what caused it, from the outside in.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error)).take(LONGEST_CHAIN)
}

/// The texts of `error` and of its causes, without credentials and queries of URLs. A text that
/// repeats its cause is not followed by it.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
    }
    redacted(&message).into_owned()
}

fn io_reason(error: &(dyn Error + 'static)) -> Option<Reason> {
    error.downcast_ref::<std::io::Error>().map(Reason::of_io)
}

/// How the standard library begins to say that a name could not be looked up. It keeps no code.
const LOOKUP: &str = "failed to lookup address information: ";

/// How glibc, musl and macOS say that there is no such name.
const NO_SUCH_NAME: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];

/// The reason of a failed look-up, by the text of its error.
fn of_lookup(error: &std::io::Error) -> Option<Reason> {
    let text = error.to_string();
    let cause = text.strip_prefix(LOOKUP)?;
    let unknown = NO_SUCH_NAME.iter().any(|text| cause.starts_with(text));
    Some(if unknown { Reason::DnsNotFound } else { Reason::DnsFailed })
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
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: this process lacks a resource, not the
                // dependency.
                Some(24 | 23 | 105 | 12) => Self::LocalResource,
                _ => of_lookup(error).unwrap_or(Self::Other),
            },
        }
    }
}

/// `text` on one line and cut to a length that suits a message.
#[cfg(any(feature = "redis-client", feature = "reqwest-client", feature = "tls"))]
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
    use std::io;

    use super::*;

    #[test]
    fn a_name_that_is_unknown_differs_from_a_resolver_that_fails() {
        let of = |cause: &str| Reason::of_io(&io::Error::other(format!("{LOOKUP}{cause}")));
        assert_eq!(of("Name or service not known"), Reason::DnsNotFound);
        assert_eq!(of("Temporary failure in name resolution"), Reason::DnsFailed);
        assert_eq!(Reason::of_io(&io::Error::other("Name or service not known")), Reason::Other);
    }

    #[test]
    fn the_texts_of_a_chain_are_shown_once_and_without_secrets_of_urls() {
        let cause = io::Error::other("no answer from http://app:s3cret@rates/v1?key=s3cret");
        let failure = Failure::from(cause);
        assert_eq!(failure.message(), "no answer from http://rates/v1");
    }

    #[cfg(any(
        feature = "redis-client",
        feature = "reqwest-client",
        feature = "sql-pool",
        feature = "tls"
    ))]
    #[test]
    fn a_long_or_multi_line_text_becomes_a_short_line() {
        let text = brief("a\nb\r".repeat(500));
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("a b a b ") && text.ends_with('…'));
    }
}
