//! The metrics about the history itself, through the `metrics` facade.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles to the metrics; all start at 0.
pub(super) struct Meters {
    pub(super) up: Gauge,
    queue: Gauge,
    pub(super) size: Gauge,
    written: Counter,
    failed: Counter,
    pub(super) queue_full: Counter,
    pub(super) store_unavailable: Counter,
    pub(super) shutdown: Counter,
    duration: Histogram,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// Registers the figures with the recorder that is installed now.
    pub(super) fn register(backend: &'static str, capacity: usize) -> Self {
        let writes =
            |outcome: &'static str| counter!("health_history_writes_total", "outcome" => outcome);
        let dropped =
            |reason: &'static str| counter!("health_history_dropped_total", "reason" => reason);
        let meters = Self {
            up: gauge!("health_history_store_up", "backend" => backend),
            queue: gauge!("health_history_queue_length"),
            size: gauge!("health_history_size_bytes"),
            written: writes("success"),
            failed: writes("failure"),
            queue_full: dropped("queue_full"),
            store_unavailable: dropped("store_unavailable"),
            shutdown: dropped("shutdown"),
            duration: histogram!("health_history_write_duration_seconds"),
        };
        gauge!("health_history_queue_capacity").set(capacity as f64);
        meters.up.set(0.0);
        meters.queue.set(0.0);
        meters.size.set(0.0);
        for counter in [
            &meters.written,
            &meters.failed,
            &meters.queue_full,
            &meters.store_unavailable,
            &meters.shutdown,
        ] {
            counter.increment(0);
        }
        meters
    }

    pub(super) fn queue(&self, length: usize) {
        self.queue.set(length as f64);
    }

    /// Records that the store has acknowledged `records` runs and changes, or has not.
    pub(super) fn wrote(&self, succeeded: bool, records: u64, took: Duration) {
        let counter = if succeeded { &self.written } else { &self.failed };
        counter.increment(records);
        self.duration.record(took.as_secs_f64());
    }
}
