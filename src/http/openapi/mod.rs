//! `/openapi.json`: what the routes take and answer, as OpenAPI 3.1 has it.
//!
//! A [`Surface`] is routes with an [`Operation`] beside each, so that no route is left out. The
//! schemas come from the very types that are serialised.

mod document;
mod operation;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::Routes;
use super::problem::Problem;

pub(super) use operation::{Operation, Parameter, Token};

/// Routes, and how each of them is described.
#[derive(Debug, Default)]
pub(super) struct Surface {
    router: Router<Arc<Routes>>,
    described: Vec<(&'static str, Operation)>,
}

impl Surface {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a route of one method.
    pub(super) fn route(
        mut self,
        path: &'static str,
        handler: MethodRouter<Arc<Routes>>,
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

    /// The routes, and the one that tells of them all.
    pub(super) fn finish(self, routes: &Arc<Routes>) -> Router {
        let own = Operation::get("This document")
            .about("The routes of this service, as OpenAPI 3.1 has it.")
            .answers_with::<serde_json::Map<String, serde_json::Value>>(
                200,
                "The document.",
                "application/json",
            );
        let mut described = self.described;
        described.push(("/openapi.json", own));
        // Written when it is first asked for: a host that never is pays nothing.
        let written = OnceLock::new();
        let answer = async move || -> Response {
            match written.get_or_init(|| document::write(&described).map(Bytes::from)) {
                Some(document) => {
                    ([(header::CONTENT_TYPE, "application/json")], document.clone()).into_response()
                }
                None => Problem::internal().into_response(),
            }
        };
        let answer = Arc::new(answer);
        let answer = move || {
            let answer = Arc::clone(&answer);
            async move { answer().await }
        };
        self.router.route("/openapi.json", get(answer)).with_state(Arc::clone(routes))
    }
}
