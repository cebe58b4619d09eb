//! The table of all alerts with their severity, texts and links; the expressions are in
//! `expressions.rs` and `budget.rs`.

use std::time::Duration;

/// How soon somebody must look at an alert: its label `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Users are affected, or will be soon: wake somebody.
    Critical,
    /// Somebody must look at it, in working hours.
    Warning,
    /// Context for other alerts.
    Info,
}

impl Severity {
    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What an alert is about; it says which labels its texts and its link may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// All instances together: `job`.
    Job,
    /// One instance: `job`, `instance`.
    Instance,
    /// One check of all instances: `job`, `check`, `kind`.
    Check,
    /// One check of one instance: `job`, `instance`, `check`, `kind`.
    CheckOfInstance,
}

/// An alert, as far as it does not depend on what it is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertKind {
    /// Its name, which is also its runbook's.
    pub name: &'static str,
    /// How soon somebody must look.
    pub severity: Severity,
    /// When it fires, in words; for generic rules.
    pub condition: &'static str,
    /// For how long the condition must hold; for generic rules.
    pub pending: Duration,
    /// One line for people, a template.
    pub summary: &'static str,
    /// What it means for users of the service, a template.
    pub description: &'static str,
    pub(super) subject: Subject,
    /// Identifier of the dashboard to look at.
    pub(super) dashboard: &'static str,
}

const OVERVIEW: &str = "vitalsign-overview";
const DEPENDENCY: &str = "vitalsign-dependency";
const SLO: &str = "vitalsign-slo";
const SERVICE: &str = "vitalsign-service";

/// Declares a constant for each alert, and the table of all, so that each is listed once.
macro_rules! alerts {
    ($($id:ident = $name:literal $severity:ident $subject:ident $dashboard:ident $minutes:literal
        condition $condition:literal
        summary $summary:literal
        description $description:literal;)+
    ) => {
        $(pub(super) const $id: AlertKind = AlertKind {
            name: $name,
            severity: Severity::$severity,
            condition: $condition,
            pending: Duration::from_mins($minutes),
            summary: $summary,
            description: $description,
            subject: Subject::$subject,
            dashboard: $dashboard,
        };)+

        /// Every alert, those of the service first.
        pub const ALERTS: &[AlertKind] = &[$($id,)+];
    };
}

alerts! {
    TARGET_DOWN = "HealthTargetDown" Critical Instance OVERVIEW 2
        condition "Prometheus cannot scrape an instance"
        summary "{{ $labels.instance }} cannot be scraped"
        description "Prometheus gets no metrics from {{ $labels.instance }} of job {{ $labels.job }}: the process is gone, unreachable, or refuses the scrape. No other alert of this instance can fire.";
    SERVICE_ABSENT = "HealthServiceAbsent" Critical Job OVERVIEW 5
        condition "the job has no target at all"
        summary "Job {{ $labels.job }} has no target"
        description "Prometheus knows no target of job {{ $labels.job }}: nothing watches the dependencies, and no other alert of the job can fire.";
    NOT_READY = "HealthNotReady" Critical Instance OVERVIEW 3
        condition "readiness is 503, and the instance is not draining"
        summary "{{ $labels.instance }} is not ready"
        description "The readiness probe of {{ $labels.instance }} answers 503 although the instance was not told to stop, so that it gets no traffic. A gating check is down or unknown, or has not run yet.";
    EXECUTOR_STALLED = "HealthExecutorStalled" Critical Instance SERVICE 1
        condition "liveness is 503 and no check that gates it is down; or more than 5 % of runs start over 5 s late"
        summary "The checks of {{ $labels.instance }} are not run on time"
        description "The runtime that runs the checks of {{ $labels.instance }} stands still or cannot keep up. What the instance says of its dependencies is old, and its orchestrator may restart it.";
    CONFIG_RELOAD_FAILED = "HealthConfigReloadFailed" Warning Instance SERVICE 5
        condition "the last reload of the configuration was refused"
        summary "{{ $labels.instance }} refused its new configuration"
        description "{{ $labels.instance }} goes on with the configuration it had, because the one on disk is wrong. It does not start with that one either.";
    HISTORY_STORE_DOWN = "HealthHistoryStoreDown" Warning Instance SERVICE 5
        condition "the history store does not take writes"
        summary "{{ $labels.instance }} cannot write its history"
        description "The {{ $labels.backend }} history store of {{ $labels.instance }} does not take writes. Probes, metrics and alerts go on; what does not fit the queue meanwhile will be missing from the history.";
    HISTORY_DROPPING = "HealthHistoryDropping" Warning Instance SERVICE 5
        condition "history was dropped within 15 minutes"
        summary "{{ $labels.instance }} loses history"
        description "{{ $labels.instance }} dropped about {{ $value | humanize }} records of its history within 15 minutes, for the reason {{ $labels.reason }}. They will be missing from availability, incidents and the page.";
    FILE_DESCRIPTORS = "HealthFileDescriptorsNearLimit" Warning Instance SERVICE 5
        condition "more than 80 % of the file descriptors are open"
        summary "{{ $labels.instance }} is running out of file descriptors"
        description "{{ $labels.instance }} has {{ $value | humanizePercentage }} of its file descriptors open. At the limit, checks become unknown for want of a local resource and new clients are refused.";
    TRACES_DROPPED = "HealthTracesDropped" Info Instance SERVICE 5
        condition "spans were dropped or not delivered within 15 minutes"
        summary "{{ $labels.instance }} loses traces"
        description "About {{ $value | humanize }} spans of {{ $labels.instance }} were lost within 15 minutes, for the reason {{ $labels.error_type }}. Checks are not affected; links to these traces lead nowhere.";
    GATING_CHECK_DOWN = "HealthGatingCheckDown" Critical CheckOfInstance DEPENDENCY 1
        condition "a check that gates readiness or liveness is down"
        summary "{{ $labels.check }} is down and takes {{ $labels.instance }} out of service"
        description "The {{ $labels.kind }} check {{ $labels.check }} is down on {{ $labels.instance }}. It gates a probe, which therefore answers 503.";
    CHECK_DOWN = "HealthCheckDown" Warning CheckOfInstance DEPENDENCY 5
        condition "a check that gates neither readiness nor liveness is down"
        summary "{{ $labels.check }} is down on {{ $labels.instance }}"
        description "The {{ $labels.kind }} check {{ $labels.check }} is down on {{ $labels.instance }}. It takes no instance out of service, but whatever needs this dependency does not work.";
    DOWN_EVERYWHERE = "HealthDependencyDownEverywhere" Critical Check DEPENDENCY 2
        condition "a check is down on every instance, of two or more, that can tell"
        summary "{{ $labels.check }} is down on every instance of {{ $labels.job }}"
        description "The {{ $labels.kind }} check {{ $labels.check }} is down on every instance of job {{ $labels.job }} that can tell. The dependency itself has failed, or what all instances share on the way to it.";
    CHECK_STALE = "HealthCheckStale" Warning CheckOfInstance DEPENDENCY 2
        condition "no run has ended for 3 × interval + timeout, or the check has run and is unknown"
        summary "{{ $labels.check }} is not being checked on {{ $labels.instance }}"
        description "No run of the {{ $labels.kind }} check {{ $labels.check }} on {{ $labels.instance }} has told anything lately; the last one ended {{ $value | humanizeDuration }} before the last scrape. Nobody knows how the dependency is.";
    CHECK_FLAPPING = "HealthCheckFlapping" Warning CheckOfInstance DEPENDENCY 1
        condition "the status changed 6 times or more within an hour"
        summary "{{ $labels.check }} comes and goes on {{ $labels.instance }}"
        description "The {{ $labels.kind }} check {{ $labels.check }} on {{ $labels.instance }} changed its status about {{ $value | humanize }} times of late. Either the dependency is unstable, or the thresholds of the check are too low.";
    CHECK_SLOW = "HealthCheckSlow" Warning CheckOfInstance DEPENDENCY 10
        condition "the check is up, but more than 5 % of its runs take longer than half its timeout, over 30 minutes and over the last 5"
        summary "{{ $labels.check }} answers slowly on {{ $labels.instance }}"
        description "5 % of the runs of the {{ $labels.kind }} check {{ $labels.check }} on {{ $labels.instance }} take {{ $value | humanizeDuration }} or longer, more than half the check's timeout. Runs that reach the timeout count as failed.";
    CHECK_SKIPPED = "HealthCheckSkipped" Warning CheckOfInstance DEPENDENCY 15
        condition "due runs go on being skipped, some in every 10 minutes"
        summary "Runs of {{ $labels.check }} are skipped on {{ $labels.instance }}"
        description "About {{ $value | humanize }} due runs of the {{ $labels.kind }} check {{ $labels.check }} on {{ $labels.instance }} were not started of late, for the reason {{ $labels.reason }}. The check sees less than it should.";
    BURN_FAST = "HealthErrorBudgetBurnFast" Critical Check SLO 2
        condition "the error budget burns 14.4 times too fast over 5 minutes and 1 hour, or 6 times over 30 minutes and 6 hours, with 5 failed runs or more"
        summary "{{ $labels.check }} burns its error budget fast"
        description "{{ $value | humanizePercentage }} of the runs of the {{ $labels.kind }} check {{ $labels.check }} failed of late. At this rate the error budget of 30 days is gone within days.";
    BURN_SLOW = "HealthErrorBudgetBurnSlow" Warning Check SLO 15
        condition "the error budget burns 3 times too fast over 2 hours and 1 day, or faster than it lasts over 6 hours and 3 days, with 5 failed runs or more"
        summary "{{ $labels.check }} burns its error budget"
        description "{{ $value | humanizePercentage }} of the runs of the {{ $labels.kind }} check {{ $labels.check }} failed of late. At this rate the error budget does not last 30 days.";
    CERTIFICATE_SOON = "HealthCertificateExpiresSoon" Warning CheckOfInstance DEPENDENCY 60
        condition "less time is left of a certificate of the chain than the check's `warn_before`: by default a third of its lifetime, at most 14 days"
        summary "A certificate of {{ $labels.check }} expires in {{ $value | humanizeDuration }}"
        description "A certificate of the chain that the {{ $labels.kind }} check {{ $labels.check }} sees from {{ $labels.instance }} expires in {{ $value | humanizeDuration }}. Its renewal has not happened, or is not in use.";
    CERTIFICATE_VERY_SOON = "HealthCertificateExpiresVerySoon" Critical CheckOfInstance DEPENDENCY 5
        condition "less than a third of `warn_before` is left of a certificate of the chain, or it has expired"
        summary "A certificate of {{ $labels.check }} expires in {{ $value | humanizeDuration }}"
        description "A certificate of the chain that the {{ $labels.kind }} check {{ $labels.check }} sees from {{ $labels.instance }} expires in {{ $value | humanizeDuration }}; below zero it has expired. Clients that verify it will fail, or do.";
}
