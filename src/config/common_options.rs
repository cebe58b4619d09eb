//! The options of every check, whatever its kind, and their defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::defaults::{FAILURE_THRESHOLD, INTERVAL, SUCCESS_THRESHOLD, TIMEOUT};
use super::diagnostics::Report;
use super::rules::no_duplicates;
use super::sections::DefaultsSection;
use super::tree::Node;
use super::values::{Count, Period};
use crate::engine::check::{Options, has_label_form, is_reserved_label};
use crate::model::Gate;

const GATES: [Gate; 1] = [Gate::Ready];
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// The options of every check, whatever its kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommonOptions {
    /// How it tests its dependency: one of the check kinds.
    #[expect(dead_code, reason = "it was looked up in the tree, before the kind's own options")]
    kind: String,
    /// Description for people.
    description: Option<String>,
    /// Whether it runs. Default true.
    #[schemars(extend("default" = true))]
    pub(super) enabled: Option<bool>,
    /// Time from one due run to the next. Default that of `[defaults]`, 10 s.
    interval: Option<Period>,
    /// Longest time of one run, shorter than the interval. Default that of `[defaults]`, 2 s or
    /// half the interval, whichever is less.
    timeout: Option<Period>,
    /// Failed runs in a row that make it down. Default that of `[defaults]`, 3. The first run after a
    /// start decides at once. So does that of a check which a reload adds, but it gates nothing until its
    /// first good run, or until so many failed ones in a row: a new check may be wrong itself.
    failure_threshold: Option<Count>,
    /// Good runs in a row after which it is no longer down. Default that of `[defaults]`, 1.
    success_threshold: Option<Count>,
    /// The probes that answer 503 while it is down: `health`, `ready`, `startup`. Default
    /// `["ready"]`; an empty list makes it informative.
    #[schemars(extend("default" = GATES))]
    gates: Option<Vec<Gate>>,
    /// Checks that this one depends on: while one of them is down, this check raises no alert.
    #[serde(default)]
    pub(super) depends_on: Vec<String>,
    /// Groups that it belongs to, named like checks. A group has a status of its own, at
    /// `/ready/group/{group}`; no check may have its name.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    /// A success slower than this is a warning. Shorter than the timeout.
    degraded_after: Option<Period>,
    /// Percent of good runs wanted over 30 days, from 50 to below 100, such as `99.9`.
    #[schemars(extend("minimum" = LEAST_OBJECTIVE, "exclusiveMaximum" = 100))]
    objective: Option<f64>,
    /// Labels for `health_check_info` and the status document; names follow the rules of
    /// Prometheus.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Whether the trace context is sent to the dependency. Default true.
    #[schemars(extend("default" = true))]
    propagate: Option<bool>,
}

/// `[defaults]` with its own defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    interval: Duration,
    timeout: Option<Duration>,
    /// Whether an error was reported for one of these two, so that its value is a stand-in.
    unreadable: bool,
    failure_threshold: u32,
    success_threshold: u32,
}

impl Defaults {
    pub(super) fn of(section: DefaultsSection, node: &Node, report: &mut Report) -> Self {
        let interval = section.interval.map_or(INTERVAL, |period| period.0);
        let mut timeout = section.timeout.map(|period| period.0);
        let unreadable = report.has(node, "interval") || report.has(node, "timeout");
        if !unreadable && timeout.is_some_and(|timeout| timeout >= interval) {
            report.option(node, "timeout", too_long("timeout", "interval", interval));
            timeout = None;
        }
        if interval < MIN_INTERVAL {
            report.option(node, "interval", TOO_OFTEN);
        }
        Self {
            interval,
            timeout,
            unreadable,
            failure_threshold: section.failure_threshold.map_or(FAILURE_THRESHOLD, |count| count.0),
            success_threshold: section.success_threshold.map_or(SUCCESS_THRESHOLD, |count| count.0),
        }
    }

    /// The options of a check, with defaults filled in.
    pub(super) fn options(&self, read: CommonOptions, node: &Node, report: &mut Report) -> Options {
        let (interval, timeout) = self.timing(&read, node, report);
        no_duplicates(read.gates.as_deref().unwrap_or_default(), "gates", node, report);
        no_duplicates(&read.depends_on, "depends_on", node, report);
        no_duplicates(&read.groups, "groups", node, report);
        if let Some(message) = read.objective.and_then(objective_problem) {
            report.option(node, "objective", message);
        }
        for label in read.labels.keys() {
            label_name(label, node, report);
        }
        let gates = read.gates.unwrap_or_else(|| GATES.to_vec());
        if let Some(index) = gates.iter().position(|gate| *gate == Gate::Health) {
            let (gate, _) = node.locate("gates");
            let message = "a liveness probe that depends on another system makes the orchestrator \
                           restart in circles; gate `ready` instead";
            report.warning(gate.at, format!("{}[{index}]", gate.path), message);
        }
        Options {
            kind: None,
            description: read.description,
            interval: Some(interval),
            timeout: Some(timeout),
            failure_threshold: Some(
                read.failure_threshold.map_or(self.failure_threshold, |count| count.0),
            ),
            success_threshold: Some(
                read.success_threshold.map_or(self.success_threshold, |count| count.0),
            ),
            gates: Some(gates.into_iter().collect()),
            depends_on: read.depends_on,
            groups: read.groups,
            degraded_after: read.degraded_after.map(|period| period.0),
            objective: read.objective,
            labels: read.labels,
            propagate: Some(read.propagate.unwrap_or(true)),
            // Only a host has calls to observe.
            spare_when_observed: false,
        }
    }

    fn timing(
        &self,
        read: &CommonOptions,
        node: &Node,
        report: &mut Report,
    ) -> (Duration, Duration) {
        let own_interval = read.interval.map(|period| period.0);
        let own_timeout = read.timeout.map(|period| period.0);
        let interval = own_interval.unwrap_or(self.interval);
        if own_interval.is_some_and(|interval| interval < MIN_INTERVAL) {
            report.option(node, "interval", TOO_OFTEN);
        }
        let timeout = own_timeout.or(self.timeout).unwrap_or_else(|| {
            // A short interval shortens the default, but not a configured value.
            TIMEOUT.min(interval / 2)
        });
        let reported = |key: &str| report.has(node, key);
        if reported("interval") || reported("timeout") || reported("degraded_after") {
            return (interval, timeout);
        }
        if self.unreadable && (own_interval.is_none() || own_timeout.is_none()) {
            return (interval, timeout);
        }
        if timeout >= interval {
            if own_timeout.is_some() {
                report.option(node, "timeout", too_long("timeout", "interval", interval));
            } else {
                let timeout = humantime::format_duration(timeout);
                let message = format!(
                    "not longer than the timeout of [defaults], {timeout}; write more, or a \
                     `timeout` for this check"
                );
                report.option(node, "interval", message);
            }
        } else if read.degraded_after.is_some_and(|limit| limit.0 >= timeout) {
            report.option(node, "degraded_after", too_long("limit", "timeout", timeout));
        }
        (interval, timeout)
    }
}

/// Below this value an objective was probably written as a ratio instead of a percentage.
const LEAST_OBJECTIVE: f64 = 50.0;

/// What is wrong with an objective, if anything.
fn objective_problem(percent: f64) -> Option<String> {
    if (LEAST_OBJECTIVE..100.0).contains(&percent) {
        return None;
    }
    let right = "write a percentage from 50 to below 100, such as 99.9";
    // A ratio; rounded, as 0.999 times 100 is not 99.9 in binary.
    let meant = (percent * 1e9).round() / 1e7;
    Some(if percent < 1.0 && (LEAST_OBJECTIVE..100.0).contains(&meant) {
        format!("{percent} is a ratio, where a percentage is expected; write {meant}")
    } else {
        format!("out of range; {right}")
    })
}

const TOO_OFTEN: &str = "too short an interval; write at least 1ms";

fn too_long(what: &str, than: &str, limit: Duration) -> String {
    let limit = humantime::format_duration(limit);
    format!("the {what} is not shorter than the {than}; write less than {limit}")
}

fn label_name(label: &str, node: &Node, report: &mut Report) {
    let message = if !has_label_form(label) {
        "not a Prometheus label name; write letters, digits and `_`, not beginning with a digit"
    } else if is_reserved_label(label) {
        "a reserved label; choose another name"
    } else {
        return;
    };
    let entry = node.get("labels").and_then(|labels| labels.table()?.get(label));
    if let Some(entry) = entry {
        report.error(entry.key_at, entry.node.path.clone(), message);
    }
}
