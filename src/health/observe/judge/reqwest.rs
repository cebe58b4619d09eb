//! What an error of reqwest says.

use ::reqwest::Error;

use super::cause::failed;
use crate::checks::reqwest::reason;
use crate::health::observe::observation::Observation;
use crate::model::Reason;

pub(super) fn judge(error: &Error) -> Observation {
    let reason = match (error.status(), reason(error)) {
        // From `error_for_status`.
        (Some(status), _) if status.is_server_error() => Reason::UnexpectedStatus,
        (Some(_), _) => return Observation::Success,
        // The request could not be built, or the host's own body ended early: nothing was asked.
        _ if error.is_builder() => return Observation::Ignored,
        (_, Reason::Other) if error.is_decode() => return Observation::Success,
        (_, Reason::Other) if error.is_body() => return Observation::Ignored,
        (_, reason) => reason,
    };
    failed(reason, error)
}
