//! The HTTP surface.

mod flight;
mod metrics;
mod negotiate;

use axum::Router;

use crate::health::Health;

impl Health {
    /// The routes over this health, to be merged into the host's own.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new().route("/metrics", metrics::route(self.clone()))
    }
}
