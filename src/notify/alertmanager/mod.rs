//! The sender of alerts: posts status changes to Alertmanager, which groups, routes and silences
//! them.
//!
//! Input: events of checks, through a [`Sink`] that returns at once. Output: posts to
//! `/api/v2/alerts` of every Alertmanager of a cluster. Each Alertmanager has its own task, so that
//! one that is down delays neither a check nor another Alertmanager.
//!
//! # State, not a queue
//! The store keeps the newest state of every check. So an Alertmanager that was unreachable then
//! gets the current state, and nothing is lost or out of date.
//!
//! # Alerts end by themselves
//! A firing alert is sent again every minute (`due` in `receiver_state.rs`) with an end four
//! minutes ahead, so that it ends by itself when its sender is gone. A check that is in
//! maintenance, or depends on one that is down, raises no alert.

mod alert;
mod client;
mod meters;
mod receiver_state;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::config::Secret;
use crate::delivery::{self, ErrorType, Resend, RetryPolicy, Sender};
use crate::model::{CheckInfo, Event, Sink, log_targets};

use alert::AlertTemplate;
use client::ApiClient;
use receiver_state::ReceiverState;
use source::AlertSource;
use store::AlertStore;

/// How often an alert that fires is sent again; Prometheus' own default.
const RESEND: Duration = Duration::from_mins(1);

/// How many resends may fail before Alertmanager ends the alert, as with Prometheus.
const RESENDS_TO_EXPIRY: u32 = 4;

/// Longest one post may take, as with Prometheus.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses after posts that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause that an Alertmanager may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Why alerts cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertmanagerError {
    /// A URL cannot be posted to. It is named by its place, for it may hold credentials.
    #[error(
        "URL {0} of the Alertmanagers is no http or https URL; use one such as http://host:9093"
    )]
    Url(usize),
    /// A header has a name or a value that no request can carry.
    #[error("header {0:?} for Alertmanager cannot be sent; use a name and a value in ASCII")]
    Header(String),
    /// The client cannot be set up.
    #[error("alerts cannot be sent: {0}")]
    Client(String),
    /// There is no runtime to send on.
    #[error("the sender of alerts needs a tokio runtime; start it inside of one")]
    NoRuntime,
}

/// Sends alerts to Alertmanager until it is stopped or dropped.
///
/// ```no_run
/// use vitalsign::{Health, alertmanager::Alertmanager, config::Secret};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let alertmanager =
///     Alertmanager::builder("orders").url(Secret::new("http://127.0.0.1:9093")).start()?;
/// let health = Health::builder("orders").sink(alertmanager.sink()).build()?;
/// # drop(health);
/// alertmanager.stop(std::time::Duration::from_secs(3)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Alertmanager {
    shared: Arc<Shared>,
    senders: Vec<delivery::Handle>,
    /// Each returns whether it was stopped before its Alertmanager had answered.
    tasks: JoinSet<bool>,
}

/// What the sink and the senders share.
struct Shared {
    store: Mutex<AlertStore>,
    changes: watch::Sender<()>,
    template: AlertTemplate,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("template", &self.template).finish_non_exhaustive()
    }
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, AlertStore> {
        // No code panics half-way through a change of it.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Shared {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        let changed = self.store().record(info, event);
        if changed {
            self.changes.send_replace(());
        }
    }
}

impl Alertmanager {
    /// Starts to describe a sender for the service `name`, which becomes the label `service`.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            urls: Vec::new(),
            headers: Vec::new(),
            template: AlertTemplate {
                service: name.into(),
                instance: None,
                link: None,
                trace_url: None,
            },
            resend: RESEND,
            timeout: TIMEOUT,
        }
    }

    /// The sink that receives the events of the checks: for
    /// [`Builder::sink`](crate::Builder::sink).
    #[must_use]
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.shared) as Arc<dyn Sink>
    }

    /// Sends every Alertmanager what it does not have yet, within this time, and stops.
    ///
    /// Alerts that fire are not resolved: a stop does not mean a recovery, and people would get a recovery
    /// now and the same alert after a restart. The alerts go on by themselves for a few minutes;
    /// by then a restart sends them again, or they end.
    pub async fn stop(mut self, within: Duration) {
        for sender in &self.senders {
            // One that has ended has nothing left to send.
            let _ = sender.stop(within, |_| {});
        }
        let mut alertmanagers = 0;
        while let Some(cut) = self.tasks.join_next().await {
            alertmanagers += usize::from(cut.unwrap_or(false));
        }
        if alertmanagers > 0 {
            tracing::warn!(
                target: log_targets::ALERTMANAGER,
                alertmanagers, "stopped before an Alertmanager had answered"
            );
        }
    }
}

/// Describes a sender of alerts; see [`Alertmanager::builder`].
#[derive(Debug)]
pub struct Builder {
    urls: Vec<Secret>,
    headers: Vec<(String, Secret)>,
    template: AlertTemplate,
    resend: Duration,
    timeout: Duration,
}

impl Builder {
    /// Adds the base URL of an Alertmanager; every one of a cluster gets all alerts.
    ///
    /// `http` or `https`, verified by the system's authorities; it may end with `/api/v2/alerts`. A
    /// user name and password in it are sent as basic authentication.
    #[must_use]
    pub fn url(mut self, url: Secret) -> Self {
        self.urls.push(url);
        self
    }

    /// Adds a header to every post, such as the `X-Scope-OrgID` of a tenant.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// The bearer token of every post; the user name and password of a URL win over it.
    #[must_use]
    pub fn token(self, token: &Secret) -> Self {
        self.header(AUTHORIZATION.as_str(), Secret::new(format!("Bearer {}", token.expose())))
    }

    /// The instance that sees the failures; descriptions name it. Default: none is named.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.template.instance = Some(instance.into());
        self
    }

    /// Where the service's own routes are: alerts then link to `status/{check}` there.
    #[must_use]
    pub fn link(mut self, base: Url) -> Self {
        self.template.link = Some(base);
        self
    }

    /// URL of a trace in the tracing backend, with `{trace_id}` in it: alerts then link to the
    /// trace of the run that shows the cause.
    #[must_use]
    pub fn trace_url(mut self, template: impl Into<String>) -> Self {
        self.template.trace_url = Some(template.into());
        self
    }

    /// How often an alert that fires is sent again. Default one minute, at least 10 ms; it ends by
    /// itself when it has not been sent for four times as long.
    #[must_use]
    pub fn resend_every(mut self, interval: Duration) -> Self {
        self.resend = interval.clamp(Duration::from_millis(10), Duration::from_hours(24));
        self
    }

    /// Longest one post may take. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts to send, on the current runtime.
    ///
    /// # Errors
    /// [`AlertmanagerError`] when a URL cannot be posted to, a header cannot be sent, TLS cannot be
    /// set up, or there is no runtime.
    pub fn start(self) -> Result<Alertmanager, AlertmanagerError> {
        let runtime = Handle::try_current().map_err(|_| AlertmanagerError::NoRuntime)?;
        let headers = self.header_map()?;
        let client = client::client().map_err(AlertmanagerError::Client)?;
        let clients: Vec<ApiClient> = self
            .urls
            .iter()
            .enumerate()
            .map(|(at, url)| {
                let client = ApiClient::new(client.clone(), url.expose(), headers.clone());
                client.ok_or(AlertmanagerError::Url(at + 1))
            })
            .collect::<Result<_, _>>()?;
        let expiry = self.resend * RESENDS_TO_EXPIRY;
        let shared = Arc::new(Shared {
            store: Mutex::new(AlertStore::new(expiry)),
            changes: watch::Sender::new(()),
            template: self.template,
        });
        let policy = RetryPolicy {
            attempt: self.timeout,
            first_pause: FIRST_PAUSE,
            longest_pause: LONGEST_PAUSE,
            longest_retry_after: LONGEST_RETRY_AFTER,
            resend: Resend::Newest,
        };
        let (mut senders, mut tasks) = (Vec::new(), JoinSet::new());
        for client in clients {
            let receiver = ReceiverState::new(self.resend, expiry);
            let source = AlertSource::new(Arc::clone(&shared), receiver, client.origin());
            let (sender, handle) = Sender::new(source, client, policy);
            senders.push(handle);
            tasks.spawn_on(send(sender), &runtime);
        }
        Ok(Alertmanager { shared, senders, tasks })
    }

    fn header_map(&self) -> Result<HeaderMap, AlertmanagerError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || AlertmanagerError::Header(name.clone());
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        Ok(headers)
    }
}

/// Sends alerts until the stop; returns whether that came before Alertmanager had answered.
async fn send(sender: Sender<AlertSource, ApiClient>) -> bool {
    let stopped = sender.run().await;
    let Some((batch, failure)) = stopped.unsent else { return false };
    if failure.error_type == ErrorType::Shutdown {
        return true;
    }
    let (alertmanager, alerts) = (stopped.source.alertmanager(), batch.alerts.len());
    tracing::warn!(
        target: log_targets::ALERTMANAGER,
        %alertmanager, alerts, "alerts were not delivered at shutdown"
    );
    false
}
