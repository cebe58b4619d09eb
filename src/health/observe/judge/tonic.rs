//! What a status of gRPC says.

use ::tonic::{Code, Status};

use super::cause::{failed, reason_of_chain};
use crate::health::observe::observation::Observation;
use crate::model::Reason;

/// OpenTelemetry's conventions count these codes as errors of a server; the others are answers.
pub(super) fn judge(status: &Status) -> Observation {
    let reason = match status.code() {
        Code::Unavailable => reason_of_chain(status).unwrap_or(Reason::NotServing),
        Code::DeadlineExceeded => Reason::Timeout,
        Code::Unknown => reason_of_chain(status).unwrap_or(Reason::QueryFailed),
        Code::Internal | Code::Unimplemented | Code::DataLoss => Reason::QueryFailed,
        // The caller gave up.
        Code::Cancelled => return Observation::Ignored,
        _ => return Observation::Success,
    };
    failed(reason, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_an_answer_or_a_failure_of_the_server() {
        for code in (0..=16).map(Code::from) {
            let wanted = match code {
                Code::Unavailable => Err(Reason::NotServing),
                Code::DeadlineExceeded => Err(Reason::Timeout),
                Code::Unknown | Code::Internal | Code::Unimplemented | Code::DataLoss => {
                    Err(Reason::QueryFailed)
                }
                Code::Cancelled => Ok(Observation::Ignored),
                _ => Ok(Observation::Success),
            };
            let judged = match judge(&Status::new(code, "no")) {
                Observation::Failure(reason, _) => Err(reason),
                said => Ok(said),
            };
            assert_eq!(judged, wanted, "{code:?}");
        }
    }
}
