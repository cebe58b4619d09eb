//! No rule, and no query of a runbook, names a metric or a label that the service does not export.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vitalsign::checks::KINDS;
use vitalsign::metrics::{METRICS, MetricType};
use vitalsign::rules::{Job, Rule, Rules};

/// Labels that Prometheus gives to every series.
const TARGET: [&str; 2] = ["job", "instance"];

/// Words of PromQL that stand where a name may.
const WORDS: [&str; 15] = [
    "and",
    "or",
    "unless",
    "on",
    "ignoring",
    "by",
    "without",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "sum",
    "min",
    "max",
    "count",
];

/// Words before a list of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["on", "ignoring", "by", "without", "group_left", "group_right"];

/// A metric with the labels that are named together with it, and labels that are named elsewhere.
#[derive(Debug, Default, PartialEq)]
struct Named {
    metrics: Vec<(String, Vec<String>)>,
    labels: BTreeSet<String>,
}

/// The names in an expression.
fn named(expression: &str) -> Named {
    let word =
        regex::Regex::new(r#""(?:[^"\\]|\\.)*"|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9.a-z]*|[^\s]"#)
            .expect("a regex");
    let tokens: Vec<&str> = word.find_iter(expression).map(|found| found.as_str()).collect();
    let is_name = |token: &str| token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut found = Named::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let next = tokens.get(at).copied().unwrap_or_default();
        let close = match (*token, next) {
            ("{", _) => "}",
            (word, "(") if BEFORE_LABELS.contains(&word) => ")",
            // The unit of a range, such as the last of `[90m]`, belongs to a number.
            (word, next) if is_name(word) && next != "(" && !WORDS.contains(&word) => {
                found.metrics.push((word.to_owned(), Vec::new()));
                continue;
            }
            _ => continue,
        };
        while let Some(inner) = tokens.get(at).filter(|inner| **inner != close) {
            at += 1;
            match found.metrics.last_mut() {
                Some((_, labels)) if is_name(inner) && close == "}" => labels.push((*inner).into()),
                _ if is_name(inner) => drop(found.labels.insert((*inner).into())),
                _ => {}
            }
        }
    }
    found
}

/// Every metric that the service or its rules make, with its labels.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let with = |labels: &[&str]| -> BTreeSet<String> {
        labels.iter().chain(&TARGET).map(|label| (*label).to_owned()).collect()
    };
    let mut metrics = BTreeMap::from([("up".to_owned(), with(&[]))]);
    for metric in METRICS {
        let name = metric.name;
        metrics.insert(name.to_owned(), with(metric.labels));
        if metric.kind == MetricType::Histogram {
            metrics.insert(format!("{name}_bucket"), with(&[metric.labels, &["le"]].concat()));
            metrics.insert(format!("{name}_count"), with(metric.labels));
            metrics.insert(format!("{name}_sum"), with(metric.labels));
        }
    }
    for measurement in KINDS.iter().flat_map(|kind| kind.measurements) {
        metrics.insert(format!("health_check_{}", measurement.name), with(&["check", "kind"]));
    }
    for rule in Rules::generic(&Job::default()).groups.iter().flat_map(|group| &group.rules) {
        if let Rule::Recording(rule) = rule {
            let labels = with(&["check", "kind", "result"]);
            metrics.insert(rule.record.clone(), labels);
        }
    }
    // Of services that keep a history.
    for (name, labels) in [
        ("health_history_store_up", &["backend"][..]),
        ("health_history_queue_length", &[]),
        ("health_history_queue_capacity", &[]),
        ("health_history_writes_total", &["outcome"]),
        ("health_history_dropped_total", &["reason"]),
        ("health_history_write_duration_seconds_bucket", &["le"]),
    ] {
        metrics.entry(name.to_owned()).or_insert_with(|| with(labels));
    }
    metrics
}

/// What an expression names that does not exist.
fn unknown(expression: &str) -> Vec<String> {
    let exported = exported();
    let named = named(expression);
    let mut unknown = Vec::new();
    let all: BTreeSet<&String> = exported.values().flatten().collect();
    for (metric, labels) in &named.metrics {
        match exported.get(metric) {
            None => unknown.push(metric.clone()),
            Some(has) => {
                let wrong = labels.iter().filter(|label| !has.contains(*label));
                unknown.extend(wrong.map(|label| format!("{metric}{{{label}}}")));
            }
        }
    }
    unknown.extend(named.labels.iter().filter(|label| !all.contains(label)).cloned());
    unknown
}

#[test]
fn no_rule_names_what_the_service_does_not_export() {
    let mut seen = 0;
    for rule in Rules::generic(&Job::default()).groups.iter().flat_map(|group| &group.rules) {
        let (name, expression) = match rule {
            Rule::Recording(rule) => (rule.record.as_str(), &rule.expr),
            Rule::Alert(rule) => (rule.alert, &rule.expr),
        };
        assert_eq!(unknown(expression), [""; 0], "{name}:\n{expression}");
        seen += named(expression).metrics.len();
    }
    assert!(seen > 50, "the expressions name {seen} metrics only");
}

#[test]
fn no_runbook_names_what_the_service_does_not_export() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    for entry in std::fs::read_dir(folder).expect("the runbooks") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a page");
        for query in text.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            assert_eq!(unknown(query), [""; 0], "{}:\n{query}", path.display());
        }
    }
}

#[test]
fn a_wrong_name_is_found_wherever_it_stands() {
    for (expression, wrong) in [
        ("health_check_upp == 0", "health_check_upp"),
        ("rate(health_check_run_total[5m])", "health_check_run_total"),
        ("health_check_up{chek=\"a\"}", "health_check_up{chek}"),
        ("health_ready{check=\"a\"} == 1", "health_ready{check}"),
        ("sum by (chek) (up)", "chek"),
        ("up and on (jobb) health_ready", "jobb"),
        (
            "increase(health_check_slo_runs_total{result=\"bad\", reason=\"x\"}[1h])",
            "health_check_slo_runs_total{reason}",
        ),
    ] {
        assert_eq!(unknown(expression), [wrong], "{expression}");
    }
}

#[test]
fn what_is_no_name_is_left_alone() {
    for expression in [
        "sum without (le) (rate(health_check_duration_seconds_bucket{check=~\"a|b\"}[1h30m])) > 5",
        "histogram_quantile(0.95, rate(health_check_scheduling_delay_seconds_bucket[5m])) > 14.4",
        "absent(up{job=\"health_nonsense\"}) unless on (job) up offset 5m",
    ] {
        assert_eq!(unknown(expression), [""; 0], "{expression}");
    }
}
