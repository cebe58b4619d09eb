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
mod health_json;
pub(crate) mod measure;
mod metrics;
mod negotiate;
mod page;
mod probe;
pub(crate) mod problem;
pub mod server;
mod status;
pub mod tls;
mod transfer;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::response::{IntoResponse, Response};

use crate::health::Health;
use crate::state::HealthState;
use measure::Measure;
use problem::Problem;

pub use server::{Server, Stopped};
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
    /// `router.nest("/vitals", health.into_app())`.
    ///
    /// The right to details needs to know who asks: serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or no client counts as local.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        problem::finish(Self::programs(&self.shared()), Measure::new()).with_state(())
    }

    /// All routes as a router of their own, the pages for people too: any other path is a 404
    /// problem.
    pub fn into_app(self) -> Router {
        let routes = self.shared();
        let pages = page::router(&routes);
        problem::finish_alone(Self::programs(&routes).merge(pages), Measure::new())
    }

    fn shared(&self) -> Arc<Routes> {
        Arc::new(Routes {
            state: Arc::clone(self.state()),
            guard: access::Guard::new(Arc::clone(self.access())),
            cache: probe::Cache::default(),
            summaries: events::Summaries::default(),
            streams: events::Streams::default(),
            health: self.clone(),
        })
    }

    fn programs(routes: &Arc<Routes>) -> Router {
        probe::router(routes)
            .merge(status::router(routes))
            .merge(metrics::router(routes))
            .merge(events::router(routes))
    }
}

/// The answer to a request whose token is refused.
fn refused(why: access::Refused) -> Response {
    match why {
        access::Refused::Unauthorized => Problem::unauthorized(),
        access::Refused::TooMany => Problem::too_many_requests(access::WINDOW_SECONDS),
    }
    .into_response()
}

/// A moment as RFC 3339 in UTC, to the millisecond.
fn time(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(at) => format!("{at:.3}"),
        // Further from 1970 than the calendar reaches: a clock that is badly off.
        Err(_) => "0000-01-01T00:00:00.000Z".to_owned(),
    }
}
