//! The routes for programs, a file or folder each.
//!
//! Every route reads the [health state](crate::engine::state) and none runs a check.

pub(super) mod events;
mod health_json;
pub(super) mod heartbeat;
mod heartbeat_report;
#[cfg(feature = "history")]
pub(super) mod history;
pub(super) mod metrics;
pub(super) mod probe;
pub(super) mod status;

use std::sync::Arc;

use crate::engine::state::HealthState;
use crate::health::Health;

use super::access;
use super::openapi::DocumentedRouter;

/// What the routes share.
pub(crate) struct Routes {
    pub(super) state: Arc<HealthState>,
    pub(super) guard: access::Guard,
    pub(super) cache: probe::Cache,
    pub(super) summaries: events::Summaries,
    pub(super) streams: events::Streams,
    /// Keeps the checks running as long as the routes exist.
    pub(super) health: Health,
}

/// What programs ask for.
pub(super) fn surface(routes: &Arc<Routes>) -> DocumentedRouter {
    probe::router(routes).merge(details(routes))
}

/// What programs ask for, the probes apart.
pub(super) fn details(routes: &Arc<Routes>) -> DocumentedRouter {
    let details =
        status::router(routes).merge(events::router(routes)).merge(heartbeat::router(routes));
    #[cfg(feature = "history")]
    let details = details.merge(history::router(routes));
    // A host that exposes metrics its own way may have a route of that name.
    if routes.health.has_metrics_page() { details.merge(metrics::router(routes)) } else { details }
}
