//! The history: status changes, incidents and roll-ups of every check, kept over restarts.
//!
//! Input: the events of checks, through a [`Sink`] that returns at once. Output: availability, kept
//! in memory and read without waiting, and data read from the store: steps of a check's past,
//! incidents, and the changes after a known one.

mod aggregates;
mod availability;
mod backup;
mod connection;
mod error;
#[cfg(feature = "bench")]
mod generate;
mod heartbeat_states;
mod heartbeats;
mod incident;
mod load;
mod lock;
mod meters;
mod options;
mod pending;
mod prune;
mod raw;
mod read;
mod readded_checks;
mod reason_rows;
mod reasons;
#[cfg(feature = "page")]
pub(crate) mod recent;
mod record;
mod rollup;
mod row;
mod schema;
mod shared;
mod sketch;
mod steps;
#[cfg(test)]
mod tests;
mod value;
mod varint;
mod write;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::{self, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use self::rollup::{millis, time};
use self::shared::Shared;
use self::writer::{Command, Writer};
use crate::model::log_targets;
use crate::model::{Reason, ServiceStatus, Sink, Status};

pub use backup::{BackupError, backup};
pub use error::HistoryError;
#[cfg(feature = "bench")]
pub(crate) use generate::generate;
pub use options::HistoryOptions;

/// Longest time that opening waits for the store; its data may also be loaded later.
const START: Duration = Duration::from_secs(2);

/// The history of one service's checks, as one instance of it keeps them.
///
/// Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct History {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// Handle of the writer's thread, which does all I/O of the store.
    runtime: Handle,
    days: read::CachedDays,
}

/// The state before this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered {
    /// Statuses of the checks, and since when.
    pub(crate) checks: HashMap<Arc<str>, (Status, SystemTime)>,
    /// The service's status, and since when.
    pub(crate) service: Option<(ServiceStatus, SystemTime)>,
}

/// Good runs among those that count for availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Good runs.
    pub good: u64,
    /// Good and failed runs, none of them in maintenance.
    pub counted: u64,
}

impl Share {
    /// Good ÷ counted; `None` where nothing was recorded.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        (self.counted > 0).then(|| self.good as f64 / self.counted as f64)
    }
}

/// Shares of good runs over the windows that the status document shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Availability {
    /// The last hour.
    pub hour: Share,
    /// The last 24 hours.
    pub day: Share,
    /// The last 7 days.
    pub week: Share,
    /// The last 30 days.
    pub month: Share,
}

/// The runs of one check that ended within one step of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Start of the step.
    pub at: SystemTime,
    /// Runs of any outcome.
    pub runs: u64,
    /// Good ones among them.
    pub good: u64,
    /// Those that count for availability.
    pub share: Share,
    /// Median duration; `None` without runs, as are the others.
    pub p50: Option<Duration>,
    /// 95th percentile of the durations.
    pub p95: Option<Duration>,
    /// Longest duration.
    pub max: Option<Duration>,
    /// Worst status that the check had within the step, a window of maintenance included.
    pub worst: Option<Status>,
    /// How many runs failed for which reason, in the order of [`Reason::ALL`].
    ///
    /// Reasons are kept by the minute and the hour: of a step that begins or ends within one, those
    /// of the whole minute or hour count where it begins.
    pub reasons: Vec<(Reason, u64)>,
}

/// One day of a check, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    /// Share of good runs.
    pub share: Share,
    /// Worst status of the day; `None` where nothing was recorded.
    pub worst: Option<Status>,
}

/// A period in which a check was not up.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Name of the check.
    pub check: String,
    /// When it stopped being up.
    pub start: SystemTime,
    /// When it was up again; `None` while it is not.
    pub end: Option<SystemTime>,
    /// The worst status of the period.
    pub worst: Status,
    /// Reason of the run that made it that bad, where one did.
    pub reason: Option<Reason>,
    /// Message of that run.
    pub message: Option<String>,
    /// Trace of that run, 32 hexadecimal digits, as in the log and on its span.
    pub trace_id: Option<String>,
}

/// Which incidents are wanted.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// Of this check alone.
    pub check: Option<String>,
    /// Those that had not ended by then.
    pub from: Option<SystemTime>,
    /// Those that had begun by then.
    pub to: Option<SystemTime>,
    /// Where the page before ended: its [`IncidentPage::next`].
    pub after: Option<String>,
    /// Most incidents of one page.
    pub limit: usize,
}

/// A page of incidents, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentPage {
    /// The incidents, by start.
    pub incidents: Vec<Incident>,
    /// Opaque position of the next page; `None` on the last.
    pub next: Option<String>,
}

/// A status change as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name of the check.
    pub check: String,
    /// The change itself; its trace has the trace id alone.
    pub transition: crate::model::Transition,
}

/// Why the history could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store did not answer in time, or refused.
    #[error("the history store does not answer")]
    Unavailable,
    /// [`IncidentFilter::after`] is not a position from a page.
    #[error("no position of a page of incidents")]
    BadPosition,
}

impl History {
    /// Opens or creates the store, and loads the last state.
    ///
    /// It waits for 2 s at most. If the server does not answer by then, it is retried in the
    /// background, and new data is kept in memory, up to a limit. All I/O of the store happens on a
    /// separate thread.
    ///
    /// # Errors
    /// [`HistoryError`] when the store cannot be used at all.
    pub async fn open(options: HistoryOptions) -> Result<Self, HistoryError> {
        let shared = Arc::new(Shared::new(options));
        let (commands, received) = mpsc::channel(16);
        let (started, starting) = oneshot::channel();
        let on = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = on.handle().clone();
        let writer = Writer::new(Arc::clone(&shared));
        std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            on.block_on(writer.work(started, received));
            // A thread of SQLite's that hangs must not hold up this one.
            on.shutdown_background();
        })?;
        if let Ok(Ok(result)) = timeout(START, starting).await {
            result?;
        }
        let days = read::CachedDays::default();
        Ok(Self { inner: Arc::new(Inner { shared, commands, runtime: handle, days }) })
    }

    /// Writes pending data, for `within` at most, and ends; data recorded later is lost.
    pub async fn close(&self, within: Duration) {
        let (done, closed) = oneshot::channel();
        let until = Instant::now() + within;
        let closing = async {
            if self.inner.commands.send(Command::Close(until, done)).await.is_ok() {
                let _ = closed.await;
            }
        };
        if timeout(within, closing).await.is_err() {
            tracing::warn!(target: log_targets::HISTORY, "the history was not closed in time");
        }
    }

    /// The sink that records the events of checks.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.inner.shared.queue) as Arc<dyn Sink>
    }

    /// Shares of good runs of `check` up to now, from memory.
    #[must_use]
    pub fn availability(&self, check: &str) -> Availability {
        self.inner.shared.aggregates().availability(check, shared::now())
    }

    /// The state before this process, as far as it was loaded.
    pub(crate) fn remembered(&self) -> Remembered {
        let aggregates =
            self.inner.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        let held = aggregates.of.iter().filter_map(|(check, aggregate)| {
            let (status, since) = aggregate.held?;
            Some((Arc::clone(check), (status, time(since))))
        });
        let service = aggregates.service.map(|(status, since)| (status, time(since)));
        Remembered { checks: held.collect(), service }
    }

    /// Sets the checks of the first plan; open incidents of other checks end.
    pub(crate) fn plan(&self, checks: impl IntoIterator<Item = Arc<str>>) {
        self.inner.shared.aggregates().plan(checks.into_iter().collect(), shared::now());
    }

    /// The past of `check` from `from` to `to`, in steps of `step` from `from` on, each of them
    /// there whether it had runs or not; 100,000 of them at most.
    ///
    /// Single runs are known for an hour, minutes for two days, and hours for as long as the
    /// history is kept: steps that begin or end in between are as exact as that.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the store does not answer within 2 s.
    pub async fn steps(
        &self,
        check: &str,
        from: SystemTime,
        to: SystemTime,
        step: Duration,
    ) -> Result<Vec<Step>, ReadError> {
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        self.inner.steps(check, (millis(from), millis(to)), step).await
    }

    /// The last `days` days of every check, oldest first, today last; ten years of them at most.
    ///
    /// It may be half a minute old.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the store does not answer within 2 s.
    pub async fn days(&self, days: usize) -> Result<Arc<BTreeMap<String, Vec<Day>>>, ReadError> {
        self.inner.days(days).await
    }

    /// A page of incidents, newest first.
    ///
    /// # Errors
    /// [`ReadError`] when the store does not answer within 2 s, or the position is none.
    pub async fn incidents(&self, filter: &IncidentFilter) -> Result<IncidentPage, ReadError> {
        self.inner.incidents(filter).await
    }

    /// The changes after that of `id`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the store does not answer within 2 s.
    pub async fn changes_after(&self, id: u64, limit: usize) -> Result<Vec<Change>, ReadError> {
        self.inner.changes_after(id, limit).await
    }
}
