//! The spans of a run: their names and attributes, by OpenTelemetry's semantic conventions.
//!
//! Spans are `tracing` spans of target [`TARGET`]; a `tracing-opentelemetry` layer, the host's or
//! the binary's, turns them into OpenTelemetry spans. Without such a layer they cost next to
//! nothing and carry no trace id. [`RunSpans`] says which runs have spans at all.
//!
//! The OpenTelemetry context of a run holds a `RunMark`, so that samplers and processors know the
//! traces of runs from those of a host on the same provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::trace::{Status as SpanStatus, TraceContextExt};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::model::{CheckInfo, Outcome, Phase, Reason, Status, Trace};

/// Target of every span of a run, for filters.
pub const TARGET: &str = "vitalsign::trace";

/// Attribute on a root span that marks the trace to be kept by the tail-sampling processor, which
/// removes it before export. `Entry::fold` in `engine/state/entry.rs` decides which runs get it.
pub const KEEP: &str = "vitalsign.keep";

const ERROR_TYPE: &str = "error.type";

/// The version of the semantic conventions that the spans follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

/// The status of an answered call, which earlier conventions called `rpc.response.status_code`.
#[cfg(feature = "grpc")]
pub(crate) const RPC_STATUS_CODE: &str = "rpc.status_code";

/// The kind of a message broker, which earlier conventions called `messaging.system`.
#[cfg(any(feature = "amqp", feature = "kafka", feature = "mqtt", feature = "nats"))]
pub(crate) const MESSAGING_SYSTEM_NAME: &str = "messaging.system.name";

/// Which runs have spans: every one by default.
///
/// It is a setting of [`Builder::run_spans`](crate::Builder::run_spans). A run without spans sends no
/// trace context to its dependency, and has no `trace_id` in the status, the log and the history.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum RunSpans {
    /// Every run has spans. What is exported of them is for the host's sampler to decide, or for
    /// [`tail_sampling`](crate::tail_sampling), which keeps the traces of all failures.
    #[default]
    All,
    /// This share of the runs has spans, from 0 to 1, evenly spread. It is drawn before a run and so
    /// leaves out failures as often as successes.
    Share(f64),
    /// No run has spans.
    Off,
}

impl RunSpans {
    /// Whether it can be used: a share lies from 0 to 1.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Share(share) => (0.0..=1.0).contains(&share),
            Self::All | Self::Off => true,
        }
    }
}

/// Draws which runs have spans.
#[derive(Debug, Default)]
pub(crate) struct SpanSampler {
    spans: RunSpans,
    runs: AtomicU64,
}

impl SpanSampler {
    pub(crate) const fn new(spans: RunSpans) -> Self {
        Self { spans, runs: AtomicU64::new(0) }
    }

    /// Whether the next run has spans.
    fn draw(&self) -> bool {
        let share = match self.spans {
            RunSpans::All => return true,
            RunSpans::Off => return false,
            RunSpans::Share(share) => share,
        };
        // Steps by the golden ratio cover the circle evenly, so that no check of a fixed rhythm is
        // always left out.
        let step = self.runs.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (step >> 11) as f64 / ((1_u64 << 53) as f64) < share
    }

    /// Opens the root span of a run; it has no parent, whatever span is current.
    pub(crate) fn root(&self, info: &CheckInfo) -> Root {
        if self.draw() { Root::open(info) } else { Root::none() }
    }
}

/// Says in an OpenTelemetry context that its spans are those of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunMark(Arc<AtomicBool>);

impl RunMark {
    /// The mark of `cx`, which its children inherit.
    pub(crate) fn of(cx: &Context) -> Option<&Self> {
        cx.get()
    }

    /// Records that a processor judges the trace by its outcome.
    pub(crate) fn judge(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a processor judges the trace by its outcome: it obeys [`KEEP`].
    pub(crate) fn is_judged(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// An OpenTelemetry context without a span that holds this mark.
    pub(crate) fn context(&self) -> Context {
        Context::new().with_value(self.clone())
    }
}

/// The root span of a run.
#[derive(Debug)]
pub(crate) struct Root {
    span: Span,
    mark: RunMark,
}

impl Root {
    fn none() -> Self {
        Self { span: Span::none(), mark: RunMark::default() }
    }

    fn open(info: &CheckInfo) -> Self {
        let span = open(info);
        let mark = RunMark::default();
        if !span.is_disabled() {
            // Where no layer of tracing-opentelemetry is found there is no trace to be marked.
            let _ = span.set_parent(mark.context());
        }
        Self { span, mark }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether a processor judges the trace by its outcome.
    pub(crate) fn is_judged(&self) -> bool {
        self.mark.is_judged()
    }
}

fn open(info: &CheckInfo) -> Span {
    let span = tracing::info_span!(
        target: TARGET, parent: None, "health.check",
        otel.name = tracing::field::Empty, otel.kind = "internal",
        health.check.name = %info.name,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("health.check {}", info.kind));
        span.set_attribute("health.check.kind", info.kind);
        let gates: Vec<StringValue> = info.gates.iter().map(|g| g.as_str().into()).collect();
        span.set_attribute("health.check.gates", Value::Array(gates.into()));
    }
    span
}

/// Identifiers of `span`, when a tracing backend gave it some.
pub(crate) fn identify(span: &Span) -> Option<Trace> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| Trace {
        trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(context.span_id().to_bytes()),
        sampled: context.is_sampled(),
    })
}

/// The recorded result of a run, for its root span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) status: Status,
    pub(crate) changed_from: Option<Status>,
    pub(crate) keep: bool,
}

/// Writes the verdict on a run to its root span.
pub(crate) fn conclude(root: &Span, verdict: Verdict) {
    if root.is_disabled() {
        return;
    }
    root.set_attribute("health.check.outcome", verdict.outcome.as_str());
    root.set_attribute("health.check.status", verdict.status.as_str());
    if verdict.outcome.is_failed() {
        fail(root, verdict.reason.unwrap_or(Reason::Other));
    }
    if let Some(from) = verdict.changed_from {
        root.add_event(
            "health.status_changed",
            vec![
                KeyValue::new("from", from.as_str()),
                KeyValue::new("to", verdict.status.as_str()),
            ],
        );
    }
    if verdict.keep {
        root.set_attribute(KEEP, true);
    }
}

/// Marks `span` as failed for `reason`. The description is the reason in words, not the message of
/// the run: a host's own check might write a secret into that.
fn fail(span: &Span, reason: Reason) {
    span.set_attribute(ERROR_TYPE, reason.as_str());
    span.set_status(SpanStatus::error(reason.as_str().replace('_', " ")));
}

/// A CLIENT span around one protocol call.
///
/// It ends as an error when [`Client::finish`] says so, and also when it is dropped unfinished:
/// with `panic` while unwinding, else with `timeout`, for a run is only dropped at its deadline.
#[derive(Debug)]
pub(crate) struct Client {
    span: Span,
    finished: bool,
}

impl Client {
    /// A call of a run without spans.
    pub(crate) fn none() -> Self {
        Self { span: Span::none(), finished: false }
    }

    /// Opens the span as a child of the current one.
    pub(crate) fn open(name: &str, attributes: Vec<KeyValue>) -> Self {
        let span = tracing::info_span!(
            target: TARGET, "health.check.client",
            otel.name = name, otel.kind = "client",
        );
        if !span.is_disabled() {
            for KeyValue { key, value, .. } in attributes {
                span.set_attribute(key, value);
            }
        }
        Self { span, finished: false }
    }

    /// The span itself.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Ends the call: `error` is set when the call itself failed by its protocol's convention.
    pub(crate) fn finish(mut self, error: Option<Reason>) {
        self.finished = true;
        if let Some(reason) = error {
            fail(&self.span, reason);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let reason = if std::thread::panicking() { Reason::Panic } else { Reason::Timeout };
        fail(&self.span, reason);
    }
}

/// Adds an attribute to the current span: one that is known only once the answer is there.
pub(crate) fn attribute(key: &'static str, value: impl Into<Value>) {
    Span::current().set_attribute(key, value);
}

/// Adds the event that marks the end of a phase to the current span.
pub(crate) fn phase_ended(phase: Phase, seconds: f64) {
    let span = Span::current();
    if !span.is_disabled() {
        span.add_event(phase.as_str(), vec![KeyValue::new("duration_seconds", seconds)]);
    }
}

/// Writes the current span's context into `carrier`, if it has one.
pub(crate) fn inject(propagator: &dyn TextMapPropagator, carrier: &mut dyn Injector) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        propagator.inject_context(&context, &mut WithoutEmpty(carrier));
    }
}

/// Leaves out fields without a value: the propagator writes an empty `tracestate`, which some
/// servers refuse.
struct WithoutEmpty<'a>(&'a mut dyn Injector);

impl Injector for WithoutEmpty<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.set(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_share_of_the_runs_is_drawn_evenly() {
        for (share, least, most) in
            [(0.0, 0, 0), (0.1, 98, 102), (0.5, 498, 502), (1.0, 1_000, 1_000)]
        {
            let sampler = SpanSampler::new(RunSpans::Share(share));
            let drawn = (0..1_000).filter(|_| sampler.draw()).count();
            assert!((least..=most).contains(&drawn), "{drawn} of 1000 for {share}");
        }
        // Nor is every second run, as one of two checks makes it, favoured.
        let sampler = SpanSampler::new(RunSpans::Share(0.5));
        let drawn: Vec<bool> = (0..1_000).map(|_| sampler.draw()).collect();
        let of_one = drawn.iter().step_by(2).filter(|drawn| **drawn).count();
        assert!((245..=255).contains(&of_one), "{of_one}");
    }

    #[test]
    fn a_share_outside_0_to_1_is_none() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(!RunSpans::Share(bad).is_valid(), "{bad}");
        }
        for good in [RunSpans::Off, RunSpans::All, RunSpans::Share(0.0), RunSpans::Share(1.0)] {
            assert!(good.is_valid(), "{good:?}");
        }
    }

    #[test]
    fn a_field_without_a_value_is_not_sent() {
        let mut carrier = HashMap::new();
        let mut fields = WithoutEmpty(&mut carrier);
        fields.set("traceparent", "00-01-02-01".to_owned());
        fields.set("tracestate", String::new());
        assert_eq!(carrier, HashMap::from([("traceparent".into(), "00-01-02-01".into())]));
    }
}
