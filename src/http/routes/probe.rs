//! The probe routes: `/health`, `/ready`, `/startup`, their aliases, one check alone, and a group
//! of checks. The answers, also with `?exclude`, come from `engine/state/view.rs`.
//!
//! They read the last known state and never run a check. The plain answer is rendered once per
//! change of the state and served as it is until the next; `?verbose`, `?exclude` and health+json
//! are rendered per request.

mod cache;
mod group;

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::health_json;
use crate::engine::state::{self, Answer, CheckView};
use crate::http::accept;
use crate::http::openapi::{DocumentedRouter, JsonSchema, Operation, Parameter, Token};
use crate::http::problem::Problem;
use crate::http::routes::Routes;
use crate::model::{Gate, ServiceStatus, Status};

pub(crate) use cache::Cache;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where each probe is asked.
const PATHS: [(&str, Gate); 7] = [
    ("/ready", Gate::Ready),
    ("/health", Gate::Health),
    ("/startup", Gate::Startup),
    ("/readyz", Gate::Ready),
    ("/healthz", Gate::Health),
    ("/livez", Gate::Health),
    ("/startupz", Gate::Startup),
];

/// The probe that is asked at `path`, with its route.
pub(crate) fn at(path: &str) -> Option<(&'static str, Gate)> {
    PATHS.into_iter().find(|(known, _)| *known == path)
}

/// The probe routes.
pub(in crate::http) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    let mut probes = DocumentedRouter::new();
    for (path, gate) in PATHS {
        let answer = move |State(routes): State<Arc<Routes>>, request: Request| async move {
            probe(&routes, gate, &request)
        };
        let head = move |state, request| async move { head(answer(state, request).await) };
        probes = probes.route(path, get(answer).options(head), describe(gate));
    }
    let head_of_one = |state, name, headers, request| async move {
        head(single(state, name, headers, request).await)
    };
    for path in ["/health/{check}", "/ready/{check}"] {
        probes = probes.route(path, get(single).options(head_of_one), describe_single());
    }
    probes.merge(group::router()).with_state(Arc::clone(routes))
}

/// The answer to OPTIONS, which some balancers use: status and headers only, as for HEAD.
fn head(answer: Response) -> Response {
    let mut answer = answer.map(|_| Body::empty());
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD,OPTIONS"));
    answer
}

fn describe(gate: Gate) -> Operation {
    let (summary, about) = match gate {
        Gate::Health => (
            "Liveness",
            "200 while the process makes progress. No dependency affects it unless a check gates it.",
        ),
        Gate::Ready => {
            ("Readiness", "200 while every check that gates it is up or degraded, until the drain.")
        }
        Gate::Startup => (
            "Startup",
            "200 for good once every check that gates readiness has had its first run, and each \
             that gates startup is up or degraded.",
        ),
    };
    let exclude = "Checks to leave out, as if they did not exist.";
    forms::<state::Body<'_>>(Operation::get(summary).about(about))
        .takes(&[VERBOSE, Parameter::query::<Vec<String>>("exclude", exclude)])
}

fn describe_single() -> Operation {
    let about = "200 while it is up or degraded, else 503, whatever it gates.";
    forms::<Single>(Operation::get("One check alone").about(about))
        .takes(&[Parameter::CHECK, VERBOSE])
        .problem(404, "There is no check of this name.")
}

const VERBOSE: Parameter = Parameter::query::<String>(
    "verbose",
    "Asks for a line a check as text; it needs no value, and `false` or `0` undoes it.",
);

/// The forms in which a probe answers: `T`, or what is asked for instead of it.
fn forms<T: JsonSchema>(operation: Operation) -> Operation {
    let codes = [(200, "It is up or degraded."), (503, "It is neither up nor degraded.")];
    codes.into_iter().fold(operation.token(Token::Details), |operation, (code, about)| {
        operation
            .answers::<T>(code, about)
            .answers_with::<health_json::Document<'_>>(code, about, accept::HEALTH_JSON)
            .answers_with::<String>(code, about, "text/plain")
    })
}

/// The answer for one check alone.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "ProbeOfOne"))]
struct Single {
    /// Its status.
    status: Status,
}

fn probe(routes: &Routes, gate: Gate, request: &Request) -> Response {
    let query = Query::of(request.uri());
    if query.is_plain() && !accept::wants_health_json(request.headers()) {
        return plain(routes, gate);
    }
    let answer = routes.state.answer(gate, &query.exclude);
    form(routes, gate, &answer, &query, request)
}

/// The answer in the form that is asked for.
fn form(
    routes: &Routes,
    gate: Gate,
    answer: &Answer,
    query: &Query,
    request: &Request,
) -> Response {
    let headers = request.headers();
    let details = || routes.guard.shows_causes(headers, request.extensions());
    let code = code_of(answer.status);
    if query.verbose {
        return (code, typed(TEXT), verbose(routes, gate, answer, query, details()))
            .into_response();
    }
    if accept::wants_health_json(headers) {
        let body = health_json::render(routes.state.service(), answer, details());
        return (code, typed(accept::HEALTH_JSON), body).into_response();
    }
    (code, typed(JSON), answer.to_json()).into_response()
}

/// The answer without parameters: rendered again only when the state has changed.
pub(crate) fn plain(routes: &Routes, gate: Gate) -> Response {
    let current = routes.cache.of_gate(gate, routes.state.changes(), || {
        let answer = routes.state.probe(gate);
        (code_of(answer.status), answer.to_json().into())
    });
    (current.code, typed(JSON), current.body.clone()).into_response()
}

/// One check alone, whatever it gates.
async fn single(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    // A name that is not UTF-8 belongs to no check.
    let Some(check) = name.ok().and_then(|Path(name)| routes.state.check(&name)) else {
        return Problem::no_such_check().into_response();
    };
    // Alone it stands for itself, whatever window it is in.
    let check = CheckView { maintenance: false, ..check };
    let status = match check.status {
        Status::Up => ServiceStatus::Up,
        Status::Degraded => ServiceStatus::Degraded,
        Status::Down | Status::Unknown => ServiceStatus::Down,
    };
    let code = code_of(status);
    let query = Query::of(request.uri());
    let details = || routes.guard.shows_causes(&headers, request.extensions());
    if query.verbose {
        let mut text = String::new();
        line(&mut text, &check, details());
        let outcome = if status.is_ok() { "passed" } else { "failed" };
        let _ = writeln!(text, "{} check {outcome}", check.info.name);
        return (code, typed(TEXT), text).into_response();
    }
    if accept::wants_health_json(&headers) {
        let answer = Answer { status, checks: vec![check] };
        let body = health_json::render(routes.state.service(), &answer, details());
        return (code, typed(accept::HEALTH_JSON), body).into_response();
    }
    (code, typed(JSON), written(&Single { status: check.status })).into_response()
}

fn code_of(status: ServiceStatus) -> StatusCode {
    if status.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn typed(content_type: &'static str) -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, content_type)]
}

/// A status alone: it can always be written.
fn written(answer: &Single) -> String {
    serde_json::to_string(answer).unwrap_or_default()
}

fn verbose(routes: &Routes, gate: Gate, answer: &Answer, query: &Query, details: bool) -> String {
    let mut text = String::new();
    for check in &answer.checks {
        line(&mut text, check, details);
    }
    let unknown = query.exclude.iter().filter(|name| !routes.state.knows(name)).count();
    if unknown > 0 {
        let _ = writeln!(text, "warn: {unknown} of the excluded names belong to no check");
    }
    if answer.status == ServiceStatus::Draining {
        text.push_str("draining: the service is stopping\n");
    }
    let outcome = if answer.status.is_ok() { "passed" } else { "failed" };
    let _ = writeln!(text, "{gate} check {outcome}");
    text
}

fn line(text: &mut String, check: &CheckView, details: bool) {
    let cause = if details { cause(check) } else { "reason withheld" };
    let _ = writeln!(text, "{}", verbose_line(check, cause));
}

fn verbose_line(check: &CheckView, cause: &str) -> String {
    let name = &check.info.name;
    match check.status {
        Status::Up => format!("[+]{name} ok"),
        Status::Degraded => format!("[~]{name} degraded: {cause}"),
        Status::Down if check.maintenance => {
            format!("[~]{name} degraded: in maintenance, failed: {cause}")
        }
        Status::Unknown if check.maintenance => {
            format!("[~]{name} degraded: in maintenance, unknown")
        }
        Status::Down => format!("[-]{name} failed: {cause}"),
        Status::Unknown => format!("[?]{name} unknown"),
    }
}

impl CheckView {
    /// The check's line in a probe's verbose text, with its cause: `[-]cache failed: timeout`. In
    /// maintenance it counts as degraded at worst: `[~]cache degraded: in maintenance, failed: …`.
    #[must_use]
    pub fn verbose_line(&self) -> String {
        verbose_line(self, cause(self))
    }
}

/// Why a check is not up: the reason of its last run, or the caveat.
fn cause(check: &CheckView) -> &str {
    let run = check.last_run.as_deref();
    match run.map(|r| (r.reason, r.message.as_deref())) {
        Some((Some(reason), _)) => reason.as_str(),
        Some((None, Some(caveat))) => caveat,
        // Its last run was good, but not as many in a row as its threshold asks.
        _ => "recovering",
    }
}

/// The query parameters of a probe.
#[derive(Debug, Default)]
struct Query {
    verbose: bool,
    exclude: Vec<String>,
}

impl Query {
    fn of(uri: &Uri) -> Self {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
            match &*key {
                "verbose" => query.verbose = !matches!(&*value, "false" | "0"),
                "exclude" => query.exclude.push(value.into_owned()),
                _ => {}
            }
        }
        query
    }

    fn is_plain(&self) -> bool {
        !self.verbose && self.exclude.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn excluded_names_come_back_as_they_were_written(names in prop::collection::vec(any::<String>(), 0..5)) {
            let mut query = form_urlencoded::Serializer::new("verbose".to_owned());
            query.extend_pairs(names.iter().map(|name| ("exclude", name)));
            let uri = format!("/ready?{}", query.finish()).parse().expect("a path with a query");
            let read = Query::of(&uri);
            prop_assert!(read.verbose);
            prop_assert_eq!(read.exclude, names);
        }
    }
}
