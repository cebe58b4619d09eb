//! One run of a check: opens its span, measures it, cancels it at its deadline and catches panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use opentelemetry::propagation::TextMapPropagator;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::engine::check::{Check, Context, Detail, Failure, RunMeasurements};
use crate::engine::state::{Decides, Entry, HealthState, slowness};
use crate::engine::traces;
use crate::engine::traces::{Root, RunSpans, SpanSampler, Verdict};
use crate::model::{CheckInfo, Outcome, Reason, Run, redacted_text};

/// Writes the trace context that goes to dependencies.
pub type Propagator = Arc<dyn TextMapPropagator + Send + Sync>;

/// How runs are traced.
#[derive(Default)]
pub(crate) struct Tracing {
    /// Writes the trace context that goes to dependencies; without it none is sent.
    propagator: Option<Propagator>,
    spans: SpanSampler,
}

impl Tracing {
    pub(crate) fn new(propagator: Option<Propagator>, spans: RunSpans) -> Self {
        Self { propagator, spans: SpanSampler::new(spans) }
    }
}

/// Runs `check` once and records the result: in state, metrics, span and sinks.
pub(crate) async fn run(
    check: &dyn Check,
    entry: &Arc<Entry>,
    state: &HealthState,
    tracing: &Tracing,
) {
    let root = tracing.spans.root(&entry.info);
    let (run, decides) = once(check, &entry.info, tracing.propagator.as_ref(), &root).await;
    let (outcome, reason) = (run.outcome, run.reason);
    let judged = root.is_judged();
    let Some(recorded) = state.record_deciding(entry, run, judged, decides) else { return };
    traces::conclude(
        root.span(),
        Verdict {
            outcome,
            reason,
            status: recorded.status,
            changed_from: recorded.transition.map(|t| t.from),
            keep: recorded.kept,
        },
    );
}

/// Runs `check` once inside `root`, without recording the result.
async fn once(
    check: &dyn Check,
    info: &CheckInfo,
    propagator: Option<&Propagator>,
    root: &Root,
) -> (Run, Decides) {
    let trace = traces::identify(root.span());
    let at = SystemTime::now();
    let started = Instant::now();
    let deadline = started + info.timeout;
    let cx = Context::new(deadline, propagator.filter(|_| info.propagate).cloned())
        .traced(!root.span().is_disabled());
    // The future is created and dropped inside the guard: a check may panic before its first await,
    // and while it is cancelled.
    let call = AssertUnwindSafe(async { timeout_at(deadline, check.run(&cx)).await });
    let ended = call.catch_unwind().instrument(root.span().clone()).await;
    let asking = started.elapsed();
    let observed = cx.take_observed();
    // What took longer than the look at it ended when it was looked at.
    let duration = observed.took.unwrap_or(asking);
    let at = observed.took.and_then(|took| at.checked_sub(took)).unwrap_or(at);
    let (outcome, reason, message) = match ended {
        Err(panic) => (Outcome::Failure, Some(Reason::Panic), Some(panic_text(panic))),
        Ok(Err(_)) => timed_out(info, &observed),
        Ok(Ok(_)) if asking > info.timeout => timed_out(info, &observed),
        Ok(Ok(Ok(detail))) => answered(info, duration, detail),
        Ok(Ok(Err(failure))) => failed(failure),
    };
    let decides = if observed.decides_at_once { Decides::AtOnce } else { Decides::ByThreshold };
    let run = Run {
        at,
        duration,
        outcome,
        reason,
        message,
        trace,
        phases: observed.phases,
        measurements: observed.measurements,
    };
    (run, decides)
}

type Ending = (Outcome, Option<Reason>, Option<String>);

fn answered(info: &CheckInfo, duration: std::time::Duration, detail: Detail) -> Ending {
    if let Some(caveat) = detail.caveat {
        return (Outcome::Warning, None, Some(redacted_text(caveat)));
    }
    match slowness(info, duration) {
        Some(caveat) => (Outcome::Warning, None, Some(caveat)),
        None => (Outcome::Success, None, detail.note.map(redacted_text)),
    }
}

fn failed(failure: Failure) -> Ending {
    (failure.reason.outcome(), Some(failure.reason), Some(redacted_text(failure.message)))
}

fn timed_out(info: &CheckInfo, observed: &RunMeasurements) -> Ending {
    let after = humantime::format_duration(info.timeout);
    let message = match observed.current {
        Some(phase) => format!("no answer within {after}; it was in its {phase} phase"),
        None => format!("no answer within {after}"),
    };
    (Outcome::Timeout, Some(Reason::Timeout), Some(message))
}

/// The message of a panic, if it is a constant of the program; a computed message may contain a
/// secret.
fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => format!("the check panicked: {text}"),
        None => "the check panicked".to_owned(),
    };
    // The payload belongs to the check, and dropping it may panic, too; then its memory is leaked.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    text
}
