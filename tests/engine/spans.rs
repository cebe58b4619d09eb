//! The spans of runs that end badly, and what a message of theirs says.

use async_trait::async_trait;
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use vitalsign::{Check, Context, Phase};

use super::*;
use crate::support::spans::{Spans, attribute, events};

/// How the one call of a check ends.
#[derive(Clone, Copy)]
enum Ends {
    Panics,
    Never,
}

struct Caller(Ends);

#[async_trait]
impl Check for Caller {
    fn kind(&self) -> &'static str {
        "caller"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let password = "hunter2".to_owned();
        let call = cx.phase(Phase::Connect, async {
            match self.0 {
                Ends::Panics => panic!("{password} is the password"),
                Ends::Never => std::future::pending::<Result<Detail, Failure>>().await,
            }
        });
        cx.client("call", Vec::new(), call).await
    }
}

/// The message of the run, its CLIENT span's `error.type` and its root's.
async fn ended(ends: Ends) -> (Option<String>, Option<String>, Option<String>) {
    let (spans, _guard) = Spans::record();
    let (builder, notes) = builder();
    let check = every(SECOND).timeout(millis(300)).check(Caller(ends));
    let health = builder.check("db", check).build().unwrap();
    until(|| !notes.of("db").is_empty()).await;
    sleep(millis(1)).await;
    let ended = spans.ended();
    let of = |kind: SpanKind| ended.iter().find(|s| s.span_kind == kind).expect("a span").clone();
    let (client, root) = (of(SpanKind::Client), of(SpanKind::Internal));
    for span in [&client, &root] {
        let words = attribute(span, "error.type").unwrap_or_default().replace('_', " ");
        assert_eq!(span.status, SpanStatus::error(words), "the reason alone");
    }
    assert_eq!(events(&root), ["health.status_changed"]);
    let message = view(&health, "db").last_run.and_then(|run| run.message.clone());
    (message, attribute(&client, "error.type"), attribute(&root, "error.type"))
}

fn texts(texts: [&str; 3]) -> (Option<String>, Option<String>, Option<String>) {
    let [message, client, root] = texts.map(|text| Some(text.to_owned()));
    (message, client, root)
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_a_call_is_the_calls_error_and_its_computed_text_is_not_shown() {
    assert_eq!(ended(Ends::Panics).await, texts(["the check panicked", "panic", "panic"]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_timed_out_in_the_phase_it_was_in() {
    let message = "no answer within 300ms; it was in its connect phase";
    assert_eq!(ended(Ends::Never).await, texts([message, "timeout", "timeout"]));
}
