//! The HTTP surface: what is asked, who may see what, what is measured, and how it says no.
//!
//! Every route reads the [health state](crate::state) and none runs a check. [`Health::router`]
//! is what a host merges into its own; [`Server`] serves any [`axum::Router`] on a listener, with
//! bounds on how many clients may connect, how slow they may be and how long a shutdown takes.

mod accept;
mod access;
mod connections;
mod drive;
mod events;
mod flight;
mod front;
mod health_json;
mod heartbeat;
pub(crate) mod measure;
mod metrics;
mod negotiate;
mod openapi;
mod page;
mod panics;
mod past;
mod probe;
pub(crate) mod problem;
mod query;
pub mod server;
mod status;
#[cfg(feature = "tls")]
pub mod tls;
mod transfer;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::health::Health;
use crate::state::HealthState;
use front::Front;
use openapi::Surface;
use problem::Problem;

pub use front::App;
pub use measure::{Measured, Measuring, RequestMetrics};
pub use server::{Server, Stopped};
#[cfg(feature = "tls")]
pub use tls::{TlsError, tls_config};

/// What the routes share.
pub(crate) struct Routes {
    state: Arc<HealthState>,
    guard: access::Guard,
    cache: probe::Cache,
    summaries: events::Summaries,
    streams: events::Streams,
    /// Keeps the checks running as long as anything answers for them.
    health: Health,
}

impl Health {
    /// The routes for programs, to be merged into a host's router.
    ///
    /// The pages for people are in [`into_app`](Self::into_app) alone, for a host has a page at `/`
    /// of its own; `Router::nest` puts them where there is room, as in
    /// `router.nest_service("/vitals", health.into_app())`.
    ///
    /// `/metrics` is left out where the series go to a host's [recorder](crate::metrics::Exposition)
    /// and its exporter was not given: such a host has a route of its own.
    ///
    /// The right to details needs to know who asks: serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or no client counts as local.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        problem::finish(surface(&self.routes()).finish(), RequestMetrics::new()).with_state(())
    }

    /// The routes of [`router`](Self::router) under `path`, such as `/internal`, for a host whose
    /// own routes have those names, or two [`Health`] values in one router, where each has a
    /// `/metrics` with its own series.
    ///
    /// Slashes at either end may be left out; with nothing else it is `router`. A path that axum
    /// cannot nest panics there, as [`Router::nest`] says.
    pub fn router_at<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        match path.trim_matches('/') {
            "" => self.router(),
            path => Router::new().nest(&format!("/{path}"), self.router()),
        }
    }

    /// The probes alone, `/health`, `/ready`, `/startup` and their other names: for a listener that
    /// an orchestrator reaches and people do not.
    pub fn probe_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let probes = probe::router(&self.routes()).into_router();
        problem::finish(probes, RequestMetrics::new()).with_state(())
    }

    /// What [`router`](Self::router) has beside the probes: the status, events, the past, and
    /// metrics where that has them, for a listener of their own.
    pub fn detail_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let details = details(&self.routes()).finish();
        problem::finish(details, RequestMetrics::new()).with_state(())
    }

    /// All routes as an application of their own, the pages for people too: any other path is a
    /// 404 problem.
    ///
    /// [`Server`] serves it, and it is a [`tower::Service`].
    #[must_use]
    pub fn into_app(self) -> App {
        let (routes, measure) = (self.routes(), RequestMetrics::new());
        let all = surface(&routes).merge(page::router(&routes)).finish();
        let behind = problem::finish_alone(all, measure.clone());
        App::new(behind, Front::new(routes, measure))
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

/// What programs ask for.
fn surface(routes: &Arc<Routes>) -> Surface {
    probe::router(routes).merge(details(routes))
}

/// What programs ask for, the probes apart.
fn details(routes: &Arc<Routes>) -> Surface {
    let details = status::router(routes)
        .merge(past::router(routes))
        .merge(events::router(routes))
        .merge(heartbeat::router(routes));
    // A host that exposes metrics its own way may have a route of that name.
    if routes.health.has_metrics_page() { details.merge(metrics::router(routes)) } else { details }
}

/// The answer to a request whose token is refused.
fn refused(why: access::Refused) -> Response {
    match why {
        access::Refused::Unauthorized => Problem::unauthorized(),
        access::Refused::TooMany => Problem::too_many_requests(access::WINDOW_SECONDS),
    }
    .into_response()
}

/// The answer that `document` is as JSON.
fn json(document: impl Serialize) -> Response {
    match serde_json::to_string(&document) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, JsonSchema)]
struct Time(#[schemars(with = "String", extend("format" = "date-time"))] SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time(self.0))
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
fn time(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(at) => format!("{at:.3}"),
        // Further from 1970 than the calendar reaches: a clock that is badly off.
        Err(_) => "0000-01-01T00:00:00.000Z".to_owned(),
    }
}
