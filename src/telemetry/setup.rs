//! Logs and traces of the service: the subscriber, and the export of spans to a collector.
//!
//! Input: the `[telemetry]` and `[service]` settings and the environment. Output: log lines on
//! standard error and spans over OTLP. The library itself never installs any of this.
//!
//! The standard variables take precedence over the settings: `RUST_LOG`, `NO_COLOR`,
//! `OTEL_SDK_DISABLED`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_PROPAGATORS`,
//! `OTEL_TRACES_EXPORTER`, `OTEL_TRACES_SAMPLER` and `_ARG`, `OTEL_EXPORTER_OTLP_*`, `OTEL_BSP_*`,
//! and the limits on attributes, events and links. What is not supported is refused with a message.
//!
//! `OTEL_TRACES_SAMPLER` replaces `keep_healthy_traces`: `always_on` keeps every trace,
//! `traceidratio` keeps the share `OTEL_TRACES_SAMPLER_ARG` of ordinary traces and all others, and
//! `always_off` records nothing, not even failures. The `parentbased_` samplers mean the same,
//! because a run has no parent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::engine::traces;
use crate::telemetry::tail_sampling::{Bounds, HeadSampler, KeepProcessor};

use super::export::{self, BatchProcessor, Client, Plan, Problem, Propagator, Sampling};
use super::logs::{self, Logs, Output};
use super::settings::Settings;

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// Variables or settings that are wrong or not supported, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Problem>),
    /// The thread that sends spans did not start.
    #[error("the thread that sends traces did not start: {0}")]
    Thread(#[from] std::io::Error),
    /// The process has a subscriber already.
    #[error("a subscriber for logs is installed already: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// A propagator that checks send trace context with.
pub type SharedPropagator = Arc<dyn TextMapPropagator + Send + Sync>;

/// Validated settings of telemetry, not yet running.
#[derive(Debug)]
pub struct Telemetry {
    plan: Plan,
    logs: Logs,
}

impl Telemetry {
    /// Reads `settings` and the variables that `env` looks up, such as `|name|
    /// std::env::var(name).ok()`.
    ///
    /// # Errors
    /// [`TelemetryError::Refused`] with everything that is wrong or not supported.
    pub fn read(
        settings: &Settings,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, TelemetryError> {
        match (export::plan(settings, &env), Logs::read(settings, &env)) {
            (Ok(plan), Ok(logs)) => Ok(Self { plan, logs }),
            (plan, logs) => {
                let mut problems = plan.err().unwrap_or_default();
                problems.extend(logs.err());
                Err(TelemetryError::Refused(problems))
            }
        }
    }

    /// Whether spans would be sent to a collector.
    #[must_use]
    pub fn sends_traces(&self) -> bool {
        !self.plan.disabled && self.plan.target.is_some()
    }

    /// Builds the subscriber, which logs to `output`, and starts to send spans.
    ///
    /// Install the recorder of the `metrics` facade first: the figures of the span pipeline are
    /// registered here.
    ///
    /// # Errors
    /// [`TelemetryError`] when the collector's address or certificates cannot be used, or no
    /// thread can be started.
    pub fn build(self, output: Output) -> Result<(Dispatch, Guard), TelemetryError> {
        let Self { plan, logs } = self;
        let propagator = propagator(&plan.propagators);
        let service_name = plan.service_name.clone();
        let pipeline = if plan.disabled { None } else { Some(Pipeline::start(plan)?) };
        let scope = InstrumentationScope::builder("vitalsign")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(traces::SCHEMA_URL)
            .build();
        let tracer = pipeline.as_ref().map(|pipeline| {
            // The semantic conventions need none of the attributes that the layer could add.
            tracing_opentelemetry::layer()
                .with_tracer(pipeline.provider.tracer_with_scope(scope))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_level(false)
                .with_tracked_inactivity(false)
                // Nothing here uses the current OpenTelemetry context, and setting it costs time
                // at each poll of a run.
                .with_context_activation(false)
                .with_filter(logs::run_spans())
        });
        let dispatch = Dispatch::new(Registry::default().with(tracer).with(logs.layer(output)));
        if let Some(processor) = pipeline.as_ref().and_then(|p| p.processor.as_ref()) {
            processor.log_to(&dispatch);
        }
        Ok((dispatch, Guard { pipeline, propagator, service_name }))
    }

    /// Builds the subscriber on standard error and makes it the process's own.
    ///
    /// Install the recorder of the `metrics` facade first, as for [`Telemetry::build`].
    ///
    /// # Errors
    /// As [`Telemetry::build`]; [`TelemetryError::Installed`] when the process has a subscriber.
    pub fn install(self) -> Result<Guard, TelemetryError> {
        let (dispatch, guard) = self.build(Output::stderr())?;
        dispatch.try_init()?;
        Ok(guard)
    }
}

/// Running telemetry. [`Guard::shutdown`] sends the spans that still wait.
///
/// Without a call of it, dropping the last clone of the subscriber sends them, and blocks its
/// thread for up to 5 s, as the SDK's provider does.
pub struct Guard {
    pipeline: Option<Pipeline>,
    propagator: Option<SharedPropagator>,
    service_name: String,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl Guard {
    /// What sends trace context to a dependency; `None` when `OTEL_PROPAGATORS` is `none`.
    #[must_use]
    pub fn propagator(&self) -> Option<SharedPropagator> {
        self.propagator.clone()
    }

    /// Whether traces are sent to a collector, and therefore kept by outcome.
    #[must_use]
    pub fn keeps_traces(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.processor.is_some())
    }

    /// `service.name` as spans carry it: the settings', unless a variable says otherwise.
    #[must_use]
    pub fn service_name(&self) -> &str {
        &self.service_name
    }

    /// Sends the spans that wait for no longer than `within`, and returns how many were lost.
    ///
    /// Spans that end later are lost. It blocks no thread; a collector that hangs is left at the
    /// deadline. Losses are logged, too.
    pub async fn shutdown(self, within: Duration) -> u64 {
        let Some(Pipeline { provider, processor }) = self.pipeline else { return 0 };
        let lost = match processor {
            Some(processor) => {
                let (done, stopped) = tokio::sync::oneshot::channel();
                let ordered = processor.stop(within, move |lost| {
                    let _ = done.send(lost);
                });
                if ordered.is_some() { stopped.await.unwrap_or(0) } else { 0 }
            }
            None => 0,
        };
        // This only marks the provider as stopped; the processor, which could block, has stopped
        // already.
        let _ = provider.shutdown_with_timeout(Duration::ZERO);
        lost
    }
}

/// The provider that creates spans, and the processor that sends them.
#[derive(Debug)]
struct Pipeline {
    provider: SdkTracerProvider,
    processor: Option<BatchProcessor>,
}

impl Pipeline {
    fn start(plan: Plan) -> Result<Self, TelemetryError> {
        let resource = Resource::builder_empty()
            .with_schema_url(Vec::new(), traces::SCHEMA_URL)
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(plan.resource)
            .build();
        // The processor limits attributes: the SDK's limit could drop the mark of a kept trace.
        let bounds = Bounds {
            attributes_per_span: plan.limits.max_attributes_per_span as usize,
            ..Bounds::default()
        };
        let mut limits = plan.limits;
        limits.max_attributes_per_span = u32::MAX;
        let builder =
            SdkTracerProvider::builder().with_resource(resource.clone()).with_span_limits(limits);
        let mut builder = match plan.sampling {
            Sampling::Off => builder.with_sampler(Sampler::AlwaysOff),
            // Spans that are not sent must not have the sampled flag: dependencies would store
            // traces without a root.
            Sampling::Share(_) if plan.target.is_none() => {
                builder.with_sampler(HeadSampler::of_runs_alone(0.0))
            }
            Sampling::Share(share) => builder.with_sampler(HeadSampler::of_runs_alone(share)),
        };
        let mut processor = None;
        if let Some(target) = plan.target {
            let (collector, attempt) =
                (target.endpoint.origin().ascii_serialization(), target.timeout);
            let client = Client::new(target).map_err(|error| {
                let message = format!("{collector} cannot be used: {error}");
                TelemetryError::Refused(vec![Problem { name: "traces_endpoint", message }])
            })?;
            let started =
                BatchProcessor::start(client, collector, attempt, plan.batching, &resource)?;
            builder =
                builder.with_span_processor(KeepProcessor::of_runs_alone(started.clone(), bounds));
            processor = Some(started);
        }
        Ok(Self { provider: builder.build(), processor })
    }
}

fn propagator(chosen: &[Propagator]) -> Option<SharedPropagator> {
    let parts: Vec<Box<dyn TextMapPropagator + Send + Sync>> = chosen
        .iter()
        .map(|propagator| match propagator {
            Propagator::TraceContext => Box::new(TraceContextPropagator::new()) as _,
            Propagator::Baggage => Box::new(BaggagePropagator::new()) as _,
        })
        .collect();
    (!parts.is_empty()).then(|| Arc::new(TextMapCompositePropagator::new(parts)) as _)
}
