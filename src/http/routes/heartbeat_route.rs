//! `/heartbeat/{check}`: what a check of the kind `heartbeat` is told.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;

use crate::http::MAX_REQUEST_BODY;
use crate::http::openapi::{Operation, Parameter, Surface, Token};
use crate::http::problem::Problem;
use crate::http::reply::refused;
use crate::http::routes::Routes;

/// The route of heartbeats.
pub(super) fn router(routes: &Arc<Routes>) -> Surface {
    let operation = Operation::post("All is well with what a heartbeat check watches")
        .about("A body is accepted and ignored; it may have 64 KiB.")
        .takes(&[Parameter::CHECK])
        .token(Token::Heartbeat)
        .answers_nothing(204, "It was heard.")
        .problem(401, "The token is missing or wrong.")
        .problem(404, "There is no heartbeat check of this name.")
        .problem(413, "The body is too large.")
        .problem(429, "Many wrong tokens came from there.");
    Surface::new().route("/heartbeat/{check}", post(hear), operation).with_state(Arc::clone(routes))
}

async fn hear(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A name that is not UTF-8 is no check's.
    let found = name.ok().and_then(|Path(name)| routes.health.heartbeat(&name));
    let Some(heartbeat) = found else {
        let text = "there is no heartbeat check of this name";
        return Problem::new(StatusCode::NOT_FOUND, text).into_response();
    };
    if let Err(why) = routes.guard.tells(&heartbeat, request.headers(), request.extensions()) {
        return refused(why);
    }
    if let Err(problem) = ignore(request.into_body()).await {
        return problem.into_response();
    }
    heartbeat.beat();
    StatusCode::NO_CONTENT.into_response()
}

/// Reads `body` to its end, so that the connection can be used again.
async fn ignore(body: Body) -> Result<(), Problem> {
    let mut body = Limited::new(body, MAX_REQUEST_BODY);
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return Err(if is_too_long(&*error) {
                Problem::payload_too_large()
            } else {
                Problem::new(StatusCode::BAD_REQUEST, "the request body broke off")
            });
        }
    }
    Ok(())
}

/// Whether the limit here or the server's own was met.
fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
