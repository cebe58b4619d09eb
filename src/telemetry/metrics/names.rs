//! The table of all metrics: their names, types, labels and `# HELP` texts, for the encoder and
//! the reference.
//!
//! The measurements of single kinds are not here: each [`Measurement`](crate::Measurement) has its
//! own name and text.

use ::metrics::{Recorder, Unit};

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    /// It only grows, until the process restarts.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values in buckets.
    Histogram,
}

impl MetricType {
    /// The type's name in a `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Where a metric's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The health state: it is on every page.
    State,
    /// The `metrics` facade: it is shown by the recorder that the host installed.
    Facade,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its full name, `_total` of counters included.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// Names of its labels, `le` of histograms aside; `health_check_info` also has those that were
    /// configured.
    pub labels: &'static [&'static str],
    /// Its help text, one sentence.
    pub help: &'static str,
    /// Where its values come from.
    pub origin: Origin,
}

impl Metric {
    /// The base unit that its name ends with, if it has one.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        unit(family(self.name, self.kind))
    }
}

/// The name of the family of `name` in OpenMetrics, whose counters go without `_total`.
pub(super) fn family(name: &str, kind: MetricType) -> &str {
    match kind {
        MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
        MetricType::Gauge | MetricType::Histogram => name,
    }
}

/// The base unit that the name of a family ends with.
pub(super) fn unit(family: &str) -> Option<&'static str> {
    let (_, last) = family.rsplit_once('_')?;
    ["seconds", "bytes", "ratio"].into_iter().find(|unit| *unit == last)
}

/// A unit as recorders know it.
pub(super) fn recorded_unit(unit: Option<&str>) -> Unit {
    match unit {
        Some("seconds") => Unit::Seconds,
        Some("bytes") => Unit::Bytes,
        _ => Unit::Count,
    }
}

/// Describes the metrics of `origin` to `recorder`.
pub(super) fn describe(recorder: &dyn Recorder, origin: Origin) {
    for metric in METRICS.iter().filter(|m| m.origin == origin) {
        let (name, help) = (metric.name.into(), metric.help.into());
        let unit = Some(recorded_unit(metric.unit()));
        match metric.kind {
            MetricType::Counter => recorder.describe_counter(name, unit, help),
            MetricType::Gauge => recorder.describe_gauge(name, unit, help),
            MetricType::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}

/// Whether `label` is already used: by a series of the state, or added by a recorder.
pub(crate) fn is_own_label(label: &str) -> bool {
    let own = METRICS.iter().filter(|m| m.origin == Origin::State).flat_map(|m| m.labels);
    own.chain(&["le", "quantile"]).any(|own| *own == label)
}

/// The metric called `name`.
pub(super) fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

/// Declares a constant for each metric that the encoder writes, and the table of all metrics,
/// so that each metric is written down only once.
macro_rules! metrics {
    (
        state { $($id:ident = $kind:ident $name:literal [$($label:literal)*] $help:literal;)+ }
        facade { $($fkind:ident $fname:literal [$($flabel:literal)*] $fhelp:literal;)+ }
    ) => {
        $(pub(super) const $id: Metric = Metric {
            name: $name,
            kind: MetricType::$kind,
            labels: &[$($label),*],
            help: $help,
            origin: Origin::State,
        };)+

        /// Every metric, those of the checks first.
        pub const METRICS: &[Metric] = &[
            $($id,)+
            $(Metric {
                name: $fname,
                kind: MetricType::$fkind,
                labels: &[$($flabel),*],
                help: $fhelp,
                origin: Origin::Facade,
            },)+
        ];
    };
}

metrics! {
    state {
        CHECK_UP = Gauge "health_check_up" ["check" "kind"]
            "1 while the check is up or degraded, 0 while it is down; no series while it is unknown.";
        CHECK_STATUS = Gauge "health_check_status" ["check" "kind" "status"]
            "1 for the status that the check has, 0 for the others.";
        CHECK_LAST_RESULT = Gauge "health_check_last_result" ["check" "kind"]
            "Result of the last run before thresholds: 1 good, 0 failed.";
        CHECK_DURATION = Histogram "health_check_duration_seconds" ["check" "kind"]
            "Duration of a run, connection included.";
        CHECK_PHASE_DURATION = Gauge "health_check_phase_duration_seconds" ["check" "kind" "phase"]
            "Duration of each phase of the last run.";
        CHECK_RUNS = Counter "health_check_runs_total" ["check" "kind" "outcome"]
            "Runs by outcome.";
        CHECK_SLO_RUNS = Counter "health_check_slo_runs_total" ["check" "kind" "result"]
            "Runs that count for availability: none of an unknown outcome, none in maintenance.";
        CHECK_FAILURES = Counter "health_check_failures_total" ["check" "kind" "reason"]
            "Failed runs by reason, for each reason once it was seen.";
        CHECK_TRANSITIONS = Counter "health_check_transitions_total" ["check" "kind" "to"]
            "Changes of status by the status that was entered; the first status of all is none.";
        CHECK_SKIPPED = Counter "health_check_skipped_total" ["check" "kind" "reason"]
            "Due runs that were not started: overrun, the last one was still going; limit, as many \
             as allowed were.";
        CHECK_CONSECUTIVE_FAILURES = Gauge "health_check_consecutive_failures" ["check" "kind"]
            "Failed runs since the last good one.";
        CHECK_LAST_RUN = Gauge "health_check_last_run_timestamp_seconds" ["check" "kind"]
            "When the last run ended, in Unix time.";
        CHECK_LAST_SUCCESS = Gauge "health_check_last_success_timestamp_seconds" ["check" "kind"]
            "When the last good run ended, in Unix time.";
        CHECK_INTERVAL = Gauge "health_check_interval_seconds" ["check" "kind"]
            "Time from one due run to the next, as configured.";
        CHECK_TIMEOUT = Gauge "health_check_timeout_seconds" ["check" "kind"]
            "Longest that one run may take, as configured.";
        CHECK_OBJECTIVE = Gauge "health_check_objective_ratio" ["check" "kind"]
            "Share of good runs wanted over 30 days, where one is configured.";
        CHECK_SUPPRESSED = Gauge "health_check_suppressed" ["check" "kind"]
            "1 while a check that this one depends on is down, else 0.";
        CHECK_MAINTENANCE = Gauge "health_check_maintenance" ["check" "kind"]
            "1 while the check is in a maintenance window, else 0.";
        CHECK_INFO = Gauge "health_check_info"
            ["check" "kind" "gates" "server_address" "server_port"]
            "1, with the probes that the check gates, the address that it asks and its labels.";
        SCHEDULING_DELAY = Histogram "health_check_scheduling_delay_seconds" []
            "Time from when a run was due to its start.";
        READY = Gauge "health_ready" [] "Whether the readiness probe answers 200.";
        LIVE = Gauge "health_live" [] "Whether the liveness probe answers 200.";
        STARTED = Gauge "health_started" [] "Whether the startup probe answers 200.";
        DRAINING = Gauge "health_draining" [] "Whether the service was told to stop.";
        STATUS = Gauge "health_status" ["status"]
            "1 for the status that the service has, 0 for the others.";
        GROUP_STATUS = Gauge "health_group_status" ["group" "status"]
            "1 for the status that the group of checks has, 0 for the others.";
        CHECKS_CONFIGURED = Gauge "health_checks_configured" [] "Checks of the current plan.";
        BUILD_INFO = Gauge "health_build_info" ["version" "revision" "rustc_version"]
            "1, with the version of vitalsign, its revision and the compiler's version.";
    }
    facade {
        Gauge "health_config_last_reload_successful" []
            "1 when the last reload of the configuration was applied, 0 when it was refused.";
        Gauge "health_config_last_reload_success_timestamp_seconds" []
            "When a configuration was last applied, in Unix time.";
        Counter "health_config_reloads_total" ["outcome"] "Reloads of the configuration by outcome.";
        Gauge "health_history_store_up" ["backend"]
            "1 while the history store takes what it is given, else 0.";
        Gauge "health_history_queue_length" []
            "Runs and status changes that wait to be taken into the history.";
        Gauge "health_history_queue_capacity" [] "Most runs that may wait so.";
        Gauge "health_history_size_bytes" [] "Bytes that the history takes in its store.";
        Counter "health_history_writes_total" ["outcome"]
            "Runs and status changes by whether the store acknowledged them; those of a failed \
             attempt count again in the next.";
        Counter "health_history_dropped_total" ["reason"]
            "Runs, status changes and roll-ups that are not in the history, by reason.";
        Histogram "health_history_write_duration_seconds" []
            "Time that writing to the history store took.";
        Histogram "http_server_request_duration_seconds"
            ["http_request_method" "http_route" "http_response_status_code"]
            "Time from a request's head to the head of its answer.";
        Gauge "http_server_active_requests" [] "HTTP requests whose answer has not begun yet.";
        Counter "health_http_rejected_total" ["reason"]
            "Connections and requests refused before routing, by reason.";
        Counter "health_alertmanager_posts_total" ["outcome"]
            "Posts of alerts to an Alertmanager by outcome: success, or failure, after which what is \
             true is sent again.";
        Gauge "otel_sdk_processor_span_queue_size" [] "Spans that wait to be exported.";
        Counter "otel_sdk_processor_span_processed_total" ["error_type"]
            "Spans handed to export or dropped; error_type says why one was dropped.";
        Counter "otel_sdk_exporter_span_exported_total" ["error_type"]
            "Spans exported or lost; error_type says why one was lost.";
        Counter "process_cpu_seconds_total" [] "User and system CPU time spent.";
        Gauge "process_open_fds" [] "Open file descriptors.";
        Gauge "process_max_fds" [] "Most file descriptors that may be open; none while unlimited.";
        Gauge "process_virtual_memory_bytes" [] "Virtual memory size.";
        Gauge "process_virtual_memory_max_bytes" []
            "Most virtual memory that may be used; none while unlimited.";
        Gauge "process_resident_memory_bytes" [] "Resident memory size.";
        Gauge "process_start_time_seconds" [] "When the process started, in Unix time.";
        Gauge "process_threads" [] "Threads of the process.";
        Gauge "tokio_runtime_workers" ["runtime"] "Worker threads of the runtime.";
        Gauge "tokio_runtime_alive_tasks" ["runtime"] "Tasks of the runtime that have not ended.";
        Gauge "tokio_runtime_global_queue_depth" ["runtime"]
            "Tasks that wait in the queue that all workers of the runtime share.";
        Counter "tokio_runtime_busy_seconds_total" ["runtime"]
            "Time that the runtime's workers were busy, summed over them.";
        Counter "tokio_runtime_parks_total" ["runtime"]
            "How often workers of the runtime went to sleep for want of work.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len(), "a name is listed twice");
        for metric in METRICS {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == MetricType::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(!metric.help.contains(['"', '\\', '\n']), "{}", metric.name);
            assert!(metric.labels.iter().all(|l| !l.starts_with("__")), "{}", metric.name);
        }
    }

    #[test]
    fn a_unit_is_the_end_of_a_familys_name() {
        let unit = |name| find(name).expect("a metric").unit();
        assert_eq!(unit("process_cpu_seconds_total"), Some("seconds"));
        assert_eq!(unit("health_check_objective_ratio"), Some("ratio"));
        assert_eq!(unit("process_resident_memory_bytes"), Some("bytes"));
        assert_eq!(unit("health_check_runs_total"), None);
        assert_eq!(unit("health_check_up"), None);
    }
}
