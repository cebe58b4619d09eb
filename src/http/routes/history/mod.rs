//! The history routes: `/status/{check}/history` and `/status/incidents`.
//!
//! Both read from the history store, with a time limit.

mod incidents;
mod steps;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;

use crate::history::{History, ReadError};
use crate::http::openapi::{DocumentedRouter, Operation, Parameter, Token};
use crate::http::problem::Problem;
use crate::http::reply::{Time, json, refused};
use crate::http::routes::Routes;

/// When a store that does not answer may be asked again.
const RETRY_AFTER_SECONDS: u32 = 5;

/// The routes of the past.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    steps::router().merge(incidents::router()).with_state(Arc::clone(routes))
}

/// A parameter that is a time.
const fn time(name: &'static str, about: &'static str) -> Parameter {
    Parameter::query::<Time>(name, about)
}

/// What both routes may answer instead.
fn with_problems(operation: Operation) -> Operation {
    operation
        .token(Token::Details)
        .problem(400, "A parameter is wrong; `detail` names it and says what would be right.")
        .problem(401, "The token is wrong.")
        .problem(429, "Many wrong tokens came from there.")
        .problem(503, "The history store does not answer.")
}

impl Routes {
    /// The history, or the answer that says that none is kept.
    fn past(&self) -> Result<&History, Problem> {
        let none = || Problem::new(StatusCode::NOT_FOUND, "no history is kept");
        self.health.history().ok_or_else(none)
    }
}

/// The answer when the store gave none.
fn problem_of(error: &ReadError) -> Problem {
    match error {
        ReadError::BadPosition => {
            Problem::bad_parameter("after", "the `next` of another page of incidents")
        }
        ReadError::Unavailable => Problem::unavailable("the history store does not answer")
            .retry_after(RETRY_AFTER_SECONDS),
    }
}

fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}
