//! How a [`Health`] is started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::build_error::BuildError;
use super::{Builder, Health, Inner};
use crate::engine;
#[cfg(feature = "maintenance")]
use crate::engine::Maintenance;
use crate::engine::check::is_label_name;
use crate::engine::state::{HealthState, Labels, Remembered, Setup};
use crate::engine::{Scheduler, Tracing};
use crate::events::Feed;
#[cfg(feature = "page")]
use crate::history::recent::Recent;
use crate::telemetry::metrics::{Claim, is_own_label};

impl Builder {
    /// Starts the checks: the first run of each begins within a second.
    ///
    /// # Errors
    /// [`BuildError`] when the checks cannot be run, there is no runtime to run them on, or their
    /// series have the same labels as others.
    pub fn build(self) -> Result<Health, BuildError> {
        let plan = engine::plan(self.checks, &self.defaults)?;
        let labels = metric_labels(self.metric_labels)?;
        engine::refuse_labels(&plan, |label| labels.contains(label))?;
        if !self.run_spans.is_valid() {
            return Err(BuildError::RunSpans);
        }
        let here = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let claim = Claim::new(&self.exposition, &labels)
            .map_err(|()| BuildError::SameSeries { labels: labels.text().to_owned() })?;
        let _guard = here.enter();
        let seconds = self.liveness_timeout.as_secs_f64().ceil();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let tolerated_ticks = seconds as u32;
        let (feed, notifier) = Feed::new();
        let mut sinks = self.sinks;
        sinks.push(Arc::clone(&feed) as _);
        #[cfg(feature = "page")]
        let recent = Arc::new(Recent::default());
        #[cfg(feature = "page")]
        {
            sinks.push(Arc::clone(&recent) as _);
            if let Some(history) = &self.history {
                let names = plan.iter().map(|scheduled| Arc::clone(&scheduled.info.name)).collect();
                here.spawn(Arc::clone(&recent).recall(history.clone(), names));
            }
        }
        #[cfg(feature = "history")]
        let remembered = self.history.as_ref().map_or_else(Remembered::default, |history| {
            history.plan(plan.iter().map(|scheduled| Arc::clone(&scheduled.info.name)));
            super::keep_heartbeats(history, &plan);
            let known = history.remembered();
            Remembered { checks: known.checks, service: known.service }
        });
        #[cfg(not(feature = "history"))]
        let remembered = Remembered::default();
        let state = Arc::new(HealthState::new(Setup {
            remembered,
            service: self.service,
            keeps_tail: self.keeps_tail,
            trace_url: self.trace_url,
            sinks,
            series_sink: self.exposition.series_sink(&labels),
            labels,
            tolerated_ticks,
        }));
        // Before the checks, so that they are in a window that is open from their first moment.
        #[cfg(feature = "maintenance")]
        let maintenance = Maintenance::new(Arc::clone(&state), self.windows);
        #[cfg(feature = "maintenance")]
        let maintenance_task = here.spawn(Arc::clone(&maintenance).keep()).abort_handle();
        let checks_on = self.runtime.unwrap_or_else(|| here.clone());
        let tracing = Tracing::new(self.propagator, self.run_spans);
        let scheduler = Scheduler::new(checks_on, Arc::clone(&state), self.limit, tracing);
        scheduler.apply(plan);
        let ticker = here.spawn(tick(Arc::clone(&state))).abort_handle();
        let notifier = here.spawn(notifier.run()).abort_handle();
        let access = Arc::new(ArcSwap::from_pointee(self.access));
        let inner = Inner {
            state,
            scheduler,
            defaults: self.defaults,
            access,
            refused_reload: ArcSwapOption::empty(),
            exporter: self.exporter,
            #[cfg(feature = "history")]
            history: self.history,
            #[cfg(feature = "page")]
            recent,
            feed,
            measures_requests: self.measures_requests,
            streams: CancellationToken::new(),
            #[cfg(feature = "maintenance")]
            maintenance,
            ticker,
            #[cfg(feature = "maintenance")]
            maintenance_task,
            notifier,
            _claim: claim,
        };
        let inner = Arc::new(inner);
        #[cfg(feature = "history")]
        if let Some(history) = inner.history.as_ref().filter(|history| !history.is_loaded()) {
            here.spawn(super::heartbeats::keep_late(history.clone(), Arc::downgrade(&inner)));
        }
        Ok(Health { inner })
    }
}

/// Labels of every series, if they may be.
fn metric_labels(labels: BTreeMap<String, String>) -> Result<Labels, BuildError> {
    for (key, value) in &labels {
        let problem = if !is_label_name(key) || is_own_label(key) {
            "it must match [a-zA-Z_][a-zA-Z0-9_]* and be no label that series have already, such as \
             check, kind, status or le; choose another name"
        } else if value.is_empty() {
            "a label without a value is none; give it one"
        } else {
            continue;
        };
        return Err(BuildError::MetricLabel { key: key.clone(), problem });
    }
    Ok(Labels::new(labels))
}

/// The HTTP side's clock: it notices a check runtime that stands still, and stale statuses.
async fn tick(state: Arc<HealthState>) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    loop {
        seconds.tick().await;
        state.tick();
    }
}
