//! Optional requests: their failure does not fail the run.
//!
//! A server that answered the main request is up, whatever else it answers. An [`OptionalQuestion`]
//! requests more, such as statistics, with a time limit. If a server or a proxy refuses it
//! repeatedly, it is not sent for an hour, because the server logs and counts refusals.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::engine::check::{Context, Failure};

/// How often in a row a question may stay unanswered before it is left out.
const TRIES: u32 = 3;

/// How long it is left out.
const PAUSE: Duration = Duration::from_hours(1);

/// A request whose failure does not fail the run.
#[derive(Debug, Default)]
pub(crate) struct OptionalQuestion(Mutex<Unanswered>);

/// How often in a row it stayed unanswered, and since when.
#[derive(Debug, Default)]
struct Unanswered {
    times: u32,
    last: Option<Instant>,
}

impl OptionalQuestion {
    /// The answer to `question`; `None` when it failed, took more than half of the time left, or
    /// was not asked because it failed so often.
    pub(crate) async fn ask<T>(
        &self,
        cx: &Context,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Option<T> {
        if !self.is_due() {
            return None;
        }
        let answer = timeout(cx.remaining() / 2, question).await;
        let answer = answer.ok().and_then(Result::ok);
        let mut unanswered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.is_some() {
            *unanswered = Unanswered::default();
        } else {
            let times = unanswered.times.saturating_add(1);
            *unanswered = Unanswered { times, last: Some(Instant::now()) };
        }
        drop(unanswered);
        answer
    }

    fn is_due(&self) -> bool {
        let unanswered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.times < TRIES || unanswered.last.is_none_or(|last| last.elapsed() >= PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use crate::model::Reason;

    use super::*;

    fn context() -> Context {
        Context::new(Instant::now() + Duration::from_secs(4), None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_never_answered_is_left_out_for_an_hour() {
        let question = OptionalQuestion::default();
        let refused = || ready(Err::<(), _>(Failure::new(Reason::Other, "no")));
        for _ in 1..TRIES {
            assert_eq!(question.ask(&context(), refused()).await, None);
        }
        // An answer in between starts the count again.
        assert_eq!(question.ask(&context(), ready(Ok(1))).await, Some(1));
        for _ in 0..TRIES {
            let cx = context();
            assert_eq!(question.ask::<()>(&cx, pending()).await, None);
            assert_eq!(cx.remaining(), Duration::from_secs(2), "it takes half of the time");
        }
        let cx = context();
        assert_eq!(question.ask(&cx, ready(Ok(2))).await, None, "it is not asked");
        assert_eq!(cx.remaining(), Duration::from_secs(4));
        tokio::time::advance(PAUSE).await;
        assert_eq!(question.ask(&context(), refused()).await, None);
        assert_eq!(question.ask(&context(), ready(Ok(3))).await, None, "one more try an hour");
        tokio::time::advance(PAUSE).await;
        assert_eq!(question.ask(&context(), ready(Ok(4))).await, Some(4));
    }
}
