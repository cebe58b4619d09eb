//! What is asked over HTTP: the probes, the metrics page and the structured status.
//!
//! Every route reads the [health state](crate::state) and none runs a check. `router` is what a
//! host merges into its own; `server` is how the binary serves it.

mod accept;
mod access;
mod health_json;
mod probe;
mod problem;
mod status;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::response::Response;

use crate::health::Health;
use crate::state::HealthState;

/// What the routes share.
pub(crate) struct Routes {
    state: Arc<HealthState>,
    guard: access::Guard,
    cache: probe::Cache,
    /// Keeps the checks running as long as anything answers for them.
    health: Health,
}

impl Health {
    /// The routes, to be merged into a host's router.
    ///
    /// The right to details needs to know who asks: serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or no client counts as local.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let routes = Arc::new(Routes {
            state: Arc::clone(self.state()),
            guard: access::Guard::new(self.access().clone()),
            cache: probe::Cache::default(),
            health: self.clone(),
        });
        let router = probe::router(&routes).merge(status::router(&routes));
        problem::finish(router).with_state(())
    }
}

/// The answer to a request whose token is refused.
fn refused(why: access::Refused) -> Response {
    match why {
        access::Refused::Unauthorized => problem::unauthorized(),
        access::Refused::TooMany => problem::too_many_requests(),
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
