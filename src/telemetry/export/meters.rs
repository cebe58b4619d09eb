//! The metrics of the span pipeline, by OpenTelemetry's conventions for SDK metrics.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::delivery::ErrorType;

const QUEUE_SIZE: &str = "otel_sdk_processor_span_queue_size";
const PROCESSED: &str = "otel_sdk_processor_span_processed_total";
const EXPORTED: &str = "otel_sdk_exporter_span_exported_total";
const ERROR_TYPE: &str = "error_type";

/// Whether a span reached the exporter, or why it was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Processed {
    /// It was handed over.
    Submitted,
    /// There was no room for it.
    QueueFull,
    /// It ended after the shutdown.
    AlreadyShutdown,
    /// It still waited when the shutdown's time was over.
    Shutdown,
}

impl Processed {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Submitted, ""),
        (Self::QueueFull, "queue_full"),
        (Self::AlreadyShutdown, "already_shutdown"),
        (Self::Shutdown, "shutdown"),
    ];
}

/// Handles to the metrics; all start at 0.
pub(in crate::telemetry) struct Meters {
    queue: Gauge,
    processed: Vec<Counter>,
    exported: Counter,
    failed: Vec<Counter>,
}

impl Meters {
    /// Registers the figures with the recorder that is installed now.
    pub(in crate::telemetry) fn register() -> Self {
        describe_gauge!(QUEUE_SIZE, "Spans that wait to be exported.");
        describe_counter!(
            PROCESSED,
            "Spans handed to the exporter, or lost before that where error_type is set."
        );
        describe_counter!(
            EXPORTED,
            "Spans the collector took, or that were not delivered where error_type is set."
        );
        let exported = |error: &'static str| counter!(EXPORTED, ERROR_TYPE => error);
        let meters = Self {
            queue: gauge!(QUEUE_SIZE),
            processed: Processed::ALL
                .iter()
                .map(|(_, error)| counter!(PROCESSED, ERROR_TYPE => *error))
                .collect(),
            exported: exported(""),
            failed: ErrorType::ALL.iter().map(|kind| exported(kind.as_str())).collect(),
        };
        for counter in meters.processed.iter().chain(&meters.failed).chain([&meters.exported]) {
            counter.increment(0);
        }
        meters
    }

    /// The gauge of the spans that wait.
    pub(in crate::telemetry) fn queue_size(&self) -> Gauge {
        self.queue.clone()
    }

    pub(in crate::telemetry) fn processed(&self, fate: Processed, spans: usize) {
        if let Some(counter) = self.processed.get(fate as usize) {
            counter.increment(spans as u64);
        }
    }

    pub(in crate::telemetry) fn exported(&self, spans: u64) {
        self.exported.increment(spans);
    }

    pub(in crate::telemetry) fn failed(&self, error_type: ErrorType, spans: u64) {
        if let Some(counter) = self.failed.get(error_type as usize) {
            counter.increment(spans);
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_counts_its_own() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let meters = metrics::with_local_recorder(&recorder, Meters::register);
        for (index, (fate, _)) in Processed::ALL.into_iter().enumerate() {
            meters.processed(fate, index + 1);
        }
        for (index, kind) in ErrorType::ALL.into_iter().enumerate() {
            meters.failed(kind, index as u64 + 1);
        }
        meters.queue_size().set(3.0);
        let text = recorder.handle().render();
        for line in [
            "otel_sdk_processor_span_queue_size 3",
            "otel_sdk_processor_span_processed_total{error_type=\"\"} 1",
            "otel_sdk_processor_span_processed_total{error_type=\"queue_full\"} 2",
            "otel_sdk_processor_span_processed_total{error_type=\"already_shutdown\"} 3",
            "otel_sdk_processor_span_processed_total{error_type=\"shutdown\"} 4",
            "otel_sdk_exporter_span_exported_total{error_type=\"\"} 0",
            "otel_sdk_exporter_span_exported_total{error_type=\"timeout\"} 1",
            "otel_sdk_exporter_span_exported_total{error_type=\"other\"} 8",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
    }
}
