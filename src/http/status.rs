//! The structured status: `/status` and `/status/{check}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::problem::Problem;
use super::{Routes, refused, time};
use crate::model::{Gate, Outcome, Reason, Run, ServiceStatus, Status};
use crate::state::{CheckView, Snapshot};

/// The status routes.
pub(crate) fn router(routes: &Arc<Routes>) -> Router {
    Router::new()
        .route("/status", get(all))
        .route("/status/{check}", get(one))
        .with_state(Arc::clone(routes))
}

async fn all(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => json(document(&routes.state.snapshot(), details)),
        Err(why) => refused(why),
    }
}

async fn one(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let details = match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    // A name that is not UTF-8 is no check's.
    match name.ok().and_then(|Path(name)| routes.state.check(&name)) {
        Some(view) => json(Check::of(&view, details)),
        None => Problem::no_such_check().into_response(),
    }
}

fn json(document: impl Serialize) -> Response {
    match serde_json::to_string(&document) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

/// The structured status document. Keys that only some may see are absent for the others.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    status: ServiceStatus,
    live: bool,
    ready: bool,
    started: bool,
    since: String,
    service: Service<'a>,
    checks: BTreeMap<&'a str, Check<'a>>,
}

#[derive(Debug, Serialize)]
struct Service<'a> {
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    environment: Option<&'a str>,
    started_at: String,
    uptime_seconds: u64,
}

/// One check of the document.
#[derive(Debug, Serialize)]
pub(crate) struct Check<'a> {
    kind: &'a str,
    description: Option<&'a str>,
    status: Status,
    since: String,
    gates: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    depends_on: &'a [Arc<str>],
    suppressed_by: Option<&'a str>,
    maintenance: bool,
    interval_seconds: Number,
    timeout_seconds: Number,
    last_run: Option<LastRun<'a>>,
    last_success_at: Option<String>,
    consecutive_failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    measurements: Option<BTreeMap<&'static str, f64>>,
    availability: Availability,
    objective: Option<f64>,
    error_budget_remaining: Option<f64>,
}

#[derive(Debug, Serialize)]
struct LastRun<'a> {
    at: String,
    duration_seconds: f64,
    outcome: Outcome,
    #[serde(flatten)]
    cause: Option<Cause<'a>>,
    phases: BTreeMap<&'static str, f64>,
}

/// What only those with the right to details see of a run; each key may be null.
#[derive(Debug, Serialize)]
struct Cause<'a> {
    reason: Option<Reason>,
    message: Option<&'a str>,
    trace_id: Option<String>,
    /// Only where it is known where traces can be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_url: Option<String>,
}

/// Shares of good runs; null where nothing was recorded, as without a history.
#[derive(Debug, Default, Serialize)]
struct Availability {
    #[serde(rename = "1h")]
    hour: Option<f64>,
    #[serde(rename = "24h")]
    day: Option<f64>,
    #[serde(rename = "7d")]
    week: Option<f64>,
    #[serde(rename = "30d")]
    month: Option<f64>,
}

/// Seconds, written without a fraction where there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Fraction(f64),
}

impl From<Duration> for Number {
    fn from(duration: Duration) -> Self {
        if duration.subsec_nanos() == 0 {
            Self::Whole(duration.as_secs())
        } else {
            Self::Fraction(duration.as_secs_f64())
        }
    }
}

/// The document of a snapshot.
pub(crate) fn document(snapshot: &Snapshot, details: bool) -> Document<'_> {
    let service = &snapshot.service;
    Document {
        status: snapshot.status,
        live: snapshot.live,
        ready: snapshot.ready,
        started: snapshot.started,
        since: time(snapshot.since),
        service: Service {
            name: &service.name,
            version: &service.version,
            instance: details.then_some(&service.instance),
            environment: service.environment.as_deref(),
            started_at: time(snapshot.started_at),
            uptime_seconds: snapshot.uptime.as_secs(),
        },
        checks: snapshot.checks.iter().map(|c| (&*c.info.name, Check::of(c, details))).collect(),
    }
}

impl Snapshot {
    /// The structured status document as JSON, with details, as `/status` shows it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&document(self, true)).unwrap_or_default()
    }
}

impl<'a> Check<'a> {
    pub(crate) fn of(view: &'a CheckView, details: bool) -> Self {
        let info = &*view.info;
        let run = view.last_run.as_deref();
        let measurements = || {
            let measured = run.map(|r| r.measurements.as_slice()).unwrap_or_default();
            measured.iter().map(|(m, value)| (m.name, *value)).collect()
        };
        Self {
            kind: info.kind,
            description: info.description.as_deref(),
            status: view.status,
            since: time(view.since),
            gates: info.gates.iter().map(Gate::as_str).collect(),
            labels: details.then_some(&info.labels),
            depends_on: &info.depends_on,
            suppressed_by: view.suppressed_by.as_deref(),
            maintenance: view.maintenance,
            interval_seconds: info.interval.into(),
            timeout_seconds: info.timeout.into(),
            last_run: run.map(|r| LastRun::of(r, view, details)),
            last_success_at: view.last_success_at.map(time),
            consecutive_failures: view.consecutive_failures,
            measurements: details.then(measurements),
            availability: Availability::default(),
            objective: info.objective_ratio(),
            error_budget_remaining: None,
        }
    }
}

impl<'a> LastRun<'a> {
    fn of(run: &'a Run, view: &CheckView, details: bool) -> Self {
        let phases = run.phases.iter().map(|(p, took)| (p.as_str(), took.as_secs_f64()));
        Self {
            at: time(run.at),
            duration_seconds: run.duration.as_secs_f64(),
            outcome: run.outcome,
            cause: details.then(|| Cause {
                reason: run.reason,
                message: run.message.as_deref(),
                trace_id: run.trace.map(|t| t.trace_id_hex()),
                trace_url: view.trace_url.clone(),
            }),
            phases: phases.collect(),
        }
    }
}
