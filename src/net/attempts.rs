//! Tries several servers of one check, one after the other, until one answers.
//!
//! [`attempt`] gives each server except the last an equal share of the remaining time, so that a
//! server that never answers does not use up the time of the others. [`most_telling`] merges the
//! failures of all servers into one.

use std::future::Future;

use tokio::time::timeout;

use crate::engine::check::{Context, Failure};
use crate::model::Reason;

/// Tries one of several servers, of which `left` were not tried yet, including this one.
///
/// # Errors
/// Those of `question`, and [`Reason::Timeout`] when its share of the time is over.
pub(crate) async fn attempt<T>(
    cx: &Context,
    left: usize,
    question: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    if left <= 1 {
        return question.await;
    }
    // One share is reserved for the steps after the last answer.
    let shares = u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1);
    let late = || Failure::new(Reason::Timeout, "no answer in its share of the time");
    timeout(cx.remaining() / shares, question).await.unwrap_or_else(|_| Err(late()))
}

/// One failure for those of several `servers`: the first from a server that answered, or else the
/// last.
pub(crate) fn most_telling(servers: &str, failures: Vec<Failure>) -> Failure {
    let count = failures.len();
    let answered = failures.iter().position(|failure| {
        use Reason::{
            AuthFailed, NotServing, Overloaded, QueryFailed, UnexpectedBody, UnexpectedStatus,
        };
        [AuthFailed, NotServing, Overloaded, QueryFailed, UnexpectedBody, UnexpectedStatus]
            .contains(&failure.reason())
    });
    let index = answered.unwrap_or(count.saturating_sub(1));
    let Some(failure) = failures.into_iter().nth(index) else {
        return Failure::new(Reason::Other, format!("there are no {servers}"));
    };
    if count < 2 {
        return failure;
    }
    let message = format!("none of {count} {servers} answered as it should: {}", failure.message());
    Failure { message, ..failure }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn context() -> Context {
        Context::new(Instant::now() + Duration::from_secs(4), None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_leaves_time_for_the_next() {
        let cx = context();
        let failure = attempt::<()>(&cx, 3, pending()).await.unwrap_err();
        assert_eq!((failure.reason(), cx.remaining()), (Reason::Timeout, Duration::from_secs(3)));
        let failure = attempt::<()>(&cx, 2, pending()).await.unwrap_err();
        assert_eq!((failure.reason(), cx.remaining()), (Reason::Timeout, Duration::from_secs(2)));
        assert_eq!(attempt(&cx, 1, ready(Ok(7))).await, Ok(7));
    }

    #[test]
    fn the_failure_of_a_server_that_answered_tells_most() {
        let failure = |reason, text: &str| Failure::new(reason, text);
        let refused = || failure(Reason::ConnectionRefused, "one refuses");
        let unknown = || failure(Reason::QueryFailed, "two knows none");
        let late = || failure(Reason::Timeout, "three is late");
        let found = most_telling("sentinels", vec![refused(), unknown(), late()]);
        assert_eq!(found.reason(), Reason::QueryFailed);
        let wanted = "none of 3 sentinels answered as it should: two knows none";
        assert_eq!(found.message(), wanted);
        assert_eq!(most_telling("nodes", vec![refused(), late()]).reason(), Reason::Timeout);
        assert_eq!(most_telling("nodes", vec![refused()]), refused());
    }
}
