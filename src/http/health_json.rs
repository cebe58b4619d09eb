//! The IETF health-check response format, draft-inadarei-api-health-check-06.

use std::collections::BTreeMap;

use serde::Serialize;

use super::time;
use crate::model::{Reason, ServiceStatus, Status};
use crate::state::{Answer, CheckView, ServiceInfo};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    status: &'static str,
    release_id: &'a str,
    service_id: &'a str,
    description: String,
    checks: BTreeMap<String, [Check<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Check<'a> {
    component_id: &'a str,
    component_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// The document of a probe's answer; causes only with `details`.
pub(crate) fn render(service: &ServiceInfo, answer: &Answer, details: bool) -> String {
    let status = match answer.status {
        ServiceStatus::Up => "pass",
        ServiceStatus::Degraded => "warn",
        ServiceStatus::Starting | ServiceStatus::Draining | ServiceStatus::Down => "fail",
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
            Status::Up => "pass",
            Status::Unknown if run.is_none() => "warn",
            Status::Down | Status::Unknown if excused => "warn",
            Status::Degraded => "warn",
            Status::Down | Status::Unknown => "fail",
        },
        time: run.map(|r| time(r.at)),
        output,
    }
}
