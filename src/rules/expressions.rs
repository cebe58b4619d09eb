//! The expressions of all alerts except those on error budgets, which are in `budget.rs`.

use std::time::Duration;

use super::scope::{SAME_CHECK, Scope, increase, indented, period};

pub(super) fn target_down(scope: &Scope<'_>) -> String {
    format!("{} == 0", scope.service("up"))
}

pub(super) fn service_absent(scope: &Scope<'_>) -> String {
    format!("absent({})", scope.service("up"))
}

pub(super) fn not_ready(scope: &Scope<'_>) -> String {
    let (ready, draining) = (scope.service("health_ready"), scope.service("health_draining"));
    format!("{ready} == 0\nunless {draining} == 1")
}

/// Liveness is 503 because the check runtime is stalled, not because of a gating check; or runs
/// start late.
pub(super) fn executor_stalled(scope: &Scope<'_>) -> String {
    let live = scope.service("health_live");
    let down = scope.service_where("health_check_status", "status=\"down\"");
    let gating = scope.service_where("health_check_info", "gates=~\".*health.*\"");
    let delays = scope.service("health_check_scheduling_delay_seconds_bucket");
    format!(
        "(\n  \
           {live} == 0\n  \
           unless on (job, instance) (\n    \
             {down} == 1\n    \
             and {SAME_CHECK} {gating} == 1\n  \
           )\n\
         )\n\
         or\n\
         histogram_quantile(0.95, rate({delays}[5m])) > 5"
    )
}

pub(super) fn config_reload_failed(scope: &Scope<'_>) -> String {
    format!("{} == 0", scope.service("health_config_last_reload_successful"))
}

pub(super) fn history_store_down(scope: &Scope<'_>) -> String {
    format!("{} == 0", scope.service("health_history_store_up"))
}

pub(super) fn history_dropping(scope: &Scope<'_>) -> String {
    format!("{} > 0", increase(&scope.service("health_history_dropped_total"), "15m"))
}

pub(super) fn file_descriptors(scope: &Scope<'_>) -> String {
    let (open, most) = (scope.service("process_open_fds"), scope.service("process_max_fds"));
    format!("{open} / {most} > 0.8")
}

pub(super) fn traces_dropped(scope: &Scope<'_>) -> String {
    let lost = |metric| scope.service_where(metric, "error_type!=\"\"");
    let processed = lost("otel_sdk_processor_span_processed_total");
    let exported = lost("otel_sdk_exporter_span_exported_total");
    format!("{} > 0\nor\n{} > 0", increase(&processed, "15m"), increase(&exported, "15m"))
}

/// Checks of which a probe that orchestrators go on asking depends; a startup probe is over once
/// it has succeeded.
fn gating(scope: &Scope<'_>) -> String {
    // A recorder of a host keeps the series of gates that a check had before, as NaN.
    scope.series_where("health_check_info", "gates=~\".*(health|ready).*\"") + " == 1"
}

pub(super) fn gating_check_down(scope: &Scope<'_>) -> String {
    let down = down(scope);
    match scope.check {
        Some(_) => down,
        None => format!("{down}\nand {SAME_CHECK} {}", gating(scope)),
    }
}

pub(super) fn check_down(scope: &Scope<'_>) -> String {
    let down = down(scope);
    match scope.check {
        Some(_) => down,
        None => format!("{down}\nunless {SAME_CHECK} {}", gating(scope)),
    }
}

/// A check that is unknown has no such series, and is none of these.
fn down(scope: &Scope<'_>) -> String {
    format!("{} == 0{}", scope.series("health_check_up"), scope.unless_suppressed(""))
}

pub(super) fn down_everywhere(scope: &Scope<'_>) -> String {
    let telling = format!("{}{}", scope.series("health_check_up"), scope.unless_suppressed(""));
    let telling = indented(&telling);
    format!(
        "max by (job, check, kind) (\n  {telling}\n) == 0\n\
         and\n\
         count by (job, check, kind) (\n  {telling}\n) > 1"
    )
}

/// The age is taken at the time of the scrape, since a sample may be as old as scrapes are apart.
///
/// A heartbeat that has not come yet is unknown by right, within its grace.
pub(super) fn check_stale(scope: &Scope<'_>) -> String {
    let last = scope.series("health_check_last_run_timestamp_seconds");
    let unknown =
        scope.series_where("health_check_status", "status=\"unknown\", kind!=\"heartbeat\"");
    let age = format!("timestamp({last}) - {last}");
    format!(
        "(\n  \
           {age} > {}\n  \
           or\n  \
           {age} and ignoring (status) {unknown} == 1\n\
         ){}",
        scope.stale_after(),
        scope.unless_suppressed("")
    )
}

/// The window holds three times what three failures and recoveries take at least.
pub(super) fn check_flapping(scope: &Scope<'_>) -> String {
    let cycle = scope.check.map_or(0, |c| c.failure_threshold.saturating_add(c.success_threshold));
    let window = scope.window(Duration::from_hours(1), cycle.saturating_mul(9));
    let window = period(window);
    let changes = scope.series("health_check_transitions_total");
    let increase = increase(&changes, &window);
    format!("sum without (to) {increase} >= 6{}", scope.quiet_within(&window))
}

/// Slow over the long window, and over the short one unless no run fell into it.
pub(super) fn check_slow(scope: &Scope<'_>) -> String {
    let (long, short) = slow_windows(scope);
    // What a heartbeat shows is the duration of a job.
    let kinds = if scope.check.is_some() { "" } else { "kind!=\"heartbeat\"" };
    let buckets = scope.series_where("health_check_duration_seconds_bucket", kinds);
    let quantile = |window: &str| format!("histogram_quantile(0.95, rate({buckets}[{window}]))");
    let half = scope.half_timeout();
    format!(
        "{} > {half}\n\
         unless {} <= {half}\n\
         and {} >= 5\n\
         and {} == 1{}",
        quantile(&long),
        quantile(&short),
        increase(&scope.series("health_check_duration_seconds_count"), &long),
        scope.series("health_check_up"),
        scope.unless_suppressed("")
    )
}

fn slow_windows(scope: &Scope<'_>) -> (String, String) {
    let long = scope.window(Duration::from_mins(30), 20);
    let short = scope.window(Duration::from_mins(5), 3);
    (period(long), period(short))
}

pub(super) fn check_skipped(scope: &Scope<'_>) -> String {
    let skipped = scope.series("health_check_skipped_total");
    let window = period(skipped_window(scope));
    format!("{} > 0{}", increase(&skipped, &window), scope.unless_suppressed("ignoring (reason)"))
}

/// Long enough for skipped runs of the check to follow each other within it.
pub(super) fn skipped_window(scope: &Scope<'_>) -> Duration {
    scope.window(Duration::from_mins(10), 3)
}

/// Each check says how long before the end of its chain it warns: a certificate of a day is not
/// due when one of a year is.
pub(super) fn certificate_soon(scope: &Scope<'_>) -> String {
    let (left, warn_before) = (certificate_left(scope), warn_before(scope));
    format!("({left} < {warn_before})\n>= {warn_before} / 3{}", scope.unless_suppressed(""))
}

pub(super) fn certificate_very_soon(scope: &Scope<'_>) -> String {
    format!(
        "{} < {} / 3{}",
        certificate_left(scope),
        warn_before(scope),
        scope.unless_suppressed("")
    )
}

fn certificate_left(scope: &Scope<'_>) -> String {
    format!("{} - time()", scope.series("health_check_tls_certificate_not_after_timestamp_seconds"))
}

fn warn_before(scope: &Scope<'_>) -> String {
    scope.series("health_check_tls_certificate_warn_before_seconds")
}
