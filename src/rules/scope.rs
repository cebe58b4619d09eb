//! The selectors of a rule's expressions, and the source of a check's settings: metrics or the
//! configuration.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Job, Links};
use crate::model::CheckInfo;

/// The series that rules are about: of every check of a job, whose settings are then read from
/// metrics, or of one, whose settings are known.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) job: &'a Job,
    pub(super) check: Option<&'a CheckInfo>,
    /// Where the links of its alerts lead.
    pub(super) links: &'a Links,
}

/// Identifies a check across series that differ in other labels.
pub(super) const SAME_CHECK: &str = "on (job, instance, check, kind)";

impl<'a> Scope<'a> {
    pub(super) const fn every(job: &'a Job, links: &'a Links) -> Self {
        Self { job, check: None, links }
    }

    pub(super) const fn of(job: &'a Job, links: &'a Links, check: &'a CheckInfo) -> Self {
        Self { job, check: Some(check), links }
    }

    /// The series of `metric`, of the job alone.
    pub(super) fn service(&self, metric: &str) -> String {
        self.service_where(metric, "")
    }

    /// The series of `metric` of the job that match `matchers` too.
    pub(super) fn service_where(&self, metric: &str, matchers: &str) -> String {
        let separator = if matchers.is_empty() { "" } else { ", " };
        // Neither name nor job holds what would need to be escaped.
        format!("{metric}{{job=\"{}\"{separator}{matchers}}}", self.job)
    }

    /// The series of `metric`, of the job's checks.
    pub(super) fn series(&self, metric: &str) -> String {
        self.series_where(metric, "")
    }

    /// The series of `metric` of the job's checks that match `matchers` too.
    pub(super) fn series_where(&self, metric: &str, matchers: &str) -> String {
        let Some(check) = self.check else { return self.service_where(metric, matchers) };
        let separator = if matchers.is_empty() { "" } else { ", " };
        self.service_where(metric, &format!("check=\"{}\"{separator}{matchers}", check.name))
    }

    /// Leaves out checks that raise no alert of their own now: those that are in maintenance, or
    /// that depend on one that is down. `matching` says which labels of the left side to ignore.
    pub(super) fn unless_suppressed(&self, matching: &str) -> String {
        let space = if matching.is_empty() { "" } else { " " };
        let mut text = String::new();
        for metric in ["health_check_suppressed", "health_check_maintenance"] {
            let series = self.series(metric);
            // Writing to a string does not fail.
            let _ = write!(text, "\nunless{space}{matching} {series} == 1");
        }
        text
    }

    /// Leaves out checks that raised no alert of their own at some time within `window`.
    pub(super) fn quiet_within(&self, window: &str) -> String {
        let mut text = String::new();
        for metric in ["health_check_suppressed", "health_check_maintenance"] {
            let series = self.series(metric);
            let _ = write!(text, "\nunless max_over_time({series}[{window}]) == 1");
        }
        text
    }

    /// Seconds after the end of its last run after which a check is stale.
    pub(super) fn stale_after(&self) -> String {
        match self.check {
            Some(check) => number((check.interval * 3 + check.timeout).as_secs_f64()),
            None => format!(
                "3 * {} + {}",
                self.series("health_check_interval_seconds"),
                self.series("health_check_timeout_seconds")
            ),
        }
    }

    /// Half of the check's timeout, in seconds.
    pub(super) fn half_timeout(&self) -> String {
        match self.check {
            Some(check) => number(check.timeout.as_secs_f64() / 2.0),
            None => format!("0.5 * {}", self.series("health_check_timeout_seconds")),
        }
    }

    /// A window of at least `shortest`, and of `runs` intervals of the check where it is known.
    pub(super) fn window(&self, shortest: Duration, runs: u32) -> Duration {
        let wanted = self.check.map_or(Duration::ZERO, |check| check.interval.saturating_mul(runs));
        let minutes = wanted.max(shortest).as_secs().div_ceil(60);
        // Beyond a week Prometheus reads more than it is worth.
        Duration::from_mins(minutes.min(7 * 24 * 60))
    }
}

/// How much the counters `series` grew within `window`, on Prometheus and VictoriaMetrics alike.
///
/// VictoriaMetrics takes a small first value for growth from zero, so that a service which it meets
/// late would seem to have failed all at once. A series that was not there before the window
/// therefore counts from its first sample.
pub(super) fn increase(series: &str, window: &str) -> String {
    format!(
        "(\n  \
           (increase({series}[{window}]) and {series} offset {window})\n  \
           or\n  \
           ({series} - min_over_time({series}[{window}]))\n\
         )"
    )
}

/// `text` with each line but the first two blanks further in.
pub(super) fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// A number as PromQL takes it: plain digits, rounded to nanoseconds and nine decimals.
pub(super) fn number(value: f64) -> String {
    ((value * 1e9).round() / 1e9).to_string()
}

/// A duration of whole seconds as Prometheus writes it: `90s`, `5m`, `3d`.
pub(super) fn period(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_prometheus_writes_them() {
        let of = |seconds| period(Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 90, 300, 3_600, 86_400, 259_200].map(of),
            ["0s", "1s", "90s", "5m", "1h", "1d", "3d"]
        );
    }

    #[test]
    fn numbers_have_no_exponent_and_no_noise() {
        let of = number;
        assert_eq!([of(0.3 - 0.1), of(32.0), of(1e-9), of(0.0)], ["0.2", "32", "0.000000001", "0"]);
    }
}
