//! Which traces pass, and that nothing stays behind.

use std::sync::Arc;

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::*;

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<(Vec<Vec<SpanData>>, usize)>>);

impl Kept {
    /// Names of the spans of each trace that passed.
    fn traces(&self) -> Vec<Vec<String>> {
        let kept = self.0.lock().unwrap();
        kept.0.iter().map(|t| t.iter().map(|s| s.name.to_string()).collect()).collect()
    }

    fn lost(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        self.on_trace(vec![span]);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl TraceProcessor for Kept {
    fn on_trace(&self, spans: Vec<SpanData>) {
        self.0.lock().unwrap().0.push(spans);
    }
    fn on_overflow(&self, spans: usize) {
        self.0.lock().unwrap().1 += spans;
    }
}

fn provider(share: f64, bounds: Bounds) -> (SdkTracerProvider, SdkTracer, Kept) {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(HeadSampler::new(share))
        .with_span_processor(KeepProcessor::with_bounds(kept.clone(), bounds))
        .build();
    let tracer = provider.tracer("test");
    (provider, tracer, kept)
}

/// Opens the root of a run's trace.
fn root(tracer: &SdkTracer, name: &'static str) -> Context {
    let run = RunMark::default().context();
    run.with_span(tracer.start_with_context(name, &run))
}

/// Opens the root of a trace of the host.
fn of_host(tracer: &SdkTracer, name: &'static str) -> Context {
    Context::new().with_span(tracer.start_with_context(name, &Context::new()))
}

fn child(tracer: &SdkTracer, name: &'static str, parent: &Context) {
    tracer.start_with_context(name, parent).end();
}

fn keep(root: &Context) {
    root.span().set_attribute(KeyValue::new(traces::KEEP, true));
}

#[test]
fn a_marked_trace_passes_whole_with_its_root_last_and_the_mark_taken_off() {
    let (_provider, tracer, kept) = provider(0.0, Bounds::default());
    let cx = root(&tracer, "root");
    assert!(!cx.span().span_context().is_sampled());
    child(&tracer, "a", &cx);
    child(&tracer, "b", &cx);
    assert!(kept.traces().is_empty(), "nothing passes before the root ends");
    keep(&cx);
    cx.span().end();
    assert_eq!(kept.traces(), [["a", "b", "root"]]);
    let spans = &kept.0.lock().unwrap().0[0];
    assert!(spans.iter().all(|span| span.span_context.is_sampled()));
    assert!(spans[2].attributes.is_empty());
}

#[test]
fn an_unmarked_trace_is_dropped_whole_and_is_no_loss() {
    let (_provider, tracer, kept) = provider(0.0, Bounds::default());
    let cx = root(&tracer, "root");
    child(&tracer, "a", &cx);
    cx.span().set_attribute(KeyValue::new(traces::KEEP, false));
    cx.span().end();
    assert!(kept.traces().is_empty());
    assert_eq!(kept.lost(), 0);
}

#[test]
fn a_trace_sent_as_sampled_passes_without_a_mark() {
    let (_provider, tracer, kept) = provider(1.0, Bounds::default());
    let cx = root(&tracer, "root");
    assert!(cx.span().span_context().is_sampled());
    child(&tracer, "a", &cx);
    cx.span().end();
    assert_eq!(kept.traces(), [["a", "root"]]);
}

#[test]
fn traces_of_the_host_pass_at_once_as_they_are() {
    let (_provider, tracer, kept) = provider(0.0, Bounds { traces: 1, ..Bounds::default() });
    let run = root(&tracer, "run");
    let request = of_host(&tracer, "request");
    assert!(request.span().span_context().is_sampled(), "as without our sampler");
    child(&tracer, "query", &request);
    assert_eq!(kept.traces(), [["query"]], "nothing is held back");
    request.span().set_attribute(KeyValue::new("a", 1));
    request.span().end();
    assert_eq!(kept.traces(), [["query"], ["request"]]);
    assert_eq!(kept.0.lock().unwrap().0[1][0].attributes, [KeyValue::new("a", 1)]);
    keep(&run);
    run.span().end();
    assert_eq!(kept.traces(), [["query"], ["request"], ["run"]], "it took no room from the run");
    assert_eq!(kept.lost(), 0);
}

#[test]
fn a_sampler_of_the_host_decides_on_the_traces_of_the_host_alone() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(HeadSampler::new(1.0).host_sampler(Sampler::AlwaysOff))
        .with_span_processor(KeepProcessor::new(kept.clone()))
        .build();
    let tracer = provider.tracer("test");
    of_host(&tracer, "request").span().end();
    assert!(kept.traces().is_empty());
    root(&tracer, "run").span().end();
    assert_eq!(kept.traces(), [["run"]]);
}

#[test]
fn a_run_knows_that_its_trace_is_judged() {
    let (_provider, tracer, _kept) = provider(0.0, Bounds::default());
    let mark = RunMark::default();
    assert!(!mark.is_judged());
    tracer.start_with_context("run", &mark.context()).end();
    assert!(mark.is_judged());
}

#[test]
fn the_share_is_drawn_by_trace() {
    let (_provider, tracer, _kept) = provider(0.25, Bounds::default());
    let sampled =
        (0..4_000).filter(|_| root(&tracer, "root").span().span_context().is_sampled()).count();
    // Ten standard deviations: a fair draw misses them once in 10^23 tries.
    assert!((725..1_275).contains(&sampled), "{sampled}");
}

#[test]
fn a_root_that_never_ends_makes_room_and_its_late_end_passes_nothing() {
    let bounds = Bounds { traces: 2, ..Bounds::default() };
    let (_provider, tracer, kept) = provider(0.0, bounds);
    let leaked = root(&tracer, "leaked");
    child(&tracer, "a", &leaked);
    let (second, third) = (root(&tracer, "second"), root(&tracer, "third"));
    assert_eq!(kept.lost(), 1, "the leaked trace's span");
    for cx in [&leaked, &second, &third] {
        keep(cx);
        cx.span().end();
    }
    assert_eq!(kept.traces(), [["second"], ["third"]]);
    assert_eq!(kept.lost(), 2, "and its root");
}

#[test]
fn a_trace_with_too_many_spans_is_lost_whole() {
    let bounds = Bounds { spans_per_trace: 2, ..Bounds::default() };
    let (_provider, tracer, kept) = provider(1.0, bounds);
    let cx = root(&tracer, "root");
    for _ in 0..4 {
        child(&tracer, "a", &cx);
    }
    cx.span().end();
    assert!(kept.traces().is_empty());
    assert_eq!(kept.lost(), 5);
}

#[test]
fn an_attribute_limit_never_hides_the_mark() {
    let bounds = Bounds { attributes_per_span: 1, ..Bounds::default() };
    let (_provider, tracer, kept) = provider(0.0, bounds);
    let cx = root(&tracer, "root");
    cx.span().set_attribute(KeyValue::new("a", 1));
    cx.span().set_attribute(KeyValue::new("b", 2));
    keep(&cx);
    cx.span().end();
    let span = &kept.0.lock().unwrap().0[0][0];
    assert_eq!(span.attributes, [KeyValue::new("a", 1)]);
    assert_eq!(span.dropped_attributes_count, 1);
}

#[test]
fn nothing_stays_behind_once_roots_have_ended() {
    let processor = KeepProcessor::new(Kept::default());
    let trace = TraceId::from(1);
    assert_eq!(processor.admit(trace), 0);
    processor.waiting().remove(trace);
    assert!(processor.waiting().traces.is_empty() && processor.waiting().by_age.is_empty());
}
