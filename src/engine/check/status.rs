//! An answer over HTTP whose status is none of those expected.

use std::fmt::Display;

use hyper::StatusCode;

use super::Failure;
use crate::model::Reason;

/// The reason for an answer over HTTP whose status is none of those expected.
const fn reason_of_status(status: StatusCode) -> Reason {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Reason::AuthFailed,
        _ => Reason::UnexpectedStatus,
    }
}

/// The failure of an answer `from` a peer whose status is none of those expected.
pub(crate) fn unexpected_status(from: impl Display, status: StatusCode, expected: &str) -> Failure {
    let text = format!("{from} answered {status}; expected {expected}");
    let failure = Failure::new(reason_of_status(status), text);
    // By HTTP's own convention.
    let failed = status.is_client_error() || status.is_server_error();
    if failed { failure } else { failure.answered() }
}
