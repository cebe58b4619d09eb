//! Prometheus rules over the service's own metrics: alerts, and the recording rules they need.
//!
//! There are two ways to the same alerts. [Generic](Rules::generic) rules fit every configuration:
//! they read intervals, timeouts, objectives and gates from metrics. [Fitted](Rules::fitted) ones
//! have these written into them, carry the labels of each check, and are only those that can fire.
//!
//! ```
//! use vitalsign::rules::{Job, Rules};
//!
//! let job: Job = "orders".parse()?;
//! println!("{}", Rules::generic(&job));
//! # Ok::<(), vitalsign::rules::NotAJob>(())
//! ```
//!
//! Input: the checks, or none for generic rules. Output: the text of a rule file. An alert about a
//! check does not fire while the check is suppressed or in maintenance. Rules rely on the labels
//! `job` and `instance` that Prometheus gives to every series.

mod budget;
mod catalogue;
mod expressions;
mod job;
mod links;
mod reason;
mod scope;
mod yaml;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Loaded;
use crate::engine::{Defaults, PlanError, plan};
use crate::model::{CheckInfo, Gate};

pub use catalogue::{ALERTS, AlertKind, Severity};
pub use job::{Job, NotAJob};
pub use links::{DASHBOARDS, LinkBase, Links, NotALinkBase};

use expressions as expr;
use scope::Scope;

/// Where the runbooks are: a page per alert, `NAME.md`.
pub const RUNBOOKS: &str = "https://github.com/vitalsign-rs/vitalsign/blob/main/docs/runbooks";

/// Rules in their groups; its [`Display`](std::fmt::Display) is a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// What the file says of itself, as a comment.
    pub title: String,
    /// Its groups; rules of one are evaluated in order, groups side by side.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Unique in the file; `vitalsign-recording…` for recording rules.
    pub name: String,
    /// How often it is evaluated, where that is not left to Prometheus.
    pub interval: Option<Duration>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// It keeps the result of an expression as a series.
    Recording(Recording),
    /// It fires for each result of an expression.
    Alert(Alert),
}

/// A recording rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// The series.
    pub record: String,
    /// Its value, in PromQL.
    pub expr: String,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// Its name, one of [`ALERTS`].
    pub alert: &'static str,
    /// When it fires, in PromQL.
    pub expr: String,
    /// For how long the expression must hold: `for`.
    pub pending: Duration,
    /// Its labels beside those of the expression; `severity` among them.
    pub labels: BTreeMap<String, String>,
    /// `summary`, `description`, `runbook_url` and `dashboard_url`; where the page's address is known,
    /// `page_url` and for a check `incident_url`.
    pub annotations: BTreeMap<String, String>,
}

/// A part of a service with its own metrics and alerts, in addition to its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// It reads a configuration and reloads it.
    Configuration,
    /// It keeps a history.
    History,
    /// It shows the figures of its process.
    Process,
    /// It sends traces.
    Traces,
}

impl Part {
    const ALL: [Self; 4] = [Self::Configuration, Self::History, Self::Process, Self::Traces];
}

impl Rules {
    /// Rules for the services of `job`, however they are configured.
    #[must_use]
    pub fn generic(job: &Job) -> Self {
        Self::generic_with(job, &Links::default())
    }

    /// The same, with links that lead elsewhere.
    #[must_use]
    pub fn generic_with(job: &Job, links: &Links) -> Self {
        let scope = Scope::every(job, links);
        let mut groups = budget::recording(&scope, "");
        groups.push(service(&scope, &Part::ALL));
        groups.push(group("vitalsign-checks", check_alerts(&scope)));
        let title = format!(
            "Prometheus rules for job `{job}`, whatever its configuration, from:\n\
             vitalsign rules --generic{}{}",
            option(job),
            links.options()
        );
        Self { title, groups }
    }

    /// Rules for the services of `job` with exactly these checks and parts.
    #[must_use]
    pub fn fitted<'a>(
        job: &Job,
        checks: impl IntoIterator<Item = &'a CheckInfo>,
        parts: &[Part],
    ) -> Self {
        Self::fitted_with(job, checks, parts, &Links::default())
    }

    /// The same, with links that lead elsewhere.
    #[must_use]
    pub fn fitted_with<'a>(
        job: &Job,
        checks: impl IntoIterator<Item = &'a CheckInfo>,
        parts: &[Part],
        links: &Links,
    ) -> Self {
        let every = Scope::every(job, links);
        let checks: Vec<&CheckInfo> = checks.into_iter().collect();
        let with_objective: Vec<&str> =
            checks.iter().filter(|c| c.objective.is_some()).map(|c| &*c.name).collect();
        let mut groups = match with_objective.as_slice() {
            [] => Vec::new(),
            // Names of checks hold nothing that a regular expression would take for more.
            names => budget::recording(&every, &format!("check=~\"{}\"", names.join("|"))),
        };
        groups.push(service(&every, parts));
        for check in checks {
            let alerts = check_alerts(&Scope::of(job, links, check));
            groups.push(group(&format!("vitalsign-check-{}", check.name), alerts));
        }
        let title = format!(
            "Prometheus rules for job `{job}`, fitted to one configuration, from:\n\
             vitalsign rules{}{}",
            option(job),
            links.options()
        );
        Self { title, groups }
    }

    /// Rules for the services of `job` that run `loaded` and have these parts.
    ///
    /// # Errors
    /// What [`Builder::build`](crate::Builder::build) would say of the checks.
    pub fn of_configuration(
        job: &Job,
        loaded: &Loaded,
        parts: &[Part],
        links: &Links,
    ) -> Result<Self, PlanError> {
        let declared = loaded.checks.iter().map(|c| (c.name.clone(), c.declared.clone()));
        let planned = plan(declared.collect(), &Defaults::default())?;
        Ok(Self::fitted_with(job, planned.iter().map(|check| &*check.info), parts, links))
    }

    /// Every alert, in order.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.groups.iter().flat_map(|group| &group.rules).filter_map(|rule| match rule {
            Rule::Alert(alert) => Some(alert),
            Rule::Recording(_) => None,
        })
    }
}

/// The option that names the job, where it is needed.
fn option(job: &Job) -> String {
    if *job == Job::default() { String::new() } else { format!(" --job \"{job}\"") }
}

fn group(name: &str, alerts: Vec<Alert>) -> Group {
    let rules = alerts.into_iter().map(Rule::Alert).collect();
    Group { name: name.to_owned(), interval: None, rules }
}

/// The alerts on instances and what they consist of.
fn service(scope: &Scope<'_>, parts: &[Part]) -> Group {
    let always = [
        alert(scope, &catalogue::TARGET_DOWN, expr::target_down(scope)),
        alert(scope, &catalogue::SERVICE_ABSENT, expr::service_absent(scope)),
        alert(scope, &catalogue::NOT_READY, expr::not_ready(scope)),
        alert(scope, &catalogue::EXECUTOR_STALLED, expr::executor_stalled(scope)),
    ];
    let mut alerts = Vec::from(always);
    for part in Part::ALL.iter().filter(|part| parts.contains(part)) {
        match part {
            Part::Configuration => alerts.push(alert(
                scope,
                &catalogue::CONFIG_RELOAD_FAILED,
                expr::config_reload_failed(scope),
            )),
            Part::History => alerts.extend([
                alert(scope, &catalogue::HISTORY_STORE_DOWN, expr::history_store_down(scope)),
                alert(scope, &catalogue::HISTORY_DROPPING, expr::history_dropping(scope)),
            ]),
            Part::Process => alerts.push(alert(
                scope,
                &catalogue::FILE_DESCRIPTORS,
                expr::file_descriptors(scope),
            )),
            Part::Traces => {
                alerts.push(alert(scope, &catalogue::TRACES_DROPPED, expr::traces_dropped(scope)));
            }
        }
    }
    group("vitalsign-service", alerts)
}

/// The alerts on the checks of `scope`: all of them, or those that its check can raise.
fn check_alerts(scope: &Scope<'_>) -> Vec<Alert> {
    let gates =
        scope.check.map(|c| c.gates.contains(Gate::Ready) || c.gates.contains(Gate::Health));
    let objective = scope.check.is_none_or(|c| c.objective.is_some());
    let certificate = scope.check.is_none_or(shows_certificates);
    // A longer half timeout lies beyond the last bucket, where no quantile can be computed.
    // What a heartbeat shows is the duration of a job.
    let slow = scope.check.is_none_or(|c| c.timeout / 2 < LAST_BUCKET && c.kind != "heartbeat");
    let skipped = AlertKind {
        pending: expr::skipped_window(scope) + Duration::from_mins(5),
        ..catalogue::CHECK_SKIPPED
    };
    [
        (gates != Some(false), catalogue::GATING_CHECK_DOWN, expr::gating_check_down(scope)),
        (gates != Some(true), catalogue::CHECK_DOWN, expr::check_down(scope)),
        (true, catalogue::DOWN_EVERYWHERE, expr::down_everywhere(scope)),
        (true, catalogue::CHECK_STALE, expr::check_stale(scope)),
        (true, catalogue::CHECK_FLAPPING, expr::check_flapping(scope)),
        (slow, catalogue::CHECK_SLOW, expr::check_slow(scope)),
        (true, skipped, expr::check_skipped(scope)),
        (objective, catalogue::BURN_FAST, budget::fast(scope)),
        (objective, catalogue::BURN_SLOW, budget::slow(scope)),
        (certificate, catalogue::CERTIFICATE_SOON, expr::certificate_soon(scope)),
        (certificate, catalogue::CERTIFICATE_VERY_SOON, expr::certificate_very_soon(scope)),
    ]
    .into_iter()
    .filter(|(applies, ..)| *applies)
    .map(|(_, kind, expr)| alert(scope, &kind, expr))
    .collect()
}

/// The upper bound of the last bucket of durations but the infinite one.
const LAST_BUCKET: Duration = Duration::from_secs(30);

/// Whether a check is of a kind that may use TLS and measures how long certificates last.
fn shows_certificates(check: &CheckInfo) -> bool {
    const NAME: &str = "tls_certificate_not_after_timestamp_seconds";
    let kind = crate::checks::KINDS.iter().find(|kind| kind.name == check.kind);
    kind.is_some_and(|kind| kind.measurements.iter().any(|m| m.name == NAME))
}

fn alert(scope: &Scope<'_>, kind: &AlertKind, expr: String) -> Alert {
    let texts = [
        ("summary", kind.summary.to_owned()),
        ("description", reason::description(scope, kind)),
        ("runbook_url", format!("{RUNBOOKS}/{}.md", kind.name)),
    ];
    let annotations = texts.into_iter().chain(scope.links.annotations(kind));
    let annotations = annotations.map(|(name, text)| (name.to_owned(), text));
    Alert {
        alert: kind.name,
        expr,
        pending: kind.pending,
        labels: labels(scope.check, kind.severity),
        annotations: annotations.collect(),
    }
}

/// The severity, and what is known of the check.
fn labels(check: Option<&CheckInfo>, severity: Severity) -> BTreeMap<String, String> {
    /// Labels that say which alert this is and what it is about.
    const TAKEN: [&str; 4] = ["alertname", "instance", "job", "severity"];
    let mut labels = BTreeMap::new();
    if let Some(check) = check {
        for (name, value) in &check.labels {
            let taken = TAKEN.contains(&name.as_str());
            // As Prometheus renames a target's label that it wants for itself.
            let name = if taken { format!("exported_{name}") } else { name.clone() };
            labels.insert(name, literal(value));
        }
        labels.insert("check".to_owned(), check.name.to_string());
    }
    labels.insert("severity".to_owned(), severity.as_str().to_owned());
    labels
}

/// A text that a template shows as it is.
fn literal(text: &str) -> String {
    text.replace("{{", "{{ `{{` }}")
}
