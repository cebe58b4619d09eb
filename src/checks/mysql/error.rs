//! What goes wrong with a server, and the reason that it stands for.

use std::fmt::Display;
use std::io;

use opentelemetry_semantic_conventions::attribute as semconv;

use super::dialect::reason;
use crate::config::Redaction;
use crate::engine::check::{Context, Failure, brief};
use crate::model::Reason;

/// Why an exchange with a server did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection broke.
    Io(io::Error),
    /// The server ended it.
    Closed,
    /// What was received is nothing that the protocol has there.
    OtherProtocol,
    /// The server reports an error.
    Refused { number: u16, text: String },
    /// The failure is known in full.
    Known(Failure),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Known(failure)
    }
}

impl Trouble {
    /// The failure of a run; `step` is what was being done.
    ///
    /// A server's own error code goes to the CLIENT span.
    pub(super) fn failure(
        self,
        redaction: &Redaction,
        cx: &Context,
        step: impl Display,
    ) -> Failure {
        let (reason, text) = match self {
            Self::Io(error) => (Reason::of_io(&error), brief(&error)),
            Self::Closed => {
                (Reason::ConnectionReset, "the server closed the connection".to_owned())
            }
            Self::OtherProtocol => {
                (Reason::Protocol, "the answer does not speak the protocol of MySQL".to_owned())
            }
            Self::Refused { number, text } => {
                cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, number.to_string());
                (reason(number), redaction.clean(&text))
            }
            Self::Known(failure) => (failure.reason(), redaction.clean(failure.message())),
        };
        Failure::new(reason, format!("{step}: {text}"))
    }
}

/// A statement that the server cannot read: a newer form that it does not know.
pub(super) const PARSE_ERROR: u16 = 1064;
