//! The head of a trace: the sampled flag that the dependency gets before the run has ended.

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Samples a share of the traces and records all of them.
///
/// The sampled flag is what the dependency sees; a trace without it is still recorded, for
/// [`KeepProcessor`](super::KeepProcessor) to judge by its outcome. A span with a parent follows it.
#[derive(Debug, Clone)]
pub struct HeadSampler(Sampler);

impl HeadSampler {
    /// Samples the share `share` of traces by their id: 0 is none of them, 1 is all.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
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
        let mut result = self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}
