//! What an error of a call says about the dependency.
//!
//! # Answers are no failures
//!
//! Most errors of a client are answers: no row was found, a row violates a constraint, a key is of
//! another type, an HTTP status is 404. The dependency served, and the caller has to deal with what
//! it said. A dependency fails when no answer comes, or one that says that it cannot serve.
//!
//! # How an error is judged
//!
//! [`judge`] walks the chain of causes, from the error to what caused it, and stops at the first
//! that it knows:
//!
//! - an error of sqlx, redis, reqwest or tonic, with the feature that brings the client: by its kind,
//!   code or status;
//! - a timeout of tokio or tower, and an error of hyper: no answer came;
//! - an I/O error of a connection, such as one that was refused or reset, a host without a route, a
//!   name that cannot be looked up, a TLS handshake that failed: no answer came. Others, such as a
//!   file that is not found, may be answers.
//!
//! What has none of these in its chain may be an answer: it is [`Observation::Ignored`].

mod cause;
mod chain;
mod error;
#[cfg(feature = "redis-client")]
mod redis;
#[cfg(feature = "reqwest-client")]
mod reqwest;
#[cfg(feature = "sql-pool")]
mod sql;
#[cfg(feature = "tonic")]
mod tonic;

use super::observation::Observation;

pub(super) use cause::reason_of_chain;
pub use error::CallError;

/// Says what an error of a call means for the dependency; [`Observer::call`] does so for every
/// error, and [`Observer::call_with`] takes it where a type has more than one meaning.
///
/// A [`Success`](Observation::Success) is an answer, a [`Failure`](Observation::Failure) cannot be
/// one, and an error that may be either is [`Ignored`](Observation::Ignored). The text of a failure is
/// that of the error and its causes, without credentials and queries of URLs.
///
/// | client | answers | failures |
/// | --- | --- | --- |
/// | `sqlx::Error` (`postgres-pool`, `mysql-pool`, `sqlite-pool`) | no row, constraint violations, any other error of a statement, values that do not decode | no connection, a pool that gives none, a server that shuts down, is full, read-only or out of connections, a statement that ran out of time |
/// | `redis::RedisError` (`redis-client`) | `WRONGTYPE`, `NOSCRIPT`, any other error of a command, values of another type | no connection, timeouts, `LOADING`, `OOM`, `READONLY`, `CLUSTERDOWN`, `NOAUTH` |
/// | `reqwest::Error` (`reqwest-client`) | 4xx, bodies that do not decode | 5xx, no connection, timeouts, too many redirects |
/// | `tonic::Status` (`tonic`) | all other codes | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `INTERNAL`, `UNKNOWN`, `UNIMPLEMENTED`, `DATA_LOSS`: what OpenTelemetry's conventions count as errors of a server |
///
/// What was never asked, such as by a pool that is closed or a request that cannot be built, is
/// ignored too.
///
/// ```
/// use std::io;
/// use vitalsign::{Observation, observe::judge};
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// assert!(matches!(judge(&refused), Observation::Failure(..)));
/// let missing = io::Error::from(io::ErrorKind::NotFound);
/// assert_eq!(judge(&missing), Observation::Ignored);
///
/// # async fn f(database: vitalsign::Observer) -> io::Result<()> {
/// # async fn find() -> io::Result<()> { Ok(()) }
/// // With an opinion of one's own on one error:
/// let found = database.call_with(find(), |error: &io::Error| match error.kind() {
///     io::ErrorKind::NotFound => Observation::Success,
///     _ => judge(error),
/// });
/// # found.await }
/// ```
///
/// [`Observer::call`]: super::Observer::call
/// [`Observer::call_with`]: super::Observer::call_with
#[must_use]
pub fn judge<E: CallError<M> + ?Sized, M>(error: &E) -> Observation {
    error.judge()
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::{fmt, io};

    use super::*;
    use crate::model::Reason;

    /// An error of a host's own.
    #[derive(Debug)]
    struct Own(Option<io::Error>);

    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("GET https://app:s3cret@rates/v1?key=s3cret failed")
        }
    }

    impl Error for Own {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_ref().map(|error| error as _)
        }
    }

    fn reason(said: &Observation) -> Option<Reason> {
        match said {
            Observation::Failure(reason, _) => Some(*reason),
            _ => None,
        }
    }

    #[test]
    fn an_error_of_a_connection_is_no_answer_whatever_wraps_it() {
        for (kind, wanted) in [
            (io::ErrorKind::ConnectionRefused, Some(Reason::ConnectionRefused)),
            (io::ErrorKind::BrokenPipe, Some(Reason::ConnectionReset)),
            (io::ErrorKind::HostUnreachable, Some(Reason::Unreachable)),
            (io::ErrorKind::TimedOut, Some(Reason::Timeout)),
            (io::ErrorKind::NotFound, None),
            (io::ErrorKind::InvalidData, None),
        ] {
            let io = || io::Error::from(kind);
            let boxed: Box<dyn Error + Send + Sync> = Box::new(Own(Some(io())));
            let local: Box<dyn Error> = Box::new(Own(Some(io())));
            for said in [judge(&io()), judge(&Own(Some(io()))), judge(&boxed), judge(&local)] {
                assert_eq!(reason(&said), wanted, "{kind:?}");
            }
        }
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(reason(&judge(&io::Error::other(unknown))), Some(Reason::DnsNotFound));
    }

    #[test]
    fn an_error_without_a_known_cause_says_nothing() {
        assert_eq!(judge(&Own(None)), Observation::Ignored);
        assert_eq!(judge(&Own(Some(io::ErrorKind::NotFound.into()))), Observation::Ignored);
    }

    #[test]
    fn an_error_that_is_only_a_text_cannot_be_judged_and_counts() {
        let untold = Observation::Failure(Reason::Other, None);
        let unit = ();
        for said in [judge(&"a secret"), judge(&"a secret".to_owned()), judge(&unit)] {
            assert_eq!(said, untold);
        }
    }

    #[test]
    fn a_text_goes_without_what_is_secret_in_urls() {
        let own = Own(Some(io::ErrorKind::ConnectionRefused.into()));
        let Observation::Failure(_, Some(text)) = judge(&own) else { panic!("a failure") };
        assert_eq!(text, "GET https://rates/v1 failed: connection refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_of_tokio_is_no_answer() {
        let late = tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>());
        let elapsed = late.await.expect_err("nothing came");
        assert_eq!(reason(&judge(&elapsed)), Some(Reason::Timeout));
    }
}
