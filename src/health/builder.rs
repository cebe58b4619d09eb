//! How a [`Health`] is described and started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::build_error::BuildError;
use super::{Access, Health, Inner};
use crate::engine;
use crate::engine::check::{Declared, is_label_name};
use crate::engine::state::{HealthState, Labels, Remembered, ServiceInfo, Setup};
use crate::engine::{Defaults, Propagator, Scheduler};
#[cfg(feature = "maintenance")]
use crate::engine::{Maintenance, Window};
use crate::events::Feed;
#[cfg(feature = "history")]
use crate::history::History;
#[cfg(feature = "page")]
use crate::history::recent::Recent;
use crate::model::Sink;
use crate::model::{Details, Secret};
use crate::telemetry::metrics::{Claim, Exposition, is_own_label};

/// Describes a [`Health`]; see [`Health::builder`].
pub struct Builder {
    service: ServiceInfo,
    checks: Vec<(String, Declared)>,
    #[cfg(feature = "maintenance")]
    windows: Vec<Window>,
    defaults: Defaults,
    access: Access,
    liveness_timeout: Duration,
    runtime: Option<Handle>,
    limit: usize,
    propagator: Option<Propagator>,
    keeps_tail: bool,
    trace_url: Option<String>,
    sinks: Vec<Arc<dyn Sink>>,
    exposition: Exposition,
    metric_labels: BTreeMap<String, String>,
    exporter: Option<PrometheusHandle>,
    #[cfg(feature = "history")]
    history: Option<History>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("service", &self.service)
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(name: String) -> Self {
        let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            service: ServiceInfo { name, version, instance, environment: None },
            checks: Vec::new(),
            #[cfg(feature = "maintenance")]
            windows: Vec::new(),
            defaults: Defaults::default(),
            access: Access::default(),
            liveness_timeout: Duration::from_secs(30),
            runtime: None,
            limit: 512,
            propagator: Some(Arc::new(TraceContextPropagator::new())),
            keeps_tail: false,
            trace_url: None,
            sinks: Vec::new(),
            exposition: Exposition::default(),
            metric_labels: BTreeMap::new(),
            exporter: None,
            #[cfg(feature = "history")]
            history: None,
        }
    }

    /// Adds a check under a unique name, `[a-z0-9][a-z0-9_-]{0,62}`, other than `status` and
    /// `incidents`.
    ///
    /// It is a [`Check`](crate::Check) with the default options, or one that was declared with
    /// [`every`](crate::every).
    #[must_use]
    pub fn check(mut self, name: impl Into<String>, check: impl Into<Declared>) -> Self {
        self.checks.push((name.into(), check.into()));
        self
    }

    /// When which checks are in maintenance; see [`Window`]. Default: never.
    #[cfg(feature = "maintenance")]
    #[must_use]
    pub fn maintenance(mut self, windows: Vec<Window>) -> Self {
        self.windows = windows;
        self
    }

    /// What checks do that their declarations do not say. Default: [`Defaults::default`].
    #[must_use]
    pub fn defaults(mut self, defaults: Defaults) -> Self {
        self.defaults = defaults;
        self
    }

    /// Version of what is observed. Default: this crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.service.version = version.into();
        self
    }

    /// Which instance of the service this is. Default: the host name.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.service.instance = instance.into();
        self
    }

    /// Where it runs, such as `production`. Default: it is not said.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.service.environment = Some(environment.into());
        self
    }

    /// Who is shown details. Default [`Details::Auto`].
    #[must_use]
    pub fn details(mut self, details: Details) -> Self {
        self.access.details = details;
        self
    }

    /// A bearer token that gives the right to details. Default: none does.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.access.token = Some(token);
        self
    }

    /// A bearer token without which `/metrics` answers 401. Default: it asks for none.
    #[must_use]
    pub fn metrics_token(mut self, token: Secret) -> Self {
        self.access.metrics_token = Some(token);
        self
    }

    /// How long the check runtime may stand still before `/health` is 503. Default 30 s, counted
    /// in whole seconds.
    #[must_use]
    pub fn liveness_timeout(mut self, timeout: Duration) -> Self {
        self.liveness_timeout = timeout;
        self
    }

    /// Runs the checks on another runtime than the one that serves: one that blocks its thread
    /// then delays no probe. Default: the current one.
    ///
    /// On the current one, a check that blocks its thread takes a worker from the host until it
    /// lets go. The other workers go on answering, a tenth of a second late at most, as long as
    /// there are any; a runtime of one thread answers nothing meanwhile, `/health` neither. So give
    /// checks that may block a runtime of their own, or have them await
    /// [`spawn_blocking`](tokio::task::spawn_blocking). What such a check waits for is cancelled by
    /// nobody: its run fails for [`Reason::Timeout`](crate::Reason::Timeout) when it lets go, and its
    /// status is unknown once it is stale.
    #[must_use]
    pub fn check_runtime(mut self, handle: Handle) -> Self {
        self.runtime = Some(handle);
        self
    }

    /// Most runs at once; a run that is due beyond it is skipped and counted. Default 512.
    #[must_use]
    pub fn max_concurrent_runs(mut self, runs: usize) -> Self {
        self.limit = runs;
        self
    }

    /// How trace context is written for dependencies; `None` sends none. Default W3C.
    #[must_use]
    pub fn propagator(mut self, propagator: Option<Propagator>) -> Self {
        self.propagator = propagator;
        self
    }

    /// Says whether a [trace-keeping processor](crate::telemetry::tail_sampling) obeys: traces are then kept by
    /// outcome, not only by the sampled flag. Default false.
    #[must_use]
    pub fn keep_traces_by_outcome(mut self, obeyed: bool) -> Self {
        self.keeps_tail = obeyed;
        self
    }

    /// URL of a trace in the tracing backend, with `{trace_id}` in it: links in the status
    /// document and the log. Default: no links.
    #[must_use]
    pub fn trace_url(mut self, template: impl Into<String>) -> Self {
        self.trace_url = Some(template.into());
        self
    }

    /// Adds a reader of every run and status change, beside those that were added before.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Where the series of the checks and of the service are shown. Default: [`Exposition::Route`].
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use vitalsign::Health;
    /// use vitalsign::metrics::Exposition;
    ///
    /// let host = PrometheusBuilder::new()
    ///     .set_buckets(&vitalsign::state::BUCKETS)?
    ///     .install_recorder()?; // first, so that it is there when handles are asked for
    /// let health = Health::builder("orders").metrics(Exposition::Facade).build()?;
    /// println!("{}", host.render()); // health_ready 1 and so on
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(mut self, exposition: Exposition) -> Self {
        self.exposition = exposition;
        self
    }

    /// Adds a label to each series of the checks and of the state of this service, wherever they are
    /// shown.
    ///
    /// Two [`Health`] values that record to one recorder need it, with distinct values. What is
    /// measured of HTTP requests, and the figures of a history (`health_history_…`) and of alerts,
    /// are the process's and go without it.
    #[must_use]
    pub fn metric_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metric_labels.insert(key.into(), value.into());
        self
    }

    /// The host's own metrics, shown by `/metrics` after the checks' series.
    ///
    /// Each `/metrics` that is given an exporter shows what it holds: when two are given the same,
    /// both do. Where the checks' series are the route's own, it leaves out families of their names
    /// that the exporter holds too, such as those of another [`Health`] that records there; they are
    /// on the page of a host that shows that exporter, or on the route of that other one.
    #[must_use]
    pub fn exporter(mut self, exporter: PrometheusHandle) -> Self {
        self.exporter = Some(exporter);
        self
    }

    /// Keeps what happens in `history`, and shows it. Default: no history.
    #[cfg(feature = "history")]
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        self.sinks.push(history.sink());
        self.history = Some(history);
        self
    }

    /// Starts the checks: the first run of each begins within a second.
    ///
    /// # Errors
    /// [`BuildError`] when the checks cannot be run, there is no runtime to run them on, or their
    /// series have the same labels as others.
    pub fn build(self) -> Result<Health, BuildError> {
        let plan = engine::plan(self.checks, &self.defaults)?;
        let labels = metric_labels(self.metric_labels)?;
        engine::refuse_labels(&plan, |label| labels.contains(label))?;
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
        let scheduler = Scheduler::new(checks_on, Arc::clone(&state), self.limit, self.propagator);
        scheduler.apply(plan);
        let ticker = here.spawn(tick(Arc::clone(&state))).abort_handle();
        let notifier = here.spawn(notifier.run()).abort_handle();
        let access = Arc::new(ArcSwap::from_pointee(self.access));
        let inner = Inner {
            state,
            scheduler,
            defaults: self.defaults,
            access,
            exporter: self.exporter,
            #[cfg(feature = "history")]
            history: self.history,
            #[cfg(feature = "page")]
            recent,
            feed,
            streams: CancellationToken::new(),
            #[cfg(feature = "maintenance")]
            maintenance,
            ticker,
            #[cfg(feature = "maintenance")]
            maintenance_task,
            notifier,
            _claim: claim,
        };
        Ok(Health { inner: Arc::new(inner) })
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
