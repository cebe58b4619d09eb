//! An alert: which status of a check gets one, its labels, and its texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use url::Url;

use crate::model::{CheckInfo, Gate, Reason, Status, Trace};

/// The folder of the runbooks.
const DOCUMENTS: &str = "https://github.com/vitalsign-rs/vitalsign/blob/main/docs/";

/// The name of an alert: those of the Prometheus rules, and one that these do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Name {
    GatingCheckDown,
    CheckDown,
    CheckDegraded,
    CheckStale,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::GatingCheckDown => "HealthGatingCheckDown",
            Self::CheckDown => "HealthCheckDown",
            Self::CheckDegraded => "HealthCheckDegraded",
            Self::CheckStale => "HealthCheckStale",
        }
    }

    fn runbook(self) -> String {
        match self {
            Self::CheckDegraded => format!("{DOCUMENTS}ALERTMANAGER.md#healthcheckdegraded"),
            _ => format!("{DOCUMENTS}runbooks/{}.md", self.as_str()),
        }
    }
}

/// The labels of an alert, which identify it; the service's name is the same on all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Labels {
    pub(super) name: Name,
    critical: bool,
    pub(super) check: Arc<str>,
    kind: &'static str,
    /// The check's own, but for those that an alert has anyway.
    own: BTreeMap<String, String>,
}

/// Labels that every alert has: the check's own ones do not replace them.
const RESERVED: [&str; 5] = ["alertname", "check", "kind", "service", "severity"];

impl Labels {
    /// The labels of the alert that the check `info` gets when it is `status`, if it gets one.
    pub(super) fn of(info: &CheckInfo, status: Status) -> Option<Self> {
        // A startup probe that was satisfied once stays so: it takes no traffic away.
        let gating = info.gates.contains(Gate::Ready) || info.gates.contains(Gate::Health);
        let (name, critical) = match status {
            Status::Up => return None,
            Status::Degraded => (Name::CheckDegraded, false),
            Status::Down if gating => (Name::GatingCheckDown, true),
            Status::Down => (Name::CheckDown, false),
            // Unknown fails the probes that it gates as much as down does.
            Status::Unknown => (Name::CheckStale, gating),
        };
        let own = info.labels.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
        let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Self { name, critical, check: Arc::clone(&info.name), kind: info.kind, own })
    }

    const fn severity(&self) -> &'static str {
        if self.critical { "critical" } else { "warning" }
    }
}

/// Why a check has its status, by the newest run that confirms it.
#[derive(Debug, Clone, Default)]
pub(super) struct Explanation {
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    /// The run's trace, if it is kept.
    pub(super) trace: Option<Trace>,
}

impl Explanation {
    /// Longest message that is passed on; a host's own errors may be of any length.
    const LONGEST: usize = 1024;

    pub(super) fn new(reason: Option<Reason>, message: Option<&str>, trace: Option<Trace>) -> Self {
        let message = message.map(|text| match text.char_indices().nth(Self::LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        });
        Self { reason, message, trace }
    }
}

/// What all alerts of a service have in common.
#[derive(Debug)]
pub(super) struct AlertTemplate {
    pub(super) service: String,
    pub(super) instance: Option<String>,
    /// Where the service's own pages are.
    pub(super) link: Option<Url>,
    /// URL of a trace, with `{trace_id}` in it.
    pub(super) trace_url: Option<String>,
}

/// An alert as Alertmanager's API takes it, `postableAlert` of its v2.
#[derive(Debug, Serialize)]
pub(super) struct Alert {
    labels: LabelSet,
    annotations: Annotations,
    #[serde(rename = "startsAt", skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    #[serde(rename = "endsAt", skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct LabelSet {
    alertname: &'static str,
    check: Arc<str>,
    kind: &'static str,
    severity: &'static str,
    service: String,
    #[serde(flatten)]
    own: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Annotations {
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    runbook_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_url: Option<String>,
}

impl AlertTemplate {
    /// The alert of these labels. One that ends with its check's recovery or removal has no
    /// `about`: what was wrong is over.
    pub(super) fn alert(
        &self,
        labels: &Labels,
        about: Option<(&CheckInfo, &Explanation)>,
        (starts_at, ends_at): (SystemTime, SystemTime),
    ) -> Alert {
        let trace = about.and_then(|(_, explanation)| explanation.trace);
        let trace_url = trace.zip(self.trace_url.as_ref());
        Alert {
            labels: LabelSet {
                alertname: labels.name.as_str(),
                check: Arc::clone(&labels.check),
                kind: labels.kind,
                severity: labels.severity(),
                service: self.service.clone(),
                own: labels.own.clone(),
            },
            annotations: Annotations {
                summary: self.summary(labels),
                description: about.map(|(info, why)| self.description(labels, info, why)),
                runbook_url: labels.name.runbook(),
                trace_url: trace_url.map(|(t, url)| url.replace("{trace_id}", &t.trace_id_hex())),
            },
            starts_at: time(starts_at),
            // Alertmanager refuses an end before the start, as a clock that was set back makes it.
            ends_at: time(ends_at.max(starts_at)),
            generator_url: self.link.as_ref().and_then(|link| page(link, &labels.check)),
        }
    }

    fn summary(&self, labels: &Labels) -> String {
        let what = match labels.name {
            Name::GatingCheckDown | Name::CheckDown => "is down",
            Name::CheckDegraded => "is degraded",
            Name::CheckStale => "is unknown",
        };
        format!("{}: check {} {what}", self.service, labels.check)
    }

    fn description(&self, labels: &Labels, info: &CheckInfo, explanation: &Explanation) -> String {
        let mut text = format!("The {} check {}", info.kind, info.name);
        // Writing to a string cannot fail.
        if let Some(about) = &info.description {
            let _ = write!(text, " ({about})");
        }
        text.push_str(match labels.name {
            Name::GatingCheckDown | Name::CheckDown => " fails",
            Name::CheckDegraded => " answers with a caveat",
            Name::CheckStale => " has no result",
        });
        let reason = explanation.reason.map(Reason::as_str);
        for part in reason.into_iter().chain(explanation.message.as_deref()) {
            let _ = write!(text, ": {part}");
        }
        text.push('.');
        if labels.critical {
            let gates: Vec<&str> = info.gates.iter().map(Gate::as_str).collect();
            let _ = write!(text, " It gates {}.", gates.join(", "));
        }
        if let Some(instance) = &self.instance {
            let _ = write!(text, " Seen by {instance}.");
        }
        text
    }
}

/// The service's own page of a check.
fn page(link: &Url, check: &str) -> Option<String> {
    let mut page = link.clone();
    page.path_segments_mut().ok()?.pop_if_empty().extend(["status", check]);
    Some(page.into())
}

/// A moment as RFC 3339 in UTC; `None` when the calendar does not reach it.
fn time(at: SystemTime) -> Option<String> {
    jiff::Timestamp::try_from(at).ok().map(|at| format!("{at:.3}"))
}
