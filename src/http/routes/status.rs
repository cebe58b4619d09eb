//! The structured status: `/status` and `/status/{check}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::state::{CheckView, Snapshot};
use crate::health::RefusedReload;
use crate::history::History;
#[cfg(feature = "history")]
use crate::history::{self, Share};
use crate::http::openapi::{DocumentedRouter, Operation, Parameter, Token};
use crate::http::problem::Problem;
use crate::http::reply::{Time, json, refused};
use crate::http::routes::Routes;
use crate::model::{Gate, Outcome, Phase, Reason, Run, ServiceStatus, Status};

/// The status routes.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    let every = Operation::get("The structured status of the service and its checks")
        .about("200 whatever the status is: the probes are for codes.")
        .token(Token::Details)
        .answers::<Document<'_>>(200, "The status.")
        .problem(401, "The token is wrong.")
        .problem(429, "Many wrong tokens came from there.");
    let single = Operation::get("The structured status of one check")
        .about("200 whatever its status is: `/ready/{check}` is for codes.")
        .takes(&[Parameter::CHECK])
        .token(Token::Details)
        .answers::<Check<'_>>(200, "The check, as it stands in `/status`.")
        .problem(401, "The token is wrong.")
        .problem(404, "There is no check of this name.")
        .problem(429, "Many wrong tokens came from there.");
    DocumentedRouter::new()
        .route("/status", get(all), every)
        .route("/status/{check}", get(one), single)
        .with_state(Arc::clone(routes))
}

async fn all(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => {
            let (snapshot, refused) = (routes.state.snapshot(), routes.health.refused_reload());
            let mut document = document(&snapshot, routes.health.history(), details);
            document.refused_reload = refused.as_deref().filter(|_| details).map(Into::into);
            json(document)
        }
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
    // A name that is not UTF-8 belongs to no check.
    match name.ok().and_then(|Path(name)| routes.state.check(&name)) {
        Some(view) => json(Check::of(&view, routes.health.history(), details)),
        None => Problem::no_such_check().into_response(),
    }
}

/// What is observed, how it is, and how each of its checks is.
///
/// Keys that only those with the right to details see are absent for the others.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "StatusDocument"))]
pub(crate) struct Document<'a> {
    /// What all checks add up to.
    status: ServiceStatus,
    /// Whether `/health` answers 200.
    live: bool,
    /// Whether `/ready` answers 200.
    ready: bool,
    /// Whether `/startup` answers 200.
    started: bool,
    /// Since when the service has its status.
    since: Time,
    service: Service<'a>,
    /// Every check by its name.
    checks: BTreeMap<&'a str, Check<'a>>,
    /// Every group of checks by its name; absent where there is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<&'a str, Group<'a>>,
    /// The newest configuration if it was refused, and absent otherwise; the one before stays in
    /// force. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Refused<'_>"))]
    refused_reload: Option<Refused<'a>>,
}

/// A group of checks, and how it is.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "GroupStatus"))]
struct Group<'a> {
    /// What its checks add up to, as `/ready/group/{group}` says.
    status: ServiceStatus,
    /// The names of its checks, sorted.
    checks: &'a [Arc<str>],
}

/// A configuration that was refused at a reload.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "RefusedReload"))]
struct Refused<'a> {
    /// When it was refused.
    at: Time,
    /// What is wrong with it, as `vitalsign validate` says it.
    errors: &'a [String],
}

impl<'a> From<&'a RefusedReload> for Refused<'a> {
    fn from(refused: &'a RefusedReload) -> Self {
        Self { at: Time(refused.at), errors: &refused.errors }
    }
}

/// What is observed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
struct Service<'a> {
    /// Its name.
    name: &'a str,
    /// Its version.
    version: &'a str,
    /// Which of its instances answers. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "&str"))]
    instance: Option<&'a str>,
    /// Where it runs, such as `production`.
    environment: Option<&'a str>,
    /// When this process started.
    started_at: Time,
    /// How long ago that is.
    uptime_seconds: u64,
}

/// One check, and how it is.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "CheckStatus"))]
pub(crate) struct Check<'a> {
    /// Name of its kind, such as `postgres`.
    kind: &'a str,
    /// For people.
    description: Option<&'a str>,
    /// What its outcomes add up to.
    status: Status,
    /// Since when it has that status.
    since: Time,
    /// The probes that its being down turns to 503.
    gates: Vec<Gate>,
    /// Labels of `health_check_info`. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<String, String>"))]
    labels: Option<&'a BTreeMap<String, String>>,
    /// The groups that it belongs to, sorted by name; absent where it belongs to none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Arc<str>],
    /// Checks whose being down suppresses its alerts.
    depends_on: &'a [Arc<str>],
    /// The first of them that is down.
    suppressed_by: Option<&'a str>,
    /// Whether it is in a maintenance window.
    maintenance: bool,
    /// Time from one due run to the next.
    #[cfg_attr(feature = "openapi", schemars(with = "f64"))]
    interval_seconds: Number,
    /// Longest that one run may take.
    #[cfg_attr(feature = "openapi", schemars(with = "f64"))]
    timeout_seconds: Number,
    /// Its last run, of whatever outcome; null before the first.
    last_run: Option<LastRun<'a>>,
    /// End of its last good run.
    last_success_at: Option<Time>,
    /// Failed runs since its last good one.
    consecutive_failures: u32,
    /// Figures of its kind's own, in the units of their names. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<String, f64>"))]
    measurements: Option<BTreeMap<&'static str, f64>>,
    availability: Availability,
    /// Share of good runs wanted over 30 days, as a ratio: 0.999 where the configuration says 99.9,
    /// which is a percentage.
    objective: Option<f64>,
    /// `1 - (1 - availability over 30 days) / (1 - objective)`: 1 is untouched, 0 is spent, below is
    /// overspent; null without either.
    error_budget_remaining: Option<f64>,
}

/// One finished execution of a check.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
struct LastRun<'a> {
    /// When it started.
    at: Time,
    /// From start to answer, connection included.
    duration_seconds: f64,
    /// What came of it.
    outcome: Outcome,
    #[serde(flatten)]
    cause: Option<RunCause<'a>>,
    /// How long each phase took that it passed.
    phases: BTreeMap<Phase, f64>,
}

/// What only those with the right to details see of a run; each key may be null.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
struct RunCause<'a> {
    /// Why it failed. A detail.
    reason: Option<Reason>,
    /// The cause or the caveat, for people. A detail.
    message: Option<&'a str>,
    /// Its trace, 32 hexadecimal digits. A detail.
    trace_id: Option<String>,
    /// Where its trace can be looked at, if that is configured and the trace is kept. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    trace_url: Option<String>,
}

/// Shares of good runs among the good and the failed ones, those in maintenance left out; null
/// where nothing was recorded, as without a history.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
struct Availability {
    /// Over the last hour.
    #[serde(rename = "1h")]
    hour: Option<f64>,
    /// Over the last 24 hours.
    #[serde(rename = "24h")]
    day: Option<f64>,
    /// Over the last 7 days.
    #[serde(rename = "7d")]
    week: Option<f64>,
    /// Over the last 30 days.
    #[serde(rename = "30d")]
    month: Option<f64>,
}

#[cfg(feature = "history")]
impl From<history::Availability> for Availability {
    fn from(shares: history::Availability) -> Self {
        let [hour, day, week, month] =
            [shares.hour, shares.day, shares.week, shares.month].map(Share::ratio);
        Self { hour, day, week, month }
    }
}

/// Share of the failed runs that the objective allows for which is left.
fn error_budget_remaining(availability: Option<f64>, objective: Option<f64>) -> Option<f64> {
    Some(1.0 - (1.0 - availability?) / (1.0 - objective?))
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

/// The document of a snapshot; shares of good runs come from the history, where one is kept.
pub(crate) fn document<'a>(
    snapshot: &'a Snapshot,
    history: Option<&History>,
    details: bool,
) -> Document<'a> {
    let service = &snapshot.service;
    Document {
        status: snapshot.status,
        live: snapshot.live,
        ready: snapshot.ready,
        started: snapshot.started,
        since: Time(snapshot.since),
        service: Service {
            name: &service.name,
            version: &service.version,
            instance: details.then_some(&service.instance),
            environment: service.environment.as_deref(),
            started_at: Time(snapshot.started_at),
            uptime_seconds: snapshot.uptime.as_secs(),
        },
        checks: snapshot
            .checks
            .iter()
            .map(|c| (&*c.info.name, Check::of(c, history, details)))
            .collect(),
        groups: snapshot
            .groups
            .iter()
            .map(|group| (&*group.name, Group { status: group.status, checks: &group.checks }))
            .collect(),
        refused_reload: None,
    }
}

impl Snapshot {
    /// The structured status document as JSON, with details, as `/status` shows it without a
    /// history.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&document(self, None, true)).unwrap_or_default()
    }
}

impl<'a> Check<'a> {
    pub(crate) fn of(view: &'a CheckView, history: Option<&History>, details: bool) -> Self {
        let info = &*view.info;
        let run = view.last_run.as_deref();
        let measurements = || {
            let measured = run.map(|r| r.measurements.as_slice()).unwrap_or_default();
            measured.iter().map(|(m, value)| (m.name, *value)).collect()
        };
        #[cfg(feature = "history")]
        let availability: Availability =
            history.map(|history| history.availability(&info.name).into()).unwrap_or_default();
        #[cfg(not(feature = "history"))]
        let availability = history.map_or_else(Availability::default, |history| match *history {});
        let objective = info.objective_ratio();
        Self {
            kind: info.kind,
            description: info.description.as_deref(),
            status: view.status,
            since: Time(view.since),
            gates: info.gates.iter().collect(),
            labels: details.then_some(&info.labels),
            groups: &info.groups,
            depends_on: &info.depends_on,
            suppressed_by: view.suppressed_by.as_deref(),
            maintenance: view.maintenance,
            interval_seconds: info.interval.into(),
            timeout_seconds: info.timeout.into(),
            last_run: run.map(|r| LastRun::of(r, view, details)),
            last_success_at: view.last_success_at.map(Time),
            consecutive_failures: view.consecutive_failures,
            measurements: details.then(measurements),
            error_budget_remaining: error_budget_remaining(availability.month, objective),
            availability,
            objective,
        }
    }
}

impl<'a> LastRun<'a> {
    fn of(run: &'a Run, view: &CheckView, details: bool) -> Self {
        let phases = run.phases.iter().map(|(p, took)| (*p, took.as_secs_f64()));
        Self {
            at: Time(run.at),
            duration_seconds: run.duration.as_secs_f64(),
            outcome: run.outcome,
            cause: details.then(|| RunCause {
                reason: run.reason,
                message: run.message.as_deref(),
                trace_id: run.trace.map(|t| t.trace_id_hex()),
                trace_url: view.trace_url.clone(),
            }),
            phases: phases.collect(),
        }
    }
}
