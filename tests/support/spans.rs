//! The spans that a run makes, as a tracing backend would receive them.

use std::future::ready;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use opentelemetry::trace::{SpanId, TracerProvider as _};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use tokio::time::Instant;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use vitalsign::traces::TARGET;

/// Spans that have ended on this thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Lets threads with and without a subscriber run side by side; call it before the first span.
///
/// While there is but one subscriber, `tracing` takes the word of whichever thread comes to a span
/// first on whether anybody wants it: a thread without one would turn it off for all.
pub(crate) fn prepare() {
    static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    OTHERS.get_or_init(|| [Registry::default(), Registry::default()].map(Dispatch::new));
}

impl Spans {
    /// Records the spans of this thread until the guard is dropped.
    pub(crate) fn record() -> (Self, DefaultGuard) {
        prepare();
        let spans = Self::default();
        let provider = SdkTracerProvider::builder().with_span_processor(spans.clone()).build();
        // As the service does: what libraries log is no event of ours.
        let ours = filter_fn(|metadata| metadata.target() == TARGET);
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        let layer = layer.with_filter(ours);
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        // A test without a recorder that makes the first span of all at this very moment may have
        // tracing remember that nobody wants any.
        while spans.ended().is_empty() {
            tracing::callsite::rebuild_interest_cache();
            let cx = vitalsign::Context::new(Instant::now(), None);
            let _ = cx.client("probe", Vec::new(), ready(Ok(()))).now_or_never();
        }
        spans.0.lock().unwrap().clear();
        (spans, guard)
    }

    /// The spans so far, in the order in which they ended.
    pub(crate) fn ended(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }

    /// The only span so far.
    pub(crate) fn only(&self) -> SpanData {
        let spans = self.ended();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.into_iter().next().unwrap()
    }
}

/// The value of the attribute `key` as text, which must not stand there twice.
pub(crate) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|a| a.key.as_str() == key);
    let value = found.next().map(|a| match &a.value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    });
    assert!(found.next().is_none(), "{key} twice: {:?}", span.attributes);
    value
}

/// The names of the events of `span`, in order.
pub(crate) fn events(span: &SpanData) -> Vec<String> {
    span.events.iter().map(|event| event.name.to_string()).collect()
}

/// The id of `span` as its context carries it.
pub(crate) fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}
