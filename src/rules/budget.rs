//! The alerts on error budgets: how fast checks with an objective use up the failures that it
//! allows.
//!
//! Runs are summed over instances, since a rollout that renames all of them must not hide a
//! failure. Instances on which the check is suppressed or in maintenance are left out.

use std::time::Duration;

use super::scope::{SAME_CHECK, Scope, increase, indented, number};
use super::{Group, Recording, Rule};

/// A window over which runs are summed.
struct Window {
    length: &'static str,
    /// For how long an instance stays left out after a suppression: as long as the shorter window
    /// of the pair still sees what failed meanwhile.
    quiet: &'static str,
}

const fn window(length: &'static str, quiet: &'static str) -> Window {
    Window { length, quiet }
}

/// Windows that change quickly, and are read at every evaluation.
const SHORT: [Window; 4] =
    [window("5m", "5m"), window("30m", "30m"), window("1h", "5m"), window("2h", "2h")];

/// Windows of so many samples that they are read less often.
const LONG: [Window; 3] = [window("6h", "6h"), window("1d", "2h"), window("3d", "6h")];

/// Longest interval at which Prometheus still finds the last value of a recorded series.
const LONG_INTERVAL: Duration = Duration::from_mins(2);

/// The fewest failed runs in the longer window for which an alert fires.
const FAILED_AT_LEAST: u32 = 5;

/// A pair of windows, and how many times too fast the budget burns in both.
struct Burn {
    factor: f64,
    short: &'static str,
    long: &'static str,
}

const fn burn(factor: f64, short: &'static str, long: &'static str) -> Burn {
    Burn { factor, short, long }
}

const FAST: [Burn; 2] = [burn(14.4, "5m", "1h"), burn(6.0, "30m", "6h")];
const SLOW: [Burn; 2] = [burn(3.0, "2h", "1d"), burn(1.0, "6h", "3d")];

/// What the objective allows to fail, as a share of all runs.
const BUDGET: &str = "job_check:health_check_error_budget:ratio";

fn runs(window: &str) -> String {
    format!("job_check:health_check_slo_runs:increase{window}")
}

fn errors(window: &str) -> String {
    format!("job_check:health_check_slo_errors:ratio{window}")
}

/// The groups of recording rules that the alerts read.
///
/// `checks` is a matcher of the checks that have an objective, where these are known.
pub(super) fn recording(scope: &Scope<'_>, checks: &str) -> Vec<Group> {
    let budget =
        Recording { record: BUDGET.to_owned(), expr: format!("1 - {}", objective(scope, checks)) };
    let short = SHORT.iter().flat_map(|window| record(scope, checks, window));
    let long = LONG.iter().flat_map(|window| record(scope, checks, window));
    let group = |name: &str, interval, rules: Vec<Recording>| Group {
        name: name.to_owned(),
        interval,
        rules: rules.into_iter().map(Rule::Recording).collect(),
    };
    vec![
        group("vitalsign-recording", None, [budget].into_iter().chain(short).collect()),
        group("vitalsign-recording-long", Some(LONG_INTERVAL), long.collect()),
    ]
}

/// The objective of each check, the strictest where instances disagree.
fn objective(scope: &Scope<'_>, checks: &str) -> String {
    let objective = scope.service_where("health_check_objective_ratio", checks);
    format!("max by (job, check, kind) ({objective})")
}

/// The runs within a window by result, and the share of those that failed; none where none ran.
fn record(scope: &Scope<'_>, checks: &str, window: &Window) -> [Recording; 2] {
    let Window { length, quiet } = window;
    let counted = scope.service_where("health_check_slo_runs_total", checks);
    let suppressed = scope.service_where("health_check_suppressed", checks);
    let maintained = scope.service_where("health_check_maintenance", checks);
    let objective = scope.service_where("health_check_objective_ratio", checks);
    let name = runs(length);
    let all = scope.service(&name);
    let bad = scope.service_where(&name, "result=\"bad\"");
    [
        Recording {
            expr: format!(
                "sum by (job, check, kind, result) (\n  \
                   {}\n  \
                   unless {SAME_CHECK} max_over_time({suppressed}[{quiet}]) == 1\n  \
                   unless {SAME_CHECK} {maintained} == 1\n\
                 )\n\
                 and on (job, check, kind) {objective}",
                indented(&increase(&counted, length))
            ),
            record: name,
        },
        Recording {
            record: errors(length),
            expr: format!("{bad}\n/ ignoring (result)\n(sum without (result) ({all}) > 0)"),
        },
    ]
}

/// When the budget burns fast.
pub(super) fn fast(scope: &Scope<'_>) -> String {
    burning(scope, &FAST)
}

/// When the budget burns slowly, but faster than it lasts.
pub(super) fn slow(scope: &Scope<'_>) -> String {
    burning(scope, &SLOW)
}

fn burning(scope: &Scope<'_>, burns: &[Burn]) -> String {
    let burns: Vec<_> = burns.iter().map(|burn| one(scope, burn)).collect();
    burns.join("\nor\n")
}

/// The share of failed runs in the long window, where both windows are above the threshold.
///
/// The short window may hold no run of a check with a long interval; then it has no say, so that
/// an alert does not come and go between two runs.
fn one(scope: &Scope<'_>, Burn { factor, short, long }: &Burn) -> String {
    let limit = match scope.check.and_then(|check| check.objective) {
        Some(percent) => number(factor * (100.0 - percent) / 100.0),
        None if *factor > 1.0 => format!("{factor} * {}", scope.series(BUDGET)),
        None => scope.series(BUDGET),
    };
    let failed = scope.series_where(&runs(long), "result=\"bad\"");
    let (long, short) = (scope.series(&errors(long)), scope.series(&errors(short)));
    format!(
        "(\n  \
           {long} > {limit}\n  \
           unless {short} <= {limit}\n  \
           and ignoring (result) {failed} >= {FAILED_AT_LEAST}\n\
         )"
    )
}
