//! Puts the text of `/metrics` together: the checks' own series from the health state, then the
//! metrics that were recorded through the `metrics` facade.
//!
//! Input: a [`HealthState`] and, if there is one, the handle of a Prometheus recorder. Output:
//! a page in the Prometheus text format 0.0.4 or in OpenMetrics 1.0. Both have the same families
//! and series, and info and status families are gauges in both. If the series go to a recorder
//! instead ([`Exposition`]), the page shows what the recorder holds. `checks.rs` and `service.rs`
//! write the series, `page.rs` formats them.
//!
//! A measurement of a check becomes a gauge whose name is `health_check_` and the measurement's
//! name. It is left out if that is not a valid metric name, or is the name of a family in
//! [`METRICS`].

mod checks;
mod facade;
mod names;
mod page;
mod process;
mod series_sink;
mod service;

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;

use crate::engine::state::HealthState;

use checks::Rows;
use page::Page;

pub(crate) use names::is_own_label;
pub use names::{METRICS, Metric, MetricType, Origin};
pub use process::{collect, collect_process_and_runtime, describe, exporter, with_buckets};
pub(crate) use series_sink::Claim;
pub use series_sink::Exposition;

/// A format of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0: the same series, with exemplars.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Renders the series of the checks and of the service as a whole page.
///
/// It takes about a millisecond per ten thousand series and never waits for a check; call it off
/// the async threads anyway when there are thousands of checks.
#[must_use]
pub fn encode(state: &HealthState, format: Format) -> Bytes {
    // Readers make statuses stale, because a hung check runtime cannot.
    state.refresh(Instant::now());
    let (page, _) = own(state, format);
    page.finish().into()
}

/// Renders a whole page: the state's families, unless they go to a recorder, and the host's,
/// each once.
pub(crate) fn render(
    state: &HealthState,
    host: Option<&PrometheusHandle>,
    format: Format,
) -> Vec<u8> {
    state.refresh(Instant::now());
    let (mut page, written) = if state.has_series_sink() {
        (Page::new(format, 0), None)
    } else {
        let (page, measured) = own(state, format);
        (page, Some(measured))
    };
    if let Some(host) = host {
        facade::append(&mut page, &host.render(), written.as_deref());
    }
    page.finish()
}

/// Begins a page with the state's families; also returns the names of the families made of
/// measurements.
fn own(state: &HealthState, format: Format) -> (Page, Vec<String>) {
    let plan = arc_swap::Guard::into_inner(state.plan());
    let rows = Rows::of(&plan);
    let mut page = Page::new(format, rows.estimated_size());
    service::write(&mut page, state, plan.entries.len());
    let measured = checks::write(&mut page, &rows);
    (page, measured)
}
