//! A group of checks as a probe: `/ready/group/{group}`, in all the forms of `/ready`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{JSON, Query, VERBOSE, code_of, form, forms, head, typed};
use crate::engine::state;
use crate::http::accept;
use crate::http::openapi::{DocumentedRouter, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::routes::Routes;
use crate::model::Gate;

/// The route of groups.
pub(super) fn router() -> DocumentedRouter<Arc<Routes>> {
    let head_of_group =
        |state, name, request| async move { head(group(state, name, request).await) };
    let exclude = "Checks to leave out, as if they did not exist.";
    let about = "200 while every check of the group that gates readiness is up or degraded, until the \
                 drain. Its other checks make it degraded at most.";
    let described =
        forms::<state::Body<'_>>(Operation::get("Readiness of a group of checks").about(about))
            .takes(&[
                Parameter::GROUP,
                VERBOSE,
                Parameter::query::<Vec<String>>("exclude", exclude),
            ])
            .problem(404, "There is no group of this name.");
    DocumentedRouter::new().route(
        "/ready/group/{group}",
        get(group).options(head_of_group),
        described,
    )
}

async fn group(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A name that is not UTF-8 belongs to no group.
    let answer = name.ok().and_then(|Path(name)| answer(&routes, &name, &request));
    answer.unwrap_or_else(|| Problem::no_such_group().into_response())
}

fn answer(routes: &Routes, name: &str, request: &Request) -> Option<Response> {
    let query = Query::of(request.uri());
    if query.is_plain() && !accept::wants_health_json(request.headers()) {
        return plain(routes, name);
    }
    let answer = routes.state.group_answer(name, &query.exclude)?;
    Some(form(routes, Gate::Ready, &answer, &query, request))
}

/// The answer without any question in it: rendered anew only when the state has changed.
fn plain(routes: &Routes, name: &str) -> Option<Response> {
    let state = &routes.state;
    let is_group = |name: &str| state.knows_group(name);
    let current = routes.cache.of_group(name, state.changes(), is_group, || {
        let answer = state.group_answer::<&str>(name, &[])?;
        Some((code_of(answer.status), answer.to_json().into()))
    })?;
    Some((current.code, typed(JSON), current.body.clone()).into_response())
}
