//! The public interface of the library: declare checks, build a [`Health`], merge its router.

#[cfg(feature = "bench")]
pub mod bench;
mod build;
mod build_error;
mod builder;
#[cfg(feature = "history")]
mod heartbeats;
pub mod observe;
mod plan;
mod refused_reload;
mod stop;
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "maintenance")]
use crate::engine::Maintenance;
use crate::engine::check::Heartbeat;
use crate::engine::state::{HealthState, Snapshot};
use crate::engine::{Defaults, Scheduler};
use crate::events::{Feed, Subscription};
use crate::history::History;
#[cfg(feature = "page")]
use crate::history::recent::Recent;
use crate::model::{Details, Secret, ServiceStatus};
use crate::telemetry::metrics::Claim;

pub use build_error::BuildError;
pub use builder::Builder;
pub(crate) use refused_reload::RefusedReload;
pub use stop::{Shutdown, stop_signal};

/// The health of one service: its checks, running, and what is known of them.
///
/// Cloning is cheap and shares it; the checks stop when the last clone is dropped.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    state: Arc<HealthState>,
    scheduler: Scheduler,
    #[cfg(feature = "maintenance")]
    maintenance: Arc<Maintenance>,
    defaults: Defaults,
    access: Arc<ArcSwap<Access>>,
    refused_reload: ArcSwapOption<RefusedReload>,
    exporter: Option<PrometheusHandle>,
    #[cfg(feature = "history")]
    history: Option<History>,
    #[cfg(feature = "page")]
    recent: Arc<Recent>,
    feed: Arc<Feed>,
    /// Whether requests to the routes are measured.
    measures_requests: bool,
    /// Cancelled when event streams are to end.
    streams: CancellationToken,
    ticker: AbortHandle,
    /// The task that opens and closes maintenance windows.
    #[cfg(feature = "maintenance")]
    maintenance_task: AbortHandle,
    notifier: AbortHandle,
    /// Released last.
    _claim: Option<Claim>,
}

/// Who may see what over HTTP.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Access {
    pub(crate) details: Details,
    pub(crate) token: Option<Secret>,
    pub(crate) metrics_token: Option<Secret>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("state", &self.inner.state).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nothing else sends them any more.
        self.state.send_all_calls();
        self.ticker.abort();
        #[cfg(feature = "maintenance")]
        self.maintenance_task.abort();
        // The subscriptions end with it.
        self.notifier.abort();
        // A recorder would go on showing the last values as if they were still so.
        self.state.withdraw();
    }
}

impl Health {
    /// Starts to describe the health of the service `name`.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    /// What is known: for probes, pages and programs.
    #[must_use]
    pub fn state(&self) -> &Arc<HealthState> {
        &self.inner.state
    }

    /// Whether `/ready` answers 200.
    ///
    /// It is false while the service drains although requests must still be served then: to shed load,
    /// ask for the [`status`](Self::status) or for that of a [`group`](Self::group).
    #[must_use]
    pub fn ready(&self) -> bool {
        self.inner.state.ready()
    }

    /// The status of the service: the first that applies of `draining`, `down`, `starting`,
    /// `degraded` and `up`.
    ///
    /// A host sheds load while it is [`Down`](crate::ServiceStatus::Down), and only then. While it
    /// drains, balancers still send requests for a moment, which are to be answered:
    ///
    /// ```
    /// use axum::extract::{Request, State};
    /// use axum::http::{StatusCode, header};
    /// use axum::middleware::Next;
    /// use axum::response::{IntoResponse, Response};
    /// use vitalsign::{Health, ServiceStatus};
    ///
    /// async fn shed(State(health): State<Health>, request: Request, next: Next) -> Response {
    ///     if health.status() == ServiceStatus::Down {
    ///         return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response();
    ///     }
    ///     next.run(request).await
    /// }
    /// # let _ = shed;
    /// ```
    #[must_use]
    pub fn status(&self) -> ServiceStatus {
        self.inner.state.status()
    }

    /// Whether `/health` answers 200.
    #[must_use]
    pub fn live(&self) -> bool {
        self.inner.state.live()
    }

    /// Whether `/startup` answers 200; once it does, it does for good.
    #[must_use]
    pub fn started(&self) -> bool {
        self.inner.state.started()
    }

    /// Whether the drain has begun, by [`drain`](Self::drain) or [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn draining(&self) -> bool {
        self.inner.state.draining()
    }

    /// The status of a [group](crate::Options::groups) of checks; `None` when no check belongs to it.
    ///
    /// It is the status of the service as if it had no other checks than those of the group; see
    /// [`HealthState::group`]. So routes that need only some of the dependencies are shed alone:
    ///
    /// ```
    /// use vitalsign::{Health, ServiceStatus};
    ///
    /// fn takes_payments(health: &Health) -> bool {
    ///     health.group("payments") != Some(ServiceStatus::Down)
    /// }
    /// # let _ = takes_payments;
    /// ```
    #[must_use]
    pub fn group(&self, name: &str) -> Option<ServiceStatus> {
        self.inner.state.group(name)
    }

    /// All that is known at this moment, of the service and every check.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.state.snapshot()
    }

    /// Makes `/ready` say `draining` from now on, while everything else goes on being served.
    pub fn drain(&self) {
        self.inner.state.drain();
    }

    /// What happens to the service and its checks from now on, as a stream: changes of their statuses,
    /// begin and end of maintenance, and checks that leave the plan.
    ///
    /// ```no_run
    /// use vitalsign::HealthEvent;
    ///
    /// # async fn run(health: vitalsign::Health) {
    /// let mut events = health.subscribe();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         Ok(HealthEvent::Check(change)) if change.first => {} // nothing was known before
    ///         Ok(HealthEvent::Check(change)) => {
    ///             println!("{} is {}", change.check.name, change.transition.to);
    ///         }
    ///         Ok(HealthEvent::Service(change)) => println!("the service is {}", change.to),
    ///         Ok(_) => {}
    ///         Err(missed) => println!("{missed}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// [`Subscription::checks`] leaves the status changes of checks alone.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.inner.feed.subscribe()
    }

    /// Resolves when a graceful shutdown may begin: once `signal` has come, `/ready` says `draining`
    /// for `drain_delay`, so that balancers send no more requests, and then event streams end.
    ///
    /// It waits for the signal from when it, or a clone of it, is first awaited. Clones resolve
    /// together, so that several listeners stop for one signal; see [`Shutdown`].
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn run(health: vitalsign::Health) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// let app: axum::Router = health.router();
    /// let stop = health.shutdown(vitalsign::stop_signal()?, Duration::from_secs(5));
    /// axum::serve(listener, app).with_graceful_shutdown(stop).await
    /// # }
    /// ```
    ///
    /// 5 s is what the service itself waits: an endpoint leaves Kubernetes' balancing a moment
    /// after its pod got the signal to stop.
    pub fn shutdown(
        &self,
        signal: impl Future<Output = ()> + Send + 'static,
        drain_delay: Duration,
    ) -> Shutdown {
        let health = self.clone();
        Shutdown::new(async move {
            signal.await;
            health.drain();
            tokio::time::sleep(drain_delay).await;
            health.close_streams();
        })
    }

    /// Ends the streams of `/events`, and answers 503 to new requests for one.
    ///
    /// [`http::Server`](crate::http::Server) does so itself when it stops. A host that serves
    /// otherwise calls this once it takes no new connections, since a stream has no end of its own
    /// and would hold up a graceful shutdown; [`shutdown`](Self::shutdown) does it at the right time.
    pub fn close_streams(&self) {
        self.inner.streams.cancel();
    }

    /// Changes who sees details, and the tokens for details and `/metrics`, from the next request
    /// on.
    pub fn set_access(
        &self,
        details: Details,
        token: Option<Secret>,
        metrics_token: Option<Secret>,
    ) {
        self.inner.access.store(Arc::new(Access { details, token, metrics_token }));
    }

    pub(crate) fn access(&self) -> &Arc<ArcSwap<Access>> {
        &self.inner.access
    }

    /// The heartbeat that the check `name` of the current plan is, if it is one.
    pub(crate) fn heartbeat(&self, name: &str) -> Option<Heartbeat> {
        self.inner.scheduler.heartbeat(name)
    }

    /// Whether the host sets the status of the check `name`.
    fn sets(&self, name: &str) -> bool {
        self.inner.scheduler.is_manual(name)
    }

    pub(crate) fn history(&self) -> Option<&History> {
        #[cfg(feature = "history")]
        return self.inner.history.as_ref();
        #[cfg(not(feature = "history"))]
        None
    }

    #[cfg(feature = "page")]
    pub(crate) fn recent(&self) -> &Recent {
        &self.inner.recent
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.inner.feed
    }

    pub(crate) fn streams_closed(&self) -> &CancellationToken {
        &self.inner.streams
    }

    /// Whether requests to the routes are measured.
    pub(crate) fn measures_requests(&self) -> bool {
        self.inner.measures_requests
    }

    /// Whether there is anything to show on a metrics page.
    pub(crate) fn has_metrics_page(&self) -> bool {
        !self.inner.state.has_series_sink() || self.inner.exporter.is_some()
    }

    pub(crate) fn exporter(&self) -> Option<&PrometheusHandle> {
        self.inner.exporter.as_ref()
    }
}

/// Keeps what the heartbeat checks of `plan` hear, and gives them back what they had heard.
#[cfg(feature = "history")]
fn keep_heartbeats(history: &History, plan: &[crate::engine::Scheduled]) {
    for scheduled in plan {
        if let Some(heartbeat) = scheduled.check.heartbeat() {
            heartbeats::keep(history, &scheduled.info.name, heartbeat);
        }
    }
}
