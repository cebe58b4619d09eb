//! Spans in a host: its own traces on a provider with our sampler and processor, and runs that have
//! no spans.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::{Status as SpanStatus, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, SimpleSpanProcessor, SpanData, SpanExporter,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use vitalsign::tail_sampling::{HeadSampler, KeepProcessor};
use vitalsign::testing::{Step, eventually, scripted};
use vitalsign::{
    BuildError, Check, Context, Detail, Failure, Health, Phase, Reason, RunSpans, Status, every,
    secs,
};

use crate::support::spans::{Spans, attribute, prepare};

/// What a host exports.
#[derive(Debug, Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Exported {
    /// The spans called `name`.
    fn named(&self, name: &str) -> Vec<SpanData> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

/// A host with this sampler and our processor: what it exports, until the guard is dropped.
fn host(sampler: HeadSampler) -> (Exported, SdkTracerProvider, tracing::subscriber::DefaultGuard) {
    prepare();
    let exported = Exported::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_span_processor(KeepProcessor::new(SimpleSpanProcessor::new(exported.clone())))
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("host"));
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    tracing::callsite::rebuild_interest_cache();
    (exported, provider, guard)
}

/// Twenty requests of the host's own, each of which fails.
fn requests() {
    for _ in 0..20 {
        let request = tracing::info_span!("request");
        request.in_scope(|| tracing::info_span!("query").in_scope(|| {}));
        request.set_status(SpanStatus::error("no such order"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_traces_of_a_host_go_through_and_of_runs_those_that_matter() {
    let (exported, _provider, _guard) = host(HeadSampler::new(0.0));
    let health = Health::builder("orders")
        .check("well", every(secs(1)).check(scripted([Step::Ok])))
        .check("broken", every(secs(1)).check(scripted([Step::Fail(Reason::ConnectionRefused)])))
        .build()
        .unwrap();
    requests();
    eventually(&health, "broken", Status::Down).await;
    eventually(&health, "well", Status::Up).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(exported.named("request").len(), 20);
    assert_eq!(exported.named("query").len(), 20);
    let runs = exported.named("health.check scripted");
    let of = |name: &str| {
        let of = |span: &&SpanData| attribute(span, "health.check.name").as_deref() == Some(name);
        runs.iter().filter(of).count()
    };
    assert_eq!(of("well"), 1, "the one that made it up");
    assert!(of("broken") >= 30, "{} failures", of("broken"));
    let marks = |span: &SpanData| attribute(span, "vitalsign.judged").is_some();
    assert!(!exported.0.lock().unwrap().iter().any(marks), "a mark is left");
    // Nothing had to be set for the rest to know it.
    let run = health.state().check("broken").unwrap().last_run.clone().unwrap();
    let page = vitalsign::metrics::encode(health.state(), vitalsign::metrics::Format::OpenMetrics);
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains(&run.trace.unwrap().trace_id_hex()), "{page}");
    let well = health.state().check("well").unwrap().last_run.clone().unwrap();
    assert!(!page.contains(&well.trace.unwrap().trace_id_hex()), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_host_samples_its_own_traces_as_it_likes() {
    let (exported, _provider, _guard) =
        host(HeadSampler::new(1.0).host_sampler(Sampler::AlwaysOff));
    let check = every(secs(1)).check(scripted([Step::Ok]));
    let health = Health::builder("orders").check("well", check).build().unwrap();
    requests();
    eventually(&health, "well", Status::Up).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(exported.named("request").is_empty());
    assert!(exported.named("health.check scripted").len() >= 10);
}

/// A check with a client span and a phase.
struct Caller;

#[async_trait]
impl Check for Caller {
    fn kind(&self) -> &'static str {
        "caller"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let call = cx.phase(Phase::Connect, async { Ok(Detail::ok()) });
        cx.client("call", Vec::new(), call).await
    }
}

/// How many spans a minute of runs makes, the CLIENT ones among them.
async fn spans_of_60_runs(spans: RunSpans) -> usize {
    let (recorded, _guard) = Spans::record();
    let check = every(secs(1)).check(Caller);
    let builder = Health::builder("orders").check("db", check).run_spans(spans);
    let health = builder.build().unwrap();
    eventually(&health, "db", Status::Up).await;
    tokio::time::sleep(Duration::from_millis(59_500)).await;
    let run = health.state().check("db").unwrap().last_run.clone().unwrap();
    assert_eq!(run.phases.len(), 1, "figures need no spans");
    recorded.ended().len()
}

#[tokio::test(start_paused = true)]
async fn runs_have_spans_all_of_them_or_a_share_or_none() {
    let all = spans_of_60_runs(RunSpans::All).await;
    assert!((118..=124).contains(&all), "{all}");
    let half = spans_of_60_runs(RunSpans::Share(0.5)).await;
    assert!((56..=66).contains(&half), "{half}");
    assert_eq!(spans_of_60_runs(RunSpans::Off).await, 0);
    let refused = Health::builder("orders").run_spans(RunSpans::Share(1.5)).build();
    assert!(matches!(refused, Err(BuildError::RunSpans)));
}
