//! The metrics of the process itself, for the program that owns it: the binary, or a host that
//! wants them.
//!
//! The library itself calls nothing here, and nothing here installs a recorder.

use std::time::Duration;

use ::metrics::{counter, gauge};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::{MissedTickBehavior, interval};

use super::names::{self, Origin};
use crate::engine::state::BUCKETS;

/// How often the figures of the process are read, and recorded histograms folded.
const PERIOD: Duration = Duration::from_secs(5);

/// A recorder for the `metrics` facade, to be installed by the program that owns the process, and
/// the handle that [`Builder::exporter`](crate::Builder::exporter) takes.
///
/// Histograms named `…_seconds` have the buckets of every duration, [`BUCKETS`]; [`collect`] does
/// the upkeep of the others.
#[must_use]
pub fn exporter() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = with_buckets(PrometheusBuilder::new()).build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// Gives every histogram named `…_seconds` the buckets of every duration, [`BUCKETS`], in a recorder
/// that a host sets up by itself. Without buckets that recorder shows histograms as quantiles, which
/// cannot be added up over instances.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
///
/// let recorder = vitalsign::metrics::with_buckets(PrometheusBuilder::new()).build_recorder();
/// # drop(recorder);
/// ```
#[must_use]
#[allow(clippy::expect_used, clippy::missing_panics_doc, reason = "only no buckets would fail")]
pub fn with_buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    builder.set_buckets_for_metric(seconds, &BUCKETS).expect("there are buckets")
}

/// Describes the metrics of the facade to the current recorder, for their `# HELP` lines.
pub fn describe() {
    ::metrics::with_recorder(|recorder| names::describe(recorder, Origin::Facade));
}

/// Reads the figures of the process and of `runtimes`, each with the value of its `runtime`
/// label, every few seconds, until it is aborted. It also does the upkeep of the recorder of
/// `exporter`.
///
/// Spawn it once; it ends when it is aborted.
pub async fn collect(exporter: PrometheusHandle, runtimes: Vec<(&'static str, Handle)>) {
    let mut rounds = interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let runtimes: Vec<_> = runtimes.iter().map(|(name, of)| (*name, of.metrics())).collect();
        let exporter = exporter.clone();
        // Listing open descriptors takes milliseconds if there are thousands. After a failed
        // round the next one reads them again.
        let round = tokio::task::spawn_blocking(move || {
            collect_process_and_runtime(&runtimes);
            exporter.run_upkeep();
        });
        let _ = round.await;
    }
}

/// Reads the figures of the process and of `runtimes` once, into the current recorder.
pub fn collect_process_and_runtime(runtimes: &[(&'static str, RuntimeMetrics)]) {
    #[cfg(feature = "process")]
    process();
    for (runtime, metrics) in runtimes {
        tokio_runtime(runtime, metrics);
    }
}

#[cfg(feature = "process")]
fn process() {
    let of = metrics_process::collector::collect();
    if let Some(seconds) = of.cpu_seconds_total {
        // Counters of the facade are integers; a gauge keeps the fractions, and the page gives
        // it the type counter.
        gauge!("process_cpu_seconds_total").set(seconds);
    }
    let unlimited = |limit: &u64| *limit != 0;
    for (name, value) in [
        ("process_open_fds", of.open_fds),
        ("process_max_fds", of.max_fds.filter(unlimited)),
        ("process_virtual_memory_bytes", of.virtual_memory_bytes),
        ("process_virtual_memory_max_bytes", of.virtual_memory_max_bytes.filter(unlimited)),
        ("process_resident_memory_bytes", of.resident_memory_bytes),
        ("process_start_time_seconds", of.start_time_seconds),
        ("process_threads", of.threads),
    ] {
        if let Some(value) = value {
            gauge!(name).set(value as f64);
        }
    }
}

fn tokio_runtime(runtime: &'static str, of: &RuntimeMetrics) {
    let workers = 0..of.num_workers();
    let busy: Duration = workers.clone().map(|w| of.worker_total_busy_duration(w)).sum();
    let parks = workers.map(|w| of.worker_park_count(w)).sum();
    for (name, value) in [
        ("tokio_runtime_workers", of.num_workers() as f64),
        ("tokio_runtime_alive_tasks", of.num_alive_tasks() as f64),
        ("tokio_runtime_global_queue_depth", of.global_queue_depth() as f64),
        ("tokio_runtime_busy_seconds_total", busy.as_secs_f64()),
    ] {
        gauge!(name, "runtime" => runtime).set(value);
    }
    counter!("tokio_runtime_parks_total", "runtime" => runtime).absolute(parks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::names;

    #[tokio::test]
    async fn all_that_is_collected_is_in_the_table_and_described() {
        let (recorder, handle) = exporter();
        let metrics = Handle::current().metrics();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            collect_process_and_runtime(&[("checks", metrics.clone()), ("http", metrics)]);
        });
        let page = handle.render();
        let mut families = 0;
        for line in page.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let name = typed.split(' ').next().expect("a name");
                assert!(names::find(name).is_some(), "{name} is not in the table");
                assert!(page.contains(&format!("# HELP {name} ")), "{name} is not described");
                families += 1;
            }
        }
        assert!(families >= 11, "{page}");
        for name in ["process_cpu_seconds_total ", "process_open_fds "] {
            assert!(page.contains(&format!("\n{name}")), "{page}");
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let shown = limit.map(|limit| format!("\nprocess_max_fds {limit}\n"));
        assert!(shown.is_none_or(|line| page.contains(&line)), "{page}");
        assert_eq!(limit.is_some(), page.contains("\nprocess_max_fds "), "{page}");
        for runtime in ["checks", "http"] {
            let workers = format!("tokio_runtime_workers{{runtime=\"{runtime}\"}} 1\n");
            assert!(page.contains(&workers), "{page}");
        }
    }

    #[test]
    fn durations_have_the_buckets_of_every_duration() {
        let (recorder, handle) = exporter();
        ::metrics::with_local_recorder(&recorder, || {
            ::metrics::histogram!("http_server_request_duration_seconds").record(0.003);
        });
        let page = handle.render();
        assert_eq!(page.matches("_bucket{").count(), BUCKETS.len() + 1, "{page}");
    }
}
