//! What an error of the crate `redis` says.

use ::redis::{ErrorKind, RedisError};

use super::cause::failed;
use crate::checks::redis::reason;
use crate::health::observe::observation::Observation;
use crate::model::Reason;

/// The code of a server that was made a replica while a client went on writing to it.
const READ_ONLY: &str = "READONLY";

pub(super) fn judge(error: &RedisError) -> Observation {
    let reason = match (error.kind(), reason(error)) {
        // A nil where a number was wanted is an answer, as a missing row is.
        (ErrorKind::UnexpectedReturnType, _) => return Observation::Success,
        (ErrorKind::Parse, _) if is_of_a_value(error) => return Observation::Success,
        // It was not asked.
        (ErrorKind::InvalidClientConfig | ErrorKind::Client, _) => return Observation::Ignored,
        (_, Reason::QueryFailed) if error.code() == Some(READ_ONLY) => Reason::NotServing,
        (_, Reason::QueryFailed) => return Observation::Success,
        (
            ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel
            | ErrorKind::ClusterConnectionNotFound,
            _,
        ) => Reason::NotServing,
        (_, Reason::Other) => return Observation::Ignored,
        (_, reason) => reason,
    };
    failed(reason, error)
}

/// Whether an error of parsing is about the value of an answer: the client has one kind for that and
/// for what is no answer of the protocol at all, which it begins to describe so.
fn is_of_a_value(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| !text.starts_with("Parse error"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use ::redis::ParsingError;

    use super::*;

    #[test]
    fn an_error_reply_is_an_answer_unless_it_says_that_the_server_cannot_serve() {
        let said = |code: &str| ::redis::make_extension_error(code.to_owned(), None);
        let of = |kind: ErrorKind| RedisError::from((kind, "it went wrong"));
        let io = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        for (error, wanted) in [
            (said("WRONGTYPE"), Ok(Observation::Success)),
            (said("NOSCRIPT"), Ok(Observation::Success)),
            (said("ERR"), Ok(Observation::Success)),
            (said("LOADING"), Err(Reason::NotServing)),
            (said("READONLY"), Err(Reason::NotServing)),
            (said("CLUSTERDOWN"), Err(Reason::NotServing)),
            (said("OOM"), Err(Reason::Overloaded)),
            (said("NOAUTH"), Err(Reason::AuthFailed)),
            (of(ErrorKind::UnexpectedReturnType), Ok(Observation::Success)),
            (of(ErrorKind::Client), Ok(Observation::Ignored)),
            (of(ErrorKind::Parse), Err(Reason::Protocol)),
            (ParsingError::from("Parse error at 1").into(), Err(Reason::Protocol)),
            (
                ParsingError::from("not convertible (value was nil)").into(),
                Ok(Observation::Success),
            ),
            (of(ErrorKind::ClusterConnectionNotFound), Err(Reason::NotServing)),
            (io(io::ErrorKind::ConnectionRefused), Err(Reason::ConnectionRefused)),
            (io(io::ErrorKind::TimedOut), Err(Reason::Timeout)),
        ] {
            let judged = match judge(&error) {
                Observation::Failure(reason, _) => Err(reason),
                said => Ok(said),
            };
            assert_eq!(judged, wanted, "{error}");
        }
    }
}
