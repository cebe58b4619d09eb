//! [`Builder`]: the options of a [`Health`](super::Health).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::runtime::Handle;

use super::Access;
#[cfg(feature = "maintenance")]
use crate::engine::Window;
use crate::engine::check::Declared;
use crate::engine::state::ServiceInfo;
use crate::engine::traces::RunSpans;
use crate::engine::{Defaults, Propagator};
#[cfg(feature = "history")]
use crate::history::History;
use crate::model::{Details, Secret, Sink};
use crate::telemetry::metrics::Exposition;

/// Describes a [`Health`](crate::Health); see [`Health::builder`](crate::Health::builder).
pub struct Builder {
    pub(super) service: ServiceInfo,
    pub(super) checks: Vec<(String, Declared)>,
    #[cfg(feature = "maintenance")]
    pub(super) windows: Vec<Window>,
    pub(super) defaults: Defaults,
    pub(super) access: Access,
    pub(super) liveness_timeout: Duration,
    pub(super) runtime: Option<Handle>,
    pub(super) limit: usize,
    pub(super) propagator: Option<Propagator>,
    pub(super) run_spans: RunSpans,
    pub(super) keeps_tail: bool,
    pub(super) trace_url: Option<String>,
    pub(super) measures_requests: bool,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    pub(super) exposition: Exposition,
    pub(super) metric_labels: BTreeMap<String, String>,
    pub(super) exporter: Option<PrometheusHandle>,
    #[cfg(feature = "history")]
    pub(super) history: Option<History>,
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
            run_spans: RunSpans::All,
            keeps_tail: false,
            trace_url: None,
            measures_requests: false,
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

    /// Default options of checks. Default: [`Defaults::default`].
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

    /// Where it runs, such as `production`. Default: none.
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

    /// A bearer token that `/metrics` requires. Default: none is required.
    #[must_use]
    pub fn metrics_token(mut self, token: Secret) -> Self {
        self.access.metrics_token = Some(token);
        self
    }

    /// How long the check runtime may be stalled before `/health` is 503. Default 30 s, counted in
    /// whole seconds.
    #[must_use]
    pub fn liveness_timeout(mut self, timeout: Duration) -> Self {
        self.liveness_timeout = timeout;
        self
    }

    /// Runs the checks on a separate runtime, so that a check that blocks its thread does not delay
    /// a probe. Default: the current runtime.
    ///
    /// On the current runtime, a check that blocks its thread occupies a worker of the host until
    /// it returns. The other workers continue to answer, with a delay of at most a tenth of a
    /// second. A runtime with one thread answers nothing meanwhile, not even `/health`. So use a
    /// separate runtime for checks that may block, or let them await
    /// [`spawn_blocking`](tokio::task::spawn_blocking). A blocked check cannot be cancelled: its
    /// run fails with [`Reason::Timeout`](crate::Reason::Timeout) when it returns, and its status
    /// is unknown once it is stale.
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

    /// Which runs have spans. Default [`RunSpans::All`].
    ///
    /// ```
    /// use vitalsign::{Health, RunSpans};
    ///
    /// let quiet = Health::builder("orders").run_spans(RunSpans::Off);
    /// let few = Health::builder("orders").run_spans(RunSpans::Share(0.01));
    /// # drop((quiet, few));
    /// ```
    ///
    /// A share leaves out failures, too. To export the spans of every failure and of few of the other
    /// runs, leave this alone and put [`tail_sampling`](crate::tail_sampling) on the provider of spans.
    #[must_use]
    pub fn run_spans(mut self, spans: RunSpans) -> Self {
        self.run_spans = spans;
        self
    }

    /// Says that a processor of the host's own keeps the traces that [`traces::KEEP`](crate::traces::KEEP)
    /// marks, and so decides by outcome and not only by the sampled flag. Default false.
    ///
    /// [`tail_sampling::KeepProcessor`](crate::tail_sampling::KeepProcessor) needs none of this: it
    /// reports to the engine itself.
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

    /// Measures the requests to the routes of this health, as
    /// [`RequestMetrics`](crate::http::RequestMetrics) does: `http_server_request_duration_seconds` and
    /// `http_server_active_requests`, through the `metrics` facade. Default: they are not measured.
    ///
    /// A recorder of the crate `metrics-exporter-prometheus` needs buckets for it, as
    /// [`metrics::with_buckets`](crate::metrics::with_buckets) gives them; without any it shows
    /// quantiles. A host that measures its own routes by a layer around all of them needs none of this.
    #[must_use]
    pub fn measure_requests(mut self) -> Self {
        self.measures_requests = true;
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
    /// Two [`Health`](crate::Health) values that record to one recorder need it, with distinct values. What is
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
    /// that the exporter holds too, such as those of another [`Health`](crate::Health) that records there; they are
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
}
