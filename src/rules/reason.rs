//! Why a check fails, in the text of its alerts.
//!
//! An alert knows the labels of its expression, and a reason is not one of them: it would make an alert
//! end and another begin whenever the reason changes. The text asks for it when it is written: the
//! reason for which most runs failed in the last minutes, or else in the last hour. Prometheus and
//! `vmalert` have the same functions for this.

use super::catalogue::{self, AlertKind, Subject};
use super::scope::{Scope, increase};

/// The windows that are asked in turn.
const WINDOWS: [&str; 2] = ["5m", "1h"];

/// The description of `kind`, whose last sentence goes on with the reason where a run has failed.
pub(super) fn description(scope: &Scope<'_>, kind: &AlertKind) -> String {
    let says_why = [
        catalogue::GATING_CHECK_DOWN,
        catalogue::CHECK_DOWN,
        catalogue::DOWN_EVERYWHERE,
        catalogue::CHECK_FLAPPING,
        catalogue::BURN_FAST,
        catalogue::BURN_SLOW,
    ];
    if !says_why.contains(kind) {
        return kind.description.to_owned();
    }
    let (matchers, labels) = match kind.subject {
        Subject::CheckOfInstance => {
            ("check=%q, instance=%q", ["$labels.check", "$labels.instance"].as_slice())
        }
        _ => ("check=%q", ["$labels.check"].as_slice()),
    };
    let failures = scope.service_where("health_check_failures_total", matchers);
    let most = WINDOWS.map(|window| {
        let grown = increase(&failures, window);
        format!("topk(1, sum by (reason) {grown} > 0)")
    });
    let query = one_line(&most.join(" or on () "));
    // Each place of the query that names a label, in order.
    let places = query.matches("%q").count() / labels.len();
    let labels = vec![labels.join(" "); places].join(" ");
    let text = kind.description.trim_end_matches('.');
    format!(
        "{text}{{{{ with query (printf `{query}` {labels}) }}}}; most runs fail for the reason \
         {{{{ . | first | label \"reason\" }}}}{{{{ end }}}}."
    )
}

/// The same expression on one line, as a text within a text.
fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
