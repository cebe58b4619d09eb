//! Writes the metric families of the checks for `/metrics`, from one row per check.
//!
//! A host's recorder gets the same series from `series_sink/check.rs`; add a new metric to both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::names::{self, Metric, MetricType};
use super::page::{Page, Value};
use crate::engine::state::{CheckCounters, Entry, Plan, suppressor};
use crate::model::{CheckInfo, Gate, Measurement, Outcome, Reason, Run, SkipReason, Status};

/// The values of one check, copied while its cell was locked once. So all its series are of one
/// moment, and no lock is held while the page is written.
struct Row<'a> {
    info: &'a CheckInfo,
    /// `check="…",kind="…"` and the labels of every series.
    series: &'a str,
    status: Status,
    last_result: Option<bool>,
    consecutive_failures: u32,
    maintenance: bool,
    suppressed: bool,
    /// The last run of the check itself, not of an observed call.
    last_own_run: Option<Arc<Run>>,
    last_ended: Option<SystemTime>,
    last_success_at: Option<SystemTime>,
    counters: CheckCounters,
}

impl<'a> Row<'a> {
    fn of(plan: &Plan, entry: &'a Entry) -> Self {
        // This may lock another entry, so it must come before the lock of this one.
        let suppressed = suppressor(plan, &entry.info).is_some();
        let cell = entry.lock();
        Self {
            info: &entry.info,
            series: &entry.series,
            status: cell.status(),
            last_result: cell.last_result,
            consecutive_failures: cell.consecutive_failures(),
            maintenance: cell.maintenance,
            suppressed,
            last_own_run: cell.last_own_run.clone(),
            last_ended: cell.last_ended(),
            last_success_at: cell.last_success_at,
            counters: cell.counters.clone(),
        }
    }
}

/// A row for every check, sorted by name.
pub(super) struct Rows<'a>(Vec<Row<'a>>);

impl<'a> Rows<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self(plan.entries.iter().map(|entry| Row::of(plan, entry)).collect())
    }

    /// Approximate size of the page in bytes.
    pub(super) fn estimated_size(&self) -> usize {
        self.0.len() * 6_000 + 16_000
    }

    /// Writes a family with as many samples of each check as `samples` writes.
    fn each(
        &self,
        page: &mut Page,
        metric: &Metric,
        mut samples: impl FnMut(&mut Page, &str, &Row<'_>),
    ) {
        page.metric(metric, |page, name| {
            for row in &self.0 {
                samples(page, name, row);
            }
        });
    }

    /// Writes a family with at most one sample of each check.
    fn one<V: Value>(
        &self,
        page: &mut Page,
        metric: &Metric,
        value: impl Fn(&Row<'_>) -> Option<V>,
    ) {
        self.each(page, metric, |page, name, row| {
            if let Some(value) = value(row) {
                page.sample(name, &[row.series], value);
            }
        });
    }

    /// Writes a family with a sample of each check for each of `counts` by a label.
    fn by<'l>(
        &self,
        page: &mut Page,
        metric: &Metric,
        counts: impl Fn(&Row<'_>, &mut dyn FnMut(&'l str, u64)),
    ) {
        let label = format!(",{}=\"", metric.labels.last().unwrap_or(&""));
        self.each(page, metric, |page, name, row| {
            counts(row, &mut |value, count| {
                page.sample(name, &[row.series, &label, value, "\""], count);
            });
        });
    }
}

/// Writes every family of the checks, and returns the names of the families made of
/// measurements.
pub(super) fn write(page: &mut Page, rows: &Rows<'_>) -> Vec<String> {
    statuses(page, rows);
    durations(page, rows);
    counters(page, rows);
    settings(page, rows);
    measurements(page, rows)
}

fn statuses(page: &mut Page, rows: &Rows<'_>) {
    rows.one(page, &names::CHECK_UP, |row| match row.status {
        Status::Up | Status::Degraded => Some(true),
        Status::Down => Some(false),
        Status::Unknown => None,
    });
    rows.by(page, &names::CHECK_STATUS, |row, sample| {
        for status in Status::ALL {
            sample(status.as_str(), u64::from(row.status == *status));
        }
    });
    rows.one(page, &names::CHECK_LAST_RESULT, |row| row.last_result);
    rows.one(page, &names::CHECK_CONSECUTIVE_FAILURES, |row| {
        Some(u64::from(row.consecutive_failures))
    });
    rows.one(page, &names::CHECK_LAST_RUN, |row| row.last_ended);
    rows.one(page, &names::CHECK_LAST_SUCCESS, |row| row.last_success_at);
    rows.one(page, &names::CHECK_SUPPRESSED, |row| Some(row.suppressed));
    rows.one(page, &names::CHECK_MAINTENANCE, |row| Some(row.maintenance));
}

fn durations(page: &mut Page, rows: &Rows<'_>) {
    rows.each(page, &names::CHECK_DURATION, |page, name, row| {
        page.histogram(name, row.series, &row.counters.durations);
    });
    rows.each(page, &names::CHECK_PHASE_DURATION, |page, name, row| {
        for (phase, took) in row.last_own_run.iter().flat_map(|run| &run.phases) {
            page.sample(name, &[row.series, ",phase=\"", phase.as_str(), "\""], *took);
        }
    });
}

fn counters(page: &mut Page, rows: &Rows<'_>) {
    rows.by(page, &names::CHECK_RUNS, |row, sample| {
        for outcome in Outcome::ALL {
            sample(outcome.as_str(), row.counters.outcomes[*outcome as usize]);
        }
    });
    rows.by(page, &names::CHECK_SLO_RUNS, |row, sample| {
        sample("good", row.counters.slo_good);
        sample("bad", row.counters.slo_bad);
    });
    rows.by(page, &names::CHECK_FAILURES, |row, sample| {
        for reason in Reason::ALL {
            let count = row.counters.failures[*reason as usize];
            if count > 0 {
                sample(reason.as_str(), count);
            }
        }
    });
    rows.by(page, &names::CHECK_TRANSITIONS, |row, sample| {
        for to in Status::ALL {
            sample(to.as_str(), row.counters.transitions[*to as usize]);
        }
    });
    rows.by(page, &names::CHECK_SKIPPED, |row, sample| {
        for reason in SkipReason::ALL {
            sample(reason.as_str(), row.counters.skipped[*reason as usize]);
        }
    });
}

fn settings(page: &mut Page, rows: &Rows<'_>) {
    rows.one(page, &names::CHECK_INTERVAL, |row| Some(row.info.interval));
    rows.one(page, &names::CHECK_TIMEOUT, |row| Some(row.info.timeout));
    rows.one(page, &names::CHECK_OBJECTIVE, |row| row.info.objective_ratio());
    rows.each(page, &names::CHECK_INFO, info);
}

fn info(page: &mut Page, name: &str, row: &Row<'_>) {
    let labels = about(row.info);
    page.info(name, row.series, labels.iter().map(|(label, value)| (&**label, &**value)));
}

/// The labels of `health_check_info` in addition to those of every series of a check.
pub(super) fn about(info: &CheckInfo) -> Vec<(String, String)> {
    let gates: Vec<_> = info.gates.iter().map(Gate::as_str).collect();
    let server = info.server.as_ref();
    let address = server.map(|s| ("server_address", s.address.clone()));
    let port = server.and_then(|s| s.port).map(|port| ("server_port", port.to_string()));
    let own = [("gates", gates.join(","))].into_iter().chain(address).chain(port);
    let labels = info.labels.iter().map(|(label, value)| (label.clone(), value.clone()));
    own.map(|(label, value)| (label.to_owned(), value)).chain(labels).collect()
}

/// A family made of measurements with the same name.
struct Measured<'a> {
    kind: MetricType,
    help: &'static str,
    /// The check's labels, and the value.
    samples: Vec<(&'a str, f64)>,
}

impl Measured<'_> {
    fn of(measurement: &'static Measurement) -> Self {
        let kind = if measurement.is_counter() { MetricType::Counter } else { MetricType::Gauge };
        Self { kind, help: measurement.help, samples: Vec::new() }
    }
}

/// Writes one family for each name among the measurements of the last runs.
fn measurements(page: &mut Page, rows: &Rows<'_>) -> Vec<String> {
    // Kinds with the same measurement may have different help texts; the first one is used.
    let mut families: BTreeMap<&str, Measured<'_>> = BTreeMap::new();
    for row in &rows.0 {
        for (measurement, value) in row.last_own_run.iter().flat_map(|run| &run.measurements) {
            let family =
                families.entry(measurement.name).or_insert_with(|| Measured::of(measurement));
            family.help = family.help.min(measurement.help);
            family.samples.push((row.series, *value));
        }
    }
    let mut written = Vec::new();
    for (name, measured) in families {
        let family = format!("health_check_{name}");
        if !is_free(&family) {
            continue;
        }
        page.family(&family, measured.kind, measured.help, |page, name| {
            for (series, value) in measured.samples {
                page.sample(name, &[series], value);
            }
        });
        written.push(family);
    }
    written
}

/// Whether `name` is a valid name of a family that is not in the table.
pub(super) fn is_free(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let of_histogram = |stem: &str| {
        ["_bucket", "_sum", "_count", "_created"]
            .iter()
            .any(|end| stem.strip_suffix(end).and_then(names::find).is_some())
    };
    let counter = || names::METRICS.iter().any(|m| names::family(m.name, m.kind) == name);
    name.chars().all(plain) && !counter() && names::find(name).is_none() && !of_histogram(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_cannot_take_the_name_of_another_family() {
        assert!(is_free("health_check_replication_lag_seconds"));
        for taken in ["up", "runs", "runs_total", "duration_seconds", "duration_seconds_sum"] {
            assert!(!is_free(&format!("health_check_{taken}")), "{taken}");
        }
        assert!(!is_free("health_check_free-ratio"));
    }
}
