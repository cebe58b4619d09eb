//! Tail sampling: which traces of runs are kept. A sampler decides at the start of a trace, and a
//! processor at its end.
//!
//! Whether a run failed is known only at its end, long after the sampled flag was sent to the
//! dependency. So there are two decisions. [`HeadSampler`] selects a share of the traces at random;
//! these have the sampled flag and are always kept. [`KeepProcessor`] holds back the spans of all
//! other traces until the root ends. It keeps the trace if the engine has marked the root: because
//! the run failed, warned, changed the check's status or was slow. `Entry::fold` in
//! `engine/state/entry.rs` decides that; slow means longer than half the timeout.
//!
//! # In a host
//!
//! Add both to the host's provider. They affect only the traces of runs: a trace of the host is
//! sampled by the [host's sampler](HeadSampler::host_sampler), and each of its spans is passed to
//! the next processor at once, unchanged.
//!
//! ```
//! use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
//! use vitalsign::tail_sampling::{HeadSampler, KeepProcessor};
//!
//! # #[derive(Debug)] struct Exporter;
//! # impl opentelemetry_sdk::trace::SpanExporter for Exporter {
//! #     async fn export(&self, _: Vec<opentelemetry_sdk::trace::SpanData>)
//! #         -> opentelemetry_sdk::error::OTelSdkResult { Ok(()) }
//! # }
//! # let exporter = Exporter;
//! let provider = SdkTracerProvider::builder()
//!     .with_sampler(HeadSampler::new(0.05))
//!     .with_span_processor(KeepProcessor::new(BatchSpanProcessor::builder(exporter).build()))
//!     .build();
//! # drop(provider);
//! ```
//!
//! Nothing else needs to be set. The processor reports to the engine that it judges a trace, and so the
//! status, the log and the exemplars know which traces are kept. With a sampler or a processor of the
//! host's own alone, a trace counts as kept when it is sampled.

mod sampler;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanContext, SpanId, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SimpleSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::engine::traces::{self, RunMark};

pub use sampler::HeadSampler;

/// A processor that takes the spans of one trace together.
pub trait TraceProcessor: SpanProcessor {
    /// Takes the ended spans of a trace that is kept, its root last.
    fn on_trace(&self, spans: Vec<SpanData>) {
        for span in spans {
            self.on_end(span);
        }
    }

    /// Records that `spans` spans were lost because there was no room, before the end of their
    /// traces.
    fn on_overflow(&self, spans: usize) {
        let _ = spans;
    }
}

impl TraceProcessor for BatchSpanProcessor {}

impl<E: SpanExporter> TraceProcessor for SimpleSpanProcessor<E> {}

/// Which traces are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those of runs, by the mark in their context.
    Runs,
    /// Every trace: the provider gets no others than those of runs.
    #[cfg(feature = "otlp")]
    All,
}

impl Scope {
    /// Whether the spans with this parent context are judged.
    fn holds(self, parent: &Context) -> bool {
        match self {
            Self::Runs => RunMark::of(parent).is_some(),
            #[cfg(feature = "otlp")]
            Self::All => true,
        }
    }
}

/// Attribute on every span that is judged, while it is open.
const JUDGED: &str = "vitalsign.judged";

/// How much a [`KeepProcessor`] holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Traces whose root has not ended. Beyond this number the oldest is dropped.
    pub traces: usize,
    /// Ended spans of one trace. Beyond this number the trace is dropped.
    pub spans_per_trace: usize,
    /// Attributes of one span; further ones are counted as dropped, as the SDK does.
    ///
    /// Set it here rather than in the SDK, whose limit could drop the mark that keeps the trace.
    pub attributes_per_span: usize,
}

impl Default for Bounds {
    /// Room for 16,384 runs at once, 64 spans in each, 128 attributes on each.
    ///
    /// A run has two spans, of which one waits for the other: about a kilobyte a run.
    fn default() -> Self {
        Self { traces: 16_384, spans_per_trace: 64, attributes_per_span: 128 }
    }
}

/// Holds back the spans of a run's trace until its root ends, then passes all of them on or none.
///
/// A root is a span without a parent in this process. A trace passes if it was sampled at its
/// head or if its root carries [`traces::KEEP`], which is taken off; its spans are then marked
/// as sampled. A trace for which there is no room is dropped as a whole, and counted.
///
/// The spans of any other trace, such as those of a host's requests, pass at once as they are.
#[derive(Debug)]
pub struct KeepProcessor<P> {
    next: P,
    bounds: Bounds,
    scope: Scope,
    waiting: Mutex<Waiting>,
}

/// The traces whose root has not ended. Spans of other traces are dropped.
#[derive(Debug, Default)]
struct Waiting {
    traces: HashMap<TraceId, Held>,
    /// The same traces by age, so that the oldest can make room.
    by_age: BTreeMap<u64, TraceId>,
    started: u64,
}

#[derive(Debug, Default)]
struct Held {
    age: u64,
    /// Roots that have not ended: more than one when a remote parent called this process twice.
    roots: usize,
    keep: bool,
    spans: Vec<SpanData>,
}

impl<P: TraceProcessor> KeepProcessor<P> {
    /// Passes kept traces to `next`.
    pub fn new(next: P) -> Self {
        Self::with_bounds(next, Bounds::default())
    }

    /// Passes kept traces to `next`, holding back no more than `bounds`.
    pub fn with_bounds(next: P, bounds: Bounds) -> Self {
        Self { next, bounds, scope: Scope::Runs, waiting: Mutex::default() }
    }

    /// The processor of a provider that gets no spans but those of runs.
    #[cfg(feature = "otlp")]
    pub(crate) fn of_runs_alone(next: P, bounds: Bounds) -> Self {
        Self { scope: Scope::All, ..Self::with_bounds(next, bounds) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code panics while it holds the lock, and the maps are consistent after each step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the start of a root, and returns how many spans were dropped to make room for
    /// it.
    fn admit(&self, trace: TraceId) -> usize {
        let mut waiting = self.waiting();
        if let Some(held) = waiting.traces.get_mut(&trace) {
            held.roots += 1;
            return 0;
        }
        let mut lost = 0;
        while waiting.traces.len() >= self.bounds.traces.max(1) {
            let Some((_, oldest)) = waiting.by_age.pop_first() else { break };
            lost += waiting.traces.remove(&oldest).map_or(0, |held| held.spans.len());
        }
        let age = waiting.started;
        waiting.started += 1;
        waiting.by_age.insert(age, trace);
        waiting.traces.insert(trace, Held { age, roots: 1, ..Held::default() });
        lost
    }

    /// Takes an ended span, and returns what became of its trace.
    fn hold(&self, mut span: SpanData) -> Fate {
        let root = span.parent_span_id == SpanId::INVALID || span.parent_span_is_remote;
        let marked = root && take(&mut span, traces::KEEP);
        let dropped = span.attributes.len().saturating_sub(self.bounds.attributes_per_span);
        span.attributes.truncate(self.bounds.attributes_per_span);
        span.dropped_attributes_count += u32::try_from(dropped).unwrap_or(u32::MAX);

        let trace = span.span_context.trace_id();
        let mut waiting = self.waiting();
        let Some(held) = waiting.traces.get_mut(&trace) else { return Fate::Lost(1) };
        held.keep |= marked || span.span_context.is_sampled();
        held.spans.push(span);
        // The root itself always fits, because its trace is complete now.
        if root {
            held.roots -= 1;
            if held.roots > 0 {
                return Fate::Waits;
            }
        } else if held.spans.len() <= self.bounds.spans_per_trace {
            return Fate::Waits;
        }
        let held = waiting.remove(trace);
        match (root, held.keep) {
            (false, _) => Fate::Lost(held.spans.len()),
            (true, true) => Fate::Kept(held.spans),
            (true, false) => Fate::Dropped,
        }
    }
}

enum Fate {
    Waits,
    Kept(Vec<SpanData>),
    Dropped,
    Lost(usize),
}

impl Waiting {
    fn remove(&mut self, trace: TraceId) -> Held {
        let held = self.traces.remove(&trace).unwrap_or_default();
        self.by_age.remove(&held.age);
        held
    }
}

/// Takes every attribute `key` off `span`, and returns whether one was true.
fn take(span: &mut SpanData, key: &str) -> bool {
    let mut marked = false;
    span.attributes.retain(|attribute| {
        let mark = attribute.key.as_str() == key;
        marked |= mark && attribute.value == Value::Bool(true);
        !mark
    });
    marked
}

fn mark_sampled(span: &mut SpanData) {
    let context = &span.span_context;
    span.span_context = SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags().with_sampled(true),
        context.is_remote(),
        context.trace_state().clone(),
    );
}

impl<P: TraceProcessor> SpanProcessor for KeepProcessor<P> {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        if !self.scope.holds(cx) {
            return self.next.on_start(span, cx);
        }
        span.set_attribute(KeyValue::new(JUDGED, true));
        if let Some(mark) = RunMark::of(cx) {
            mark.judge();
        }
        let parent = cx.span().span_context().clone();
        if !parent.is_valid() || parent.is_remote() {
            let lost = self.admit(span.span_context().trace_id());
            if lost > 0 {
                self.next.on_overflow(lost);
            }
        }
        self.next.on_start(span, cx);
    }

    fn on_end(&self, mut span: SpanData) {
        if !take(&mut span, JUDGED) {
            return self.next.on_end(span);
        }
        match self.hold(span) {
            Fate::Waits | Fate::Dropped => {}
            Fate::Lost(spans) => self.next.on_overflow(spans),
            Fate::Kept(mut spans) => {
                spans.iter_mut().for_each(mark_sampled);
                self.next.on_trace(spans);
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        *self.waiting() = Waiting::default();
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
