//! The spans that wait for the collector, as the source of a sender.
//!
//! Input: batches of the queue and the results of requests. Output: requests, metrics, and one log
//! line for each change of state.

use std::sync::{Arc, OnceLock};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

use super::meters::{Meters, Processed};
use crate::delivery::{BatchQueue, ErrorType, Failure, Outage, Retry, Source};
use crate::model::log_targets;

/// What the collector says of a request that it took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry) struct Accepted {
    /// Spans that it rejected.
    pub(in crate::telemetry) rejected: u64,
    /// Its own words about them or about the request, cleaned; empty when it says nothing.
    pub(in crate::telemetry) remark: String,
}

/// What the span processor and the sender share.
pub(in crate::telemetry) struct Shared {
    pub(in crate::telemetry) queue: BatchQueue<SpanData>,
    pub(in crate::telemetry) meters: Meters,
    /// Where state changes are logged. Weak, for the subscriber owns the pipeline.
    log: OnceLock<WeakDispatch>,
}

impl Shared {
    pub(in crate::telemetry) fn new(queue: BatchQueue<SpanData>, meters: Meters) -> Self {
        Self { queue, meters, log: OnceLock::new() }
    }

    /// Logs through `dispatch` from now on.
    pub(in crate::telemetry) fn log_to(&self, dispatch: &Dispatch) {
        // Set once, when the subscriber is built.
        let _ = self.log.set(dispatch.downgrade());
    }

    /// Logs through the subscriber that the pipeline belongs to.
    fn log(&self, line: impl FnOnce()) {
        match self.log.get().and_then(WeakDispatch::upgrade) {
            Some(dispatch) => dispatcher::with_default(&dispatch, line),
            None => line(),
        }
    }
}

/// Batches of spans, for the sender.
pub(in crate::telemetry) struct SpanSource {
    shared: Arc<Shared>,
    /// The collector's origin, for the log.
    collector: String,
    resource: ResourceAttributesWithSchema,
    outage: Outage,
    /// What the collector said last of a request that it took.
    remark: String,
}

/// One request to the collector.
pub(in crate::telemetry) struct Batch {
    pub(in crate::telemetry) request: ExportTraceServiceRequest,
    spans: u64,
}

impl SpanSource {
    pub(in crate::telemetry) fn new(
        shared: Arc<Shared>,
        collector: String,
        resource: &Resource,
    ) -> Self {
        let (outage, remark) = (Outage::default(), String::new());
        Self { shared, collector, resource: resource.into(), outage, remark }
    }

    /// Records `spans` that the collector does not have.
    fn failed(&mut self, spans: u64, failure: &Failure) -> u64 {
        self.shared.meters.failed(failure.error_type, spans);
        let first = self.outage.failed(spans);
        // The stop has a line of its own.
        if first && failure.error_type != ErrorType::Shutdown {
            let (collector, detail) = (&self.collector, &failure.detail);
            let error_type = failure.error_type.as_str();
            self.shared.log(|| {
                tracing::warn!(
                    target: log_targets::TELEMETRY,
                    %collector, error_type, detail, "traces are not delivered"
                );
            });
        }
        spans
    }

    /// Logs what the collector says of spans that it took, once until it says something else.
    fn note(&mut self, remark: String) {
        if !remark.is_empty() && remark != self.remark {
            let collector = &self.collector;
            self.shared.log(|| {
                tracing::warn!(
                    target: log_targets::TELEMETRY,
                    %collector, detail = remark, "the collector took the traces with a remark"
                );
            });
        }
        self.remark = remark;
    }

    /// Gives up what is left after a stop, and returns how many spans the stop lost with it.
    pub(in crate::telemetry) fn conclude(self, lost: u64) -> u64 {
        let left = self.shared.queue.discard();
        self.shared.meters.processed(Processed::Shutdown, left);
        let lost = lost + left as u64;
        if lost > 0 {
            let collector = &self.collector;
            self.shared.log(|| {
                tracing::warn!(
                    target: log_targets::TELEMETRY,
                    %collector, spans_lost = lost, "spans were lost at shutdown"
                );
            });
        }
        lost
    }
}

impl Source for SpanSource {
    type Request = Batch;
    type Accepted = Accepted;

    async fn ready(&mut self) {
        self.shared.queue.ready().await;
    }

    fn next(&mut self) -> Option<Batch> {
        let batch = self.shared.queue.next_batch()?;
        let spans = batch.len();
        self.shared.meters.processed(Processed::Submitted, spans);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        Some(Batch { request, spans: spans as u64 })
    }

    fn delivered(&mut self, batch: Batch, accepted: Accepted) -> u64 {
        let rejected = accepted.rejected.min(batch.spans);
        self.shared.meters.exported(batch.spans - rejected);
        if rejected > 0 {
            let mut detail = "the collector took the request without all of its spans".to_owned();
            if !accepted.remark.is_empty() {
                detail = format!("{detail}: {}", accepted.remark);
            }
            let (error_type, retry) = (ErrorType::Rejected, Retry::Never);
            return self.failed(rejected, &Failure { error_type, detail, retry });
        }
        if let Some(lost) = self.outage.succeeded() {
            let collector = &self.collector;
            self.shared.log(|| {
                tracing::info!(
                    target: log_targets::TELEMETRY,
                    %collector, spans_lost = lost, "traces are delivered again"
                );
            });
        }
        self.note(accepted.remark);
        0
    }

    fn given_up(&mut self, batch: Batch, failure: &Failure) -> u64 {
        self.failed(batch.spans, failure)
    }
}
