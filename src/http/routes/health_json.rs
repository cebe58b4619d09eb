//! The IETF health-check response format, draft-inadarei-api-health-check-06.

use std::collections::BTreeMap;

#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::state::{Answer, CheckView, ServiceInfo};
use crate::http::reply::Time;
use crate::model::{Reason, ServiceStatus, Status};

/// A probe's answer in the form of draft-inadarei-api-health-check-06.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", schemars(rename = "HealthJson"))]
pub(super) struct Document<'a> {
    status: Verdict,
    /// Version of what is observed.
    release_id: &'a str,
    /// Name of what is observed.
    service_id: &'a str,
    /// For people.
    description: String,
    /// The checks, each by its name and what is measured of it.
    checks: BTreeMap<String, [Check<'a>; 1]>,
}

/// One check in the form of the draft.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", schemars(rename = "HealthJsonCheck"))]
struct Check<'a> {
    /// Name of the check.
    component_id: &'a str,
    /// `datastore`, `system` or `component`, by its kind.
    component_type: &'static str,
    /// Duration of its last run, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "f64"))]
    observed_value: Option<f64>,
    /// `s`: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "&str"))]
    observed_unit: Option<&'static str>,
    status: Verdict,
    /// When its last run started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Time"))]
    time: Option<Time>,
    /// Why it is not well. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    output: Option<String>,
}

/// A status in the words of the draft.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", schemars(rename = "HealthJsonStatus"))]
enum Verdict {
    /// It is up.
    Pass,
    /// It is degraded, or has not been asked yet.
    Warn,
    /// It is neither.
    Fail,
}

/// The document of a probe's answer; causes only with `details`.
pub(crate) fn render(service: &ServiceInfo, answer: &Answer, details: bool) -> String {
    let status = match answer.status {
        ServiceStatus::Up => Verdict::Pass,
        ServiceStatus::Degraded => Verdict::Warn,
        ServiceStatus::Starting | ServiceStatus::Draining | ServiceStatus::Down => Verdict::Fail,
    };
    let checks = answer.checks.iter().map(|c| {
        // The draft names a key by component and measurement.
        (format!("{}:responseTime", c.info.name), [check(c, details)])
    });
    let document = Document {
        status,
        release_id: &service.version,
        service_id: &service.name,
        description: format!("health of {}: {}", service.name, answer.status),
        checks: checks.collect(),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

fn check(view: &CheckView, details: bool) -> Check<'_> {
    let run = view.last_run.as_deref();
    let cause = run.filter(|_| details).and_then(|r| {
        let reason = r.reason.map(Reason::as_str);
        match (reason, r.message.as_deref()) {
            (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
            (one, other) => one.or(other).map(str::to_owned),
        }
    });
    // The probe counts it as degraded at worst, and says why though causes are withheld.
    let excused = view.maintenance && matches!(view.status, Status::Down | Status::Unknown);
    let output = match cause {
        Some(cause) if excused => Some(format!("in maintenance: {cause}")),
        None if excused => Some("in maintenance".to_owned()),
        cause => cause,
    };
    Check {
        component_id: &view.info.name,
        component_type: match view.info.kind {
            "postgres" | "mysql" | "sqlite" | "redis" | "memcached" | "mongodb" => "datastore",
            "disk" | "memory" | "file" => "system",
            _ => "component",
        },
        observed_value: run.map(|r| r.duration.as_secs_f64()),
        observed_unit: run.map(|_| "s"),
        status: match view.status {
            Status::Up => Verdict::Pass,
            Status::Unknown if run.is_none() => Verdict::Warn,
            Status::Down | Status::Unknown if excused => Verdict::Warn,
            Status::Degraded => Verdict::Warn,
            Status::Down | Status::Unknown => Verdict::Fail,
        },
        time: run.map(|r| Time(r.at)),
        output,
    }
}
