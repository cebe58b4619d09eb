//! A check that is not asked: the host sets its status.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tracing::Span;

use super::{Check, Context, Detail, Failure};
use crate::engine::traces;
use crate::model::{Outcome, Reason, Run, Status, redacted_text};

/// A check whose status the host sets: a cache that is being warmed, migrations that run, a lease that
/// is held by another replica.
///
/// A call of [`up`](Self::up), [`degraded`](Self::degraded) or [`down`](Self::down) takes effect at
/// once, before it returns, whatever the thresholds are: in the probes that the check gates, in
/// `/status`, on the page, in the metrics of its status, in the history, in events and in alerts. It
/// is no run: nothing is asked, no run is counted, the histogram of durations stays empty, and
/// availability is that of no run, `null`. `/status` shows what was set as `last_run`, with a duration
/// of 0.
///
/// Before the first call the check is `unknown`, as one that has not had its first run: while it
/// gates `ready`, `/ready` says `starting`, and `/startup` waits for it. A status that was set stays
/// until another one is: it never goes stale. Maintenance and `depends_on` work as for any check;
/// interval, timeout and thresholds mean nothing.
///
/// Clones set the same status, before the check is part of a [`Health`](crate::Health) too. Under
/// several names, or in several `Health` values, all of them have it.
///
/// ```
/// use vitalsign::{Health, Reason, checks};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn fill() -> std::io::Result<u32> { Ok(7) }
/// let warm = checks::manual();
/// let health = Health::builder("orders").check("cache-warm", warm.clone()).build()?;
/// assert!(!health.ready()); // starting
///
/// match fill().await {
///     Ok(_) => warm.up(),
///     Err(error) => warm.down(Reason::of_io(&error), error.to_string()),
/// }
/// assert!(health.ready());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manual {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// What was set last, in the form of a run.
    set: Option<Arc<Run>>,
    followers: Vec<Follower>,
}

/// Sets the status of a check of a plan; false once the plan has dropped it.
type Follower = Box<dyn Fn(&Arc<Run>) -> bool + Send>;

impl fmt::Debug for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manual").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Default for Manual {
    fn default() -> Self {
        Self::new()
    }
}

impl Manual {
    /// A check whose status is `unknown` until it is set.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::default() }
    }

    /// Sets it up: all is well.
    pub fn up(&self) {
        self.set(Outcome::Success, None, None);
    }

    /// Sets it degraded, with a caveat for people to read.
    pub fn degraded(&self, caveat: impl Into<String>) {
        self.set(Outcome::Warning, None, Some(caveat.into()));
    }

    /// Sets it down for `reason`, with a message for people to read.
    ///
    /// As in any message, URLs lose what is secret in them; other secrets must be left out.
    pub fn down(&self, reason: Reason, message: impl Into<String>) {
        let outcome = Some(reason.outcome()).filter(|outcome| outcome.is_failed());
        self.set(outcome.unwrap_or(Outcome::Failure), Some(reason), Some(message.into()));
    }

    /// The status that was set last; `None` before the first.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.inner().set.as_ref().map(|run| run.outcome.status())
    }

    fn set(&self, outcome: Outcome, reason: Option<Reason>, message: Option<String>) {
        let run = Arc::new(Run {
            at: SystemTime::now(),
            duration: Duration::ZERO,
            outcome,
            reason,
            message: message.map(redacted_text),
            trace: traces::identify(&Span::current()).filter(|trace| trace.sampled),
            phases: Vec::new(),
            measurements: Vec::new(),
        });
        // Locked meanwhile, so that of two calls at once the later one stays, everywhere.
        let mut inner = self.inner();
        inner.followers.retain(|follower| follower(&run));
        inner.set = Some(run);
    }

    /// Has `follower` set the status of a check of a plan: now, if one was set, and from now on.
    pub(crate) fn follow(&self, follower: impl Fn(&Arc<Run>) -> bool + Send + 'static) {
        let mut inner = self.inner();
        if inner.set.as_ref().is_none_or(&follower) {
            inner.followers.push(Box::new(follower));
        }
    }

    /// Locks what was set; a panic of a follower leaves it whole.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Check for Manual {
    fn kind(&self) -> &'static str {
        "manual"
    }

    fn manual(&self) -> Option<&Manual> {
        Some(self)
    }

    /// Says what was set, for a run that somebody asks for by hand.
    async fn run(&self, _: &Context) -> Result<Detail, Failure> {
        let Some(set) = self.inner().set.clone() else {
            return Err(Failure::new(Reason::LocalResource, "nothing has been set yet"));
        };
        let message = set.message.clone().unwrap_or_default();
        match set.outcome.status() {
            Status::Up => Ok(Detail::ok()),
            Status::Degraded => Ok(Detail::warning(message)),
            _ => Err(Failure::new(set.reason.unwrap_or(Reason::Other), message)),
        }
    }
}
