//! The usual rules for dashboards that are shared, and that they ask for what there is.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::names::{find, values};
use super::promql::{Selector, parse};
use super::{choices, dashboards, list, panels, queries, text};

const DATASOURCE: &str = "${datasource}";

/// What makes a rate of a counter, or takes off what it had before.
const RATES: [&str; 5] = ["rate", "increase", "irate", "changes", "min_over_time"];

/// Windows that fit however far the reader zooms.
const FITTING: [&str; 2] = ["$__rate_interval", "$__range"];

/// Windows over which error budgets and their burn are defined.
const OF_OBJECTIVES: [&str; 7] = ["5m", "30m", "1h", "6h", "1d", "3d", "30d"];

/// Every label of series that the service did not put there itself.
const OF_TARGETS: [&str; 2] = ["job", "instance"];

/// What is wrong with a query, a line each.
fn objections(query: &str, windows: &[&str]) -> Vec<String> {
    let names = parse(query);
    let mut wrong = Vec::new();
    let mut known = BTreeSet::from(OF_TARGETS);
    for selector in &names.selectors {
        let Some(exported) = find(&selector.metric) else {
            wrong.push(format!("nobody exports `{}`", selector.metric));
            continue;
        };
        known.extend(&exported.labels);
        wrong.extend(of_labels(selector, &exported.labels));
        // Beside its rate, a counter may say where its series began.
        let rated = names.selectors.iter().any(|other| {
            other.metric == selector.metric && RATES.contains(&other.function.as_str())
        });
        if exported.counts && !rated {
            wrong.push(format!("`{}` only grows; take its rate", selector.metric));
        }
        if let Some(window) = selector.window.as_deref()
            && !windows.contains(&window)
        {
            wrong.push(format!("[{window}] does not fit every zoom"));
        }
    }
    let strangers = names.grouped.iter().filter(|label| !known.contains(label.as_str()));
    wrong.extend(strangers.map(|label| format!("nothing here has the label `{label}`")));
    if names.selectors.is_empty() {
        wrong.push("it asks for nothing".to_owned());
    }
    wrong
}

/// What is wrong with the matchers of a selector whose series have these labels.
fn of_labels(selector: &Selector, labels: &[&str]) -> Vec<String> {
    let metric = &selector.metric;
    let mut wrong = Vec::new();
    for matcher in &selector.matchers {
        let (label, value) = (matcher.label.as_str(), &matcher.value);
        if !labels.contains(&label) && !OF_TARGETS.contains(&label) {
            wrong.push(format!("`{metric}` has no label `{label}`"));
        }
        let Some(values) = values(metric, label) else { continue };
        // Alternatives are the only expressions over closed lists.
        for value in value.split('|').filter(|value| !values.contains(value)) {
            wrong.push(format!("`{label}` of `{metric}` is never `{value}`"));
        }
    }
    let chosen = labels.iter().filter(|label| **label == "check").chain(&OF_TARGETS);
    for label in chosen {
        let variable = format!("${label}");
        let follows = |m: &super::promql::Matcher| {
            m.label == *label && m.operator == "=~" && m.value == variable
        };
        if !selector.matchers.iter().any(follows) {
            wrong.push(format!("`{metric}` does not follow the choice of `{label}`"));
        }
    }
    wrong
}

#[test]
fn every_query_asks_for_what_is_exported_and_follows_the_readers_choice() {
    let mut wrong = Vec::new();
    for query in queries() {
        let windows = if query.dashboard == "slo" {
            [&FITTING[..], &OF_OBJECTIVES].concat()
        } else {
            FITTING.to_vec()
        };
        let found = objections(&query.expression, &windows);
        wrong.extend(found.into_iter().map(|objection| format!("{}: {objection}", query.at)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_can_be_wrong_with_a_query_is_found() {
    let target = r#"job=~"$job", instance=~"$instance""#;
    let check = format!(r#"{target}, check=~"$check""#);
    for (query, objection) in [
        ("health_raedy{T}", "nobody exports `health_raedy`"),
        ("health_check_duration_seconds{C}", "nobody exports `health_check_duration_seconds`"),
        ("health_ready_bucket{T}", "nobody exports `health_ready_bucket`"),
        (r#"health_ready{T, check="a"}"#, "`health_ready` has no label `check`"),
        (
            r#"health_check_up{T, check="a"}"#,
            "`health_check_up` does not follow the choice of `check`",
        ),
        (r#"health_ready{job=~"$job"}"#, "`health_ready` does not follow the choice of `instance`"),
        (r#"health_status{T, status="donw"}"#, "`status` of `health_status` is never `donw`"),
        (
            r#"health_check_status{C, status="draining"}"#,
            "`status` of `health_check_status` is never `draining`",
        ),
        ("sum(health_check_runs_total{C})", "`health_check_runs_total` only grows; take its rate"),
        ("rate(health_check_runs_total{C}[5m])", "[5m] does not fit every zoom"),
        ("sum by (checks) (health_check_up{C})", "nothing here has the label `checks`"),
        ("vector(1)", "it asks for nothing"),
    ] {
        let query =
            query.replace("{T", &format!("{{{target}")).replace("{C", &format!("{{{check}"));
        assert_eq!(objections(&query, &FITTING), [objection], "{query}");
    }
    let right =
        format!("sum by (le) (rate(health_check_duration_seconds_bucket{{{check}}}[$__range]))");
    assert_eq!(objections(&right, &FITTING), [""; 0]);
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let title = text(panel, "/title");
            let at = format!("{name}: {title}");
            assert!(!title.is_empty(), "{name}: a panel has no title");
            let description = text(panel, "/description");
            assert!(description.len() > 20 && description.ends_with('.'), "{at}: {description:?}");
            assert!(!text(panel, "/fieldConfig/defaults/unit").is_empty(), "{at}: no unit");
            assert!(!list(panel, "/targets").is_empty(), "{at}: no query");
        }
    }
}

#[test]
fn the_reader_chooses_data_source_job_instance_and_check() {
    for (name, dashboard) in dashboards() {
        let variables = list(&dashboard, "/templating/list");
        let names: Vec<_> = variables.iter().map(|v| text(v, "/name")).collect();
        assert_eq!(names[..4], ["datasource", "job", "instance", "check"], "{name}");
        assert_eq!(
            (&variables[0]["type"], &variables[0]["query"]),
            (&"datasource".into(), &"prometheus".into())
        );
        for variable in &variables[1..4] {
            assert_eq!(variable["type"], "query", "{name}: {variable}");
            assert_eq!(text(variable, "/datasource/uid"), DATASOURCE, "{name}: {variable}");
            assert_eq!((&variable["multi"], &variable["includeAll"]), (&true.into(), &true.into()));
            assert_eq!(variable["allValue"], ".+", "{name}: {variable}");
            // With the time range, so that what was there then can be chosen.
            assert_eq!(variable["refresh"], 2, "{name}: {variable}");
        }
        for (selector, label) in choices(&dashboard) {
            let metric = &parse(&selector).selectors[0].metric;
            let exported =
                find(metric).unwrap_or_else(|| panic!("{name}: nobody exports {metric}"));
            let there = OF_TARGETS.contains(&&*label) || exported.labels.contains(&&*label);
            assert!(there, "{name}: {metric} has no label {label}");
        }
    }
}

/// Every `datasource` anywhere in JSON.
fn sources<'a>(json: &'a Json, found: &mut Vec<&'a Json>) {
    if let Some(fields) = json.as_object() {
        found.extend(fields.get("datasource"));
        for value in fields.values() {
            sources(value, found);
        }
    } else if let Some(items) = json.as_array() {
        for item in items {
            sources(item, found);
        }
    }
}

#[test]
fn no_dashboard_is_bound_to_one_data_source() {
    for (name, dashboard) in dashboards() {
        let mut found = Vec::new();
        sources(&dashboard, &mut found);
        for source in &found {
            assert_eq!(text(source, "/uid"), DATASOURCE, "{name}: {source}");
        }
        let queried = panels(&dashboard).flat_map(|panel| list(panel, "/targets")).count();
        assert!(found.len() > queried, "{name}: some panel or query names no data source");
    }
}

/// The dashboards that JSON links to, by their uids.
fn linked(text: &str) -> BTreeSet<String> {
    let uid = regex::Regex::new(r#""/d/([a-z-]+)\?"#).expect("a regex");
    uid.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn links_lead_from_the_overview_to_a_dependency_and_on_to_its_traces() {
    let (dashboards, texts) = (dashboards(), super::texts());
    let uids: BTreeSet<_> = dashboards.values().map(|d| text(d, "/uid").to_owned()).collect();
    let wanted = ["overview", "dependency", "slo", "service"].map(|n| format!("vitalsign-{n}"));
    assert_eq!(uids, BTreeSet::from(wanted));
    for (name, text) in &texts {
        let nowhere: Vec<_> = linked(text).difference(&uids).cloned().collect();
        assert!(nowhere.is_empty(), "{name} links to {nowhere:?}");
    }
    assert!(linked(&texts["overview"]).contains("vitalsign-dependency"));
    let duration = panels(&dashboards["dependency"])
        .find(|panel| text(panel, "/title") == "Duration of runs")
        .expect("the panel of durations");
    for target in list(duration, "/targets") {
        assert_eq!(target["exemplar"], true, "{target}");
    }
    let explore = list(&dashboards["dependency"], "/links").iter().map(|link| text(link, "/url"));
    let explore = explore.filter(|url| url.starts_with("/explore?")).collect::<Vec<_>>();
    let (_, panes) = explore[0].split_once("panes=").expect("what to show");
    let panes = percent_decoded(panes);
    let panes: Json = serde_json::from_str(&panes).unwrap_or_else(|e| panic!("{e}: {panes}"));
    let query = text(&panes, "/traces/queries/0/query");
    assert!(query.contains("span.health.check.name =~ \"${check:regex}\""), "{query}");
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("a={}", text.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next().expect("a pair");
    value.into_owned()
}

#[test]
fn changes_of_status_reloads_and_restarts_are_marked_on_every_dashboard() {
    for (name, dashboard) in dashboards() {
        let marks: Vec<_> =
            list(&dashboard, "/annotations/list").iter().map(|a| text(a, "/expr")).collect();
        for metric in [
            "health_check_transitions_total",
            "health_config_reloads_total",
            "process_start_time_seconds",
        ] {
            assert!(marks.iter().any(|expr| expr.contains(metric)), "{name}: {metric}: {marks:?}");
        }
    }
}

#[test]
fn panels_lie_side_by_side_and_none_on_another() {
    for (name, dashboard) in dashboards() {
        let all = list(&dashboard, "/panels");
        let ids: BTreeSet<_> = all.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), all.len(), "{name}: an id is given twice");
        let mut taken = BTreeSet::new();
        for panel in all {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a position");
            assert!(at("x") + at("w") <= 24, "{name}: {} is too far right", panel["title"]);
            for (x, y) in (at("y")..at("y") + at("h"))
                .flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)))
            {
                assert!(taken.insert((x, y)), "{name}: {} lies on another", panel["title"]);
            }
        }
        assert_eq!(dashboard["editable"], false, "{name}");
    }
}
