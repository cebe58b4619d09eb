//! The causes that no answer has, whatever client they come from.

use std::error::Error;
use std::io;

use crate::engine::check::{causes, error_text};
use crate::health::observe::observation::Observation;
use crate::model::Reason;

/// The reason of the first cause that cannot be an answer.
pub(in crate::health::observe) fn reason_of_chain(error: &(dyn Error + 'static)) -> Option<Reason> {
    causes(error).find_map(reason_of_cause)
}

/// The reason that a cause stands for by its type, if it cannot be an answer.
pub(super) fn reason_of_cause(error: &(dyn Error + 'static)) -> Option<Reason> {
    if error.is::<tower::timeout::error::Elapsed>() || error.is::<tokio::time::error::Elapsed>() {
        return Some(Reason::Timeout);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let of_hyper = [
            (error.is_timeout(), Reason::Timeout),
            (error.is_incomplete_message(), Reason::ConnectionReset),
            (error.is_parse(), Reason::Protocol),
        ];
        return of_hyper.into_iter().find_map(|(is, reason)| is.then_some(reason));
    }
    let reason = Reason::of_io(error.downcast_ref::<io::Error>()?);
    // Its cause may say more.
    Some(reason).filter(|reason| *reason != Reason::Other)
}

/// A failure for `reason`, with the text of `error`.
pub(super) fn failed(reason: Reason, error: &(dyn Error + 'static)) -> Observation {
    Observation::Failure(reason, Some(error_text(error)))
}
