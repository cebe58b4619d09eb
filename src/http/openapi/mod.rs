//! `/openapi.json`: the parameters and answers of all routes, in OpenAPI 3.1.
//!
//! A [`DocumentedRouter`] is routes with an [`Operation`] beside each, so that no route is left out. The
//! schemas come from the very types that are serialised.

mod document;
pub(super) mod live;
mod operation;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value};

use super::problem::Problem;

pub(super) use schemars::JsonSchema;

pub(super) use operation::{Operation, Parameter, Token};

/// Routes, and how each of them is described.
#[derive(Debug)]
pub(super) struct DocumentedRouter<S = ()> {
    router: Router<S>,
    described: Vec<(&'static str, Operation)>,
}

impl<S: Clone + Send + Sync + 'static> DocumentedRouter<S> {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), described: Vec::new() }
    }

    /// Adds a route of one method.
    pub(super) fn route(
        mut self,
        path: &'static str,
        handler: MethodRouter<S>,
        operation: Operation,
    ) -> Self {
        self.router = self.router.route(path, handler);
        self.described.push((path, operation));
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self
    }

    /// Hands the handlers what they share.
    pub(super) fn with_state(self, state: S) -> DocumentedRouter {
        DocumentedRouter { router: self.router.with_state(state), described: self.described }
    }
}

impl DocumentedRouter {
    /// The routes alone.
    pub(super) fn into_router(self) -> Router {
        self.router
    }

    /// The routes, and the one that describes them all.
    pub(super) fn finish(self) -> Router {
        let own = Operation::get("This document")
            .about("Every route of this service, as OpenAPI 3.1 has it.")
            .answers::<Map<String, Value>>(200, "The document.");
        let mut described = self.described;
        described.push(("/openapi.json", own));
        // Rendered at the first request, so that it costs nothing if it is never requested.
        let written = OnceLock::new();
        let document = Arc::new(move || -> Option<Bytes> {
            written.get_or_init(|| document::write(&described).map(Bytes::from)).clone()
        });
        let answer = async move || -> Response {
            match document() {
                Some(document) => {
                    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
                }
                None => Problem::internal().into_response(),
            }
        };
        self.router.route("/openapi.json", get(answer))
    }
}
