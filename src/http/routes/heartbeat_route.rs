//! `/heartbeat/{check}`: receives heartbeats for checks of the kind `heartbeat`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::StatusCode;

use crate::http::openapi::{Operation, Parameter, Surface, Token};
use crate::http::problem::Problem;
use crate::http::reply::refused;
use crate::http::routes::Routes;
use crate::http::server_context::BodyLimit;

/// Most of a body that is kept; the rest is read and thrown away.
const KEPT: usize = 10 * 1024;

/// Parameter of the query that holds the token, for clients that cannot set a header.
const TOKEN: &str = "token";

/// The route of heartbeats.
pub(super) fn router(routes: &Arc<Routes>) -> Surface {
    let about = "The first 10 KiB of the body are kept as message, and the rest is ignored. The token \
                 may also come as the password of Basic authentication or as `?token=`. PUT does the \
                 same, and so do GET and HEAD, for clients that know nothing else.";
    let token = "The token of the check, instead of a header.";
    let operation = Operation::post("All is well with what a heartbeat check watches")
        .about(about)
        .takes(&[Parameter::CHECK, Parameter::query::<String>(TOKEN, token)])
        .token(Token::Heartbeat)
        .answers_nothing(204, "It was heard.")
        .problem(401, "The token is missing or wrong.")
        .problem(404, "There is no heartbeat check of this name.")
        .problem(429, "Many wrong tokens came from there.");
    let hearing = get(hear).post(hear).put(hear);
    Surface::new().route("/heartbeat/{check}", hearing, operation).with_state(Arc::clone(routes))
}

async fn hear(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A name that is not UTF-8 belongs to no check.
    let found = name.ok().and_then(|Path(name)| routes.health.heartbeat(&name));
    let Some(heartbeat) = found else {
        let text = "there is no heartbeat check of this name";
        return Problem::new(StatusCode::NOT_FOUND, text).into_response();
    };
    let query = form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
    let token = query.filter(|(key, _)| key == TOKEN).last().map(|(_, token)| token);
    let token = token.as_deref().map(str::as_bytes);
    let (headers, extensions) = (request.headers(), request.extensions());
    if let Err(why) = routes.guard.hears(&heartbeat, token, headers, extensions) {
        return refused(why);
    }
    if let Some(limit) = extensions.get::<BodyLimit>() {
        limit.lift();
    }
    match message(request.into_body()).await {
        Ok(message) => {
            heartbeat.beat_with(&message);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => problem.into_response(),
    }
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
