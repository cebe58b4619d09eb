//! The HTTP server, routes, access control, request metrics and error answers.
//!
//! Every route reads the [health state](crate::engine::state) and none runs a check. [`Health::router`]
//! is what a host merges into its own; [`Server`] serves any [`axum::Router`] on a listener, with
//! bounds on how many clients may connect, how slow they may be and how long a shutdown takes.

mod accept;
mod access;
mod app;
#[cfg_attr(not(feature = "compression"), path = "compression_absent.rs")]
mod compression;
mod middleware;
#[cfg_attr(not(feature = "openapi"), path = "openapi/absent.rs")]
mod openapi;
#[cfg(feature = "page")]
mod page;
mod panics;
pub(crate) mod problem;
#[cfg(feature = "history")]
mod query;
mod reply;
pub(crate) mod request_metrics;
mod routes;
#[cfg(feature = "server")]
pub mod server;
mod server_context;
mod show_details;
mod single_flight;

use std::sync::Arc;

use axum::Router;

use crate::health::Health;

use self::app::FastPath;
use self::routes::{Routes, details, events, probe, surface};

pub use self::app::App;
pub use self::request_metrics::{Measured, Measuring, RequestMetrics};
#[cfg(feature = "server")]
pub use self::server::{Server, Stopped};
#[cfg(all(feature = "server", feature = "tls"))]
pub use self::server::{TlsError, tls_config};
pub use self::show_details::ShowDetails;

impl Health {
    /// The routes for programs, to be merged into a host's router.
    ///
    /// Only [`into_app`](Self::into_app) has the HTML pages, because a host has its own page at
    /// `/`; mount them under a path, as in `router.nest_service("/vitals", health.into_app())`.
    ///
    /// `/metrics` is left out if the series go to a host's
    /// [recorder](crate::telemetry::metrics::Exposition) and its exporter was not passed: such a
    /// host has its own route.
    ///
    /// Requests to these routes are measured only with
    /// [`Builder::measure_requests`](crate::Builder::measure_requests) or with a layer of
    /// [`RequestMetrics`] around the host's router.
    ///
    /// Access to details may depend on the client's address: serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or no client counts as local.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        middleware::finish(surface(&self.routes()).finish(), self.measure()).with_state(())
    }

    /// The routes of [`router`](Self::router) under `path`, such as `/internal`, for a host whose
    /// own routes have those names, or two [`Health`] values in one router, where each has a
    /// `/metrics` with its own series.
    ///
    /// Slashes at either end are optional; an empty path gives `router`. A path that axum cannot
    /// nest panics, see [`Router::nest`].
    pub fn router_at<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        match path.trim_matches('/') {
            "" => self.router(),
            path => Router::new().nest(&format!("/{path}"), self.router()),
        }
    }

    /// Only the probes, `/health`, `/ready`, `/startup` and their aliases: for a listener that only
    /// an orchestrator reaches.
    pub fn probe_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let probes = probe::router(&self.routes()).into_router();
        middleware::finish(probes, self.measure()).with_state(())
    }

    /// The routes of [`router`](Self::router) without the probes: the status, events, history and,
    /// if `router` has them, metrics; for a separate listener.
    pub fn detail_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let details = details(&self.routes()).finish();
        middleware::finish(details, self.measure()).with_state(())
    }

    /// All routes as a separate application, including the HTML pages: any other path is a 404
    /// problem.
    ///
    /// [`Server`] serves it, and it is a [`tower::Service`].
    #[must_use]
    pub fn into_app(self) -> App {
        let (routes, measure) = (self.routes(), self.measure());
        let all = surface(&routes);
        #[cfg(feature = "page")]
        let all = all.merge(page::router(&routes));
        let all = all.finish();
        let behind = middleware::finish_alone(all, measure.clone());
        App::new(behind, FastPath::new(routes, measure))
    }

    /// The layer that measures the routes, of itself or only within a layer of the host's.
    fn measure(&self) -> RequestMetrics {
        if self.measures_requests() {
            RequestMetrics::new()
        } else {
            RequestMetrics::within_another()
        }
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::new(Routes {
            state: Arc::clone(self.state()),
            guard: access::Guard::new(Arc::clone(self.access())),
            cache: probe::Cache::default(),
            summaries: events::Summaries::default(),
            streams: events::Streams::default(),
            health: self.clone(),
        })
    }
}
