//! What there is to be asked for: the service's own table of metrics, and what Prometheus adds.

use vitalsign::checks::{KINDS, POOL_MEASUREMENTS};
use vitalsign::config::Reference;
use vitalsign::metrics::{METRICS, MetricType};
use vitalsign::{Outcome, ServiceStatus, Status};

/// A series that can be asked for.
#[derive(Debug)]
pub(super) struct Exported {
    /// Whether it only grows.
    pub(super) counts: bool,
    pub(super) labels: Vec<&'static str>,
}

/// The series called `name`, if a service can export such.
pub(super) fn find(name: &str) -> Option<Exported> {
    METRICS
        .iter()
        .find_map(|m| series(name, m.name, m.kind, m.labels))
        .or_else(|| figure(name))
        .or_else(|| (name == "up").then(|| Exported { counts: false, labels: Vec::new() }))
}

fn series(name: &str, metric: &str, kind: MetricType, labels: &[&'static str]) -> Option<Exported> {
    let part = name.strip_prefix(metric)?;
    let mut labels = labels.to_vec();
    let counts = match (kind, part) {
        (MetricType::Counter, "") | (MetricType::Histogram, "_sum" | "_count") => true,
        (MetricType::Gauge, "") => false,
        (MetricType::Histogram, "_bucket") => {
            labels.push("le");
            true
        }
        _ => return None,
    };
    Some(Exported { counts, labels })
}

/// A figure that some kinds of checks tell.
fn figure(name: &str) -> Option<Exported> {
    let name = name.strip_prefix("health_check_")?;
    let reference = Reference::of(KINDS);
    let mut of_kinds = reference.kinds.iter().flat_map(|kind| kind.measurements);
    let known =
        of_kinds.any(|m| m.name == name) || POOL_MEASUREMENTS.iter().any(|m| m.name == name);
    known.then(|| Exported { counts: false, labels: vec!["check", "kind"] })
}

/// What `label` of `metric` can be, where that is a closed list.
pub(super) fn values(metric: &str, label: &str) -> Option<Vec<&'static str>> {
    let words: Vec<&'static str> = match (metric, label) {
        ("health_status", "status") => ServiceStatus::ALL.iter().map(|s| s.as_str()).collect(),
        ("health_check_status", "status") => Status::ALL.iter().map(|s| s.as_str()).collect(),
        ("health_check_runs_total", "outcome") => Outcome::ALL.iter().map(|o| o.as_str()).collect(),
        ("health_check_slo_runs_total", "result") => vec!["good", "bad"],
        ("health_config_reloads_total", "outcome") => vec!["success", "failure"],
        _ => return None,
    };
    Some(words)
}
