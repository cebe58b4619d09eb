//! `/heartbeat/{check}`: how a check of the kind `heartbeat` hears from the job that it watches.
//!
//! An answer is given once the history has the heartbeat, or a second later: what was answered
//! survives a kill.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::{StatusCode, header};

use super::heartbeat_report::{Asked, signal};
use crate::engine::check::Signal;
use crate::http::openapi::{DocumentedRouter, Operation, Parameter, Token};
use crate::http::problem::Problem;
use crate::http::reply::refused;
use crate::http::routes::Routes;
use crate::http::server_context::BodyLimit;

/// Most of a body that is kept; the rest is read and thrown away.
const KEPT: usize = 10 * 1024;

/// Parameter of the query that holds the token, for clients that cannot set a header.
const TOKEN: &str = "token";

/// The routes of heartbeats.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    let about = "The first 10 KiB of the body are kept as message. The token may also come as the \
                 password of Basic authentication or as `?token=`. PUT does the same, and so do GET \
                 and HEAD, for clients that know nothing else. A form or a JSON object may say \
                 `status`, `success` and `error` as the query does.";
    let operation = Operation::post("All is well with what a heartbeat check watches")
        .about(about)
        .takes(&[Parameter::CHECK]);
    let further = "`start`: the job has started. `fail`: it has failed. 0 to 255: it has ended with \
                   this exit code. `log`: a message that changes nothing else.";
    let reporting = Operation::post("What a heartbeat check watches has started, ended or failed")
        .about(about)
        .takes(&[Parameter::CHECK, Parameter::path("signal", further)]);
    let hearing = || get(hear).post(hear).put(hear);
    DocumentedRouter::new()
        .route("/heartbeat/{check}", hearing(), described(operation))
        .route("/heartbeat/{check}/{signal}", hearing(), described(reporting))
        .with_state(Arc::clone(routes))
}

/// What both routes take and answer.
fn described(operation: Operation) -> Operation {
    let token = "The token of the check, instead of a header.";
    let status = "`fail` says that the job has failed, `ok` that it has not.";
    let success = "`false` says that the job has failed.";
    let error = "Says that the job has failed, and why.";
    operation
        .takes(&[
            Parameter::query::<String>(TOKEN, token),
            Parameter::query::<String>("status", status),
            Parameter::query::<bool>("success", success),
            Parameter::query::<String>("error", error),
        ])
        .token(Token::Heartbeat)
        .answers_nothing(204, "It was heard.")
        .problem(400, "A parameter says neither success nor failure; `detail` names it.")
        .problem(401, "The token is missing or wrong.")
        .problem(404, "There is no heartbeat check of this name, or no such signal.")
        .problem(429, "Many wrong tokens came from there.")
}

async fn hear(
    State(routes): State<Arc<Routes>>,
    path: Result<Path<HashMap<String, String>>, PathRejection>,
    request: Request,
) -> Response {
    // A name that is not UTF-8 belongs to no check.
    let path = path.map(|Path(parts)| parts).unwrap_or_default();
    let found = path.get("check").and_then(|name| routes.health.heartbeat(name));
    let Some(heartbeat) = found else {
        let text = "there is no heartbeat check of this name";
        return Problem::new(StatusCode::NOT_FOUND, text).into_response();
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let token = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == TOKEN).last();
    let token = token.as_ref().map(|(_, token)| token.as_bytes());
    let (headers, extensions) = (request.headers(), request.extensions());
    if let Err(why) = routes.guard.hears(&heartbeat, token, headers, extensions) {
        return refused(why);
    }
    let reported = match path.get("signal") {
        None => Some(Signal::Success),
        Some(text) => signal(text),
    };
    let Some(reported) = reported else {
        let text = "there is no such signal; there are start, fail, log and 0 to 255";
        return Problem::new(StatusCode::NOT_FOUND, text).into_response();
    };
    let asked = match Asked::of(&query) {
        Ok(asked) => asked,
        Err(parameter) => {
            let right = if parameter == "success" { "`true` or `false`" } else { "`ok` or `fail`" };
            return Problem::bad_parameter(parameter, right).into_response();
        }
    };
    if let Some(limit) = extensions.get::<BodyLimit>() {
        limit.lift();
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = match message(request.into_body()).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let report = asked.report(reported, &body, &content_type);
    heartbeat.hear(report.signal, &report.message);
    if let Some(history) = routes.health.history() {
        history.written().await;
    }
    StatusCode::NO_CONTENT.into_response()
}

/// The beginning of `body`, which is read to its end, so that the client is done with sending and
/// the connection can be used again.
async fn message(mut body: Body) -> Result<String, Problem> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "the request body broke off"));
        };
        let data = frame.data_ref().map_or(&[][..], |data| data);
        kept.extend_from_slice(&data[..data.len().min(KEPT - kept.len())]);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
