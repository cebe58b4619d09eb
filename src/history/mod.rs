//! How it has been: status changes, incidents and roll-ups of every check, kept over restarts.
//!
//! In flow the events of checks, through the [`Sink`] that the recorder tells: it returns at once.
//! Out flow shares of good runs, kept in memory and read without waiting, and what the store is
//! asked for: steps of a check's past, incidents, and the changes after a known one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::{Reason, Sink, Status};

/// The history of one service's checks, as one instance of it keeps them.
///
/// Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct History {
    inner: Arc<()>,
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

/// The runs of one check that started within one step of time.
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
    /// Trace of that run, 32 hexadecimal digits, where its trace is kept.
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
    /// [`IncidentFilter::after`] is no position that a page gave.
    #[error("no position of a page of incidents")]
    BadPosition,
}

impl History {
    /// What the recorder tells.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn Sink> {
        todo!("SKELETON")
    }

    /// Shares of good runs of `check` up to now, from memory.
    #[must_use]
    pub fn availability(&self, check: &str) -> Availability {
        let _ = (check, &self.inner);
        todo!("SKELETON")
    }

    /// The past of `check` from `from` to `to`, in steps of `step` from `from` on, each of them
    /// there whether it had runs or not.
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
        let _ = (check, from, to, step);
        todo!("SKELETON")
    }

    /// The last `days` days of every check, oldest first, today last.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the store does not answer within 2 s.
    pub async fn days(&self, days: usize) -> Result<Arc<BTreeMap<String, Vec<Day>>>, ReadError> {
        let _ = days;
        todo!("SKELETON")
    }

    /// A page of incidents, newest first.
    ///
    /// # Errors
    /// [`ReadError`] when the store does not answer within 2 s, or the position is none.
    pub async fn incidents(&self, filter: &IncidentFilter) -> Result<IncidentPage, ReadError> {
        let _ = filter;
        todo!("SKELETON")
    }

    /// The changes after that of `id`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the store does not answer within 2 s.
    pub async fn changes_after(&self, id: u64, limit: usize) -> Result<Vec<Change>, ReadError> {
        let _ = (id, limit);
        todo!("SKELETON")
    }
}
