//! Stand-ins for a build without the feature `openapi`: routes have no description, and there is no
//! document.

use axum::Router;
use axum::routing::MethodRouter;

/// Stand-in for schemars' trait; every type implements it.
pub(super) trait JsonSchema {}

impl<T: ?Sized> JsonSchema for T {}

/// Routes.
#[derive(Debug)]
pub(super) struct DocumentedRouter<S = ()>(Router<S>);

impl<S: Clone + Send + Sync + 'static> DocumentedRouter<S> {
    pub(super) fn new() -> Self {
        Self(Router::new())
    }

    pub(super) fn route(self, path: &'static str, handler: MethodRouter<S>, _: Operation) -> Self {
        Self(self.0.route(path, handler))
    }

    pub(super) fn merge(self, other: Self) -> Self {
        Self(self.0.merge(other.0))
    }

    pub(super) fn with_state(self, state: S) -> DocumentedRouter {
        DocumentedRouter(self.0.with_state(state))
    }
}

impl DocumentedRouter {
    pub(super) fn into_router(self) -> Router {
        self.0
    }

    pub(super) fn finish(self) -> Router {
        self.0
    }
}

/// Stand-in for the description of a route.
#[derive(Debug)]
pub(super) struct Operation;

/// A token that a route heeds.
#[derive(Debug)]
pub(super) enum Token {
    Details,
    Metrics,
    Heartbeat,
}

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter;

impl Parameter {
    pub(super) const CHECK: Self = Self;
    pub(super) const GROUP: Self = Self;

    pub(super) const fn path(_: &'static str, _: &'static str) -> Self {
        Self
    }

    pub(super) const fn query<T>(_: &'static str, _: &'static str) -> Self {
        Self
    }
}

impl Operation {
    pub(super) const fn get(_: &'static str) -> Self {
        Self
    }

    pub(super) const fn post(_: &'static str) -> Self {
        Self
    }

    pub(super) const fn about(self, _: &'static str) -> Self {
        self
    }

    pub(super) const fn takes(self, _: &[Parameter]) -> Self {
        self
    }

    pub(super) const fn token(self, _: Token) -> Self {
        self
    }

    pub(super) const fn answers<T>(self, _: u16, _: &'static str) -> Self {
        self
    }

    pub(super) const fn answers_with<T>(self, _: u16, _: &'static str, _: &'static str) -> Self {
        self
    }

    pub(super) const fn answers_nothing(self, _: u16, _: &'static str) -> Self {
        self
    }

    pub(super) const fn problem(self, _: u16, _: &'static str) -> Self {
        self
    }
}

pub(super) mod live {
    pub(in crate::http) const fn events() -> super::Operation {
        super::Operation
    }
}
