//! The head sampler: it decides on the sampled flag, which the dependency gets before the run
//! has ended.

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::Scope;

/// Samples a share of the traces of runs and records all of them; the host's sampler decides on the
/// host's traces.
///
/// The sampled flag is what the dependency sees; a trace of a run without it is still recorded, for
/// [`KeepProcessor`](super::KeepProcessor) to judge by its outcome. A span with a parent follows it.
///
/// Traces of the host are sampled as [`host_sampler`](Self::host_sampler) says. By default that is
/// what the SDK itself does: `Sampler::ParentBased` around `Sampler::AlwaysOn`.
#[derive(Debug, Clone)]
pub struct HeadSampler {
    runs: Sampler,
    host: Box<dyn ShouldSample>,
    scope: Scope,
}

impl HeadSampler {
    /// Samples the share `share` of the traces of runs by their id: 0 is none of them, 1 is all.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self {
            runs: Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))),
            host: Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))),
            scope: Scope::Runs,
        }
    }

    /// Decides on the traces of the host with `sampler`, whatever it was given before.
    #[must_use]
    pub fn host_sampler(mut self, sampler: impl ShouldSample + 'static) -> Self {
        self.host = Box::new(sampler);
        self
    }

    /// The sampler of a provider that gets no spans but those of runs.
    #[cfg(feature = "otlp")]
    pub(crate) fn of_runs_alone(share: f64) -> Self {
        Self { scope: Scope::All, ..Self::new(share) }
    }
}

impl ShouldSample for HeadSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if !parent.is_some_and(|cx| self.scope.holds(cx)) {
            return self.host.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let mut result = self.runs.should_sample(parent, trace_id, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}
