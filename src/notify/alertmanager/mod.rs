//! The sender of alerts: status changes go to Alertmanager, which groups, routes and silences.
//!
//! In flow events of checks, as a [`Sink`] that returns at once; out flow posts to `/api/v2/alerts`
//! of every Alertmanager of a cluster, each by a task of its own, so that one that is down delays
//! neither a check nor another one.
//!
//! What is kept is the newest state of every check, not a queue: however long an Alertmanager was
//! away, it is then told what is true, and nothing is lost or late. An alert that fires is told
//! again every minute and carries an end four times as far ahead, so that it ends by itself when
//! its sender is gone.
//!
//! A check that is in maintenance, or depends on one that is down, raises no alert.

mod alert;
mod board;
mod courier;
mod meters;
mod outbox;
mod post;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::config::Secret;
use crate::model::{CheckInfo, Event, Sink};

use alert::Letterhead;
use board::Board;
use courier::Courier;
use outbox::Outbox;
use post::Target;

/// How often an alert that fires is told again; Prometheus' own default.
const RESEND: Duration = Duration::from_mins(1);

/// How many resends may fail before Alertmanager takes the alert for over, as with Prometheus.
const RESENDS_TO_EXPIRY: u32 = 4;

/// Longest one post may take, as with Prometheus.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why alerts cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertmanagerError {
    /// A URL is none that can be posted to. It is told by its place, for it may hold credentials.
    #[error(
        "URL {0} of the Alertmanagers is no http or https URL; use one such as http://host:9093"
    )]
    Url(usize),
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
    desk: Arc<Desk>,
    stopping: watch::Sender<bool>,
    couriers: JoinSet<()>,
}

/// What the sink and the couriers share.
struct Desk {
    board: Mutex<Board>,
    changes: watch::Sender<()>,
    letterhead: Letterhead,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("letterhead", &self.letterhead).finish_non_exhaustive()
    }
}

impl Desk {
    fn board(&self) -> MutexGuard<'_, Board> {
        // No code panics half-way through a change of it.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Desk {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        let changed = self.board().record(info, event);
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
            letterhead: Letterhead {
                service: name.into(),
                instance: None,
                link: None,
                trace_url: None,
            },
            resend: RESEND,
            timeout: TIMEOUT,
        }
    }

    /// What hears of the checks: for [`Builder::sink`](crate::Builder::sink).
    #[must_use]
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.desk) as Arc<dyn Sink>
    }

    /// Tells every Alertmanager once more what it does not know yet, within this time, and stops.
    ///
    /// Alerts that fire are not resolved: a stop is no recovery, and whoever was paged would be
    /// told that all is well, and paged anew after a restart. They go on by themselves for a few
    /// minutes, which a restart takes up, or end then.
    pub async fn stop(mut self, within: Duration) {
        self.stopping.send_replace(true);
        let all = async { while self.couriers.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            let alertmanagers = self.couriers.len();
            tracing::warn!(alertmanagers, "stopped before an Alertmanager had answered");
        }
    }
}

/// Describes a sender of alerts; see [`Alertmanager::builder`].
#[derive(Debug)]
pub struct Builder {
    urls: Vec<Secret>,
    letterhead: Letterhead,
    resend: Duration,
    timeout: Duration,
}

impl Builder {
    /// Adds the base URL of an Alertmanager; every one of a cluster is told everything.
    ///
    /// `http` or `https`, verified by the system's authorities; a user name and password in it are
    /// sent as basic authentication.
    #[must_use]
    pub fn url(mut self, url: Secret) -> Self {
        self.urls.push(url);
        self
    }

    /// Which instance sees what is told; it shows in descriptions. Default: none is named.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.letterhead.instance = Some(instance.into());
        self
    }

    /// Where the service's own routes are: alerts then link to `status/{check}` there.
    #[must_use]
    pub fn link(mut self, base: Url) -> Self {
        self.letterhead.link = Some(base);
        self
    }

    /// URL of a trace in the tracing backend, with `{trace_id}` in it: alerts then link to the
    /// trace of the run that tells the cause.
    #[must_use]
    pub fn trace_url(mut self, template: impl Into<String>) -> Self {
        self.letterhead.trace_url = Some(template.into());
        self
    }

    /// How often an alert that fires is told again. Default one minute, at least 10 ms; it ends by
    /// itself when it has not been told for four times as long.
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
    /// [`AlertmanagerError`] when a URL cannot be posted to, TLS cannot be set up, or there is no
    /// runtime.
    pub fn start(self) -> Result<Alertmanager, AlertmanagerError> {
        let runtime = Handle::try_current().map_err(|_| AlertmanagerError::NoRuntime)?;
        let client = post::client().map_err(AlertmanagerError::Client)?;
        let targets: Vec<Target> = self
            .urls
            .iter()
            .enumerate()
            .map(|(at, url)| {
                let target = Target::new(client.clone(), url.expose());
                target.ok_or(AlertmanagerError::Url(at + 1))
            })
            .collect::<Result<_, _>>()?;
        let expiry = self.resend * RESENDS_TO_EXPIRY;
        let desk = Arc::new(Desk {
            board: Mutex::new(Board::new(expiry)),
            changes: watch::Sender::new(()),
            letterhead: self.letterhead,
        });
        let stopping = watch::Sender::new(false);
        let mut couriers = JoinSet::new();
        for target in targets {
            let outbox = Outbox::new(self.resend, expiry);
            let stopping = stopping.subscribe();
            let courier = Courier::new(Arc::clone(&desk), target, outbox, self.timeout, stopping);
            couriers.spawn_on(courier.run(), &runtime);
        }
        Ok(Alertmanager { desk, stopping, couriers })
    }
}
