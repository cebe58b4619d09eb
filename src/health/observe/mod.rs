//! Passive observation: counts the host's real calls to a dependency as runs of a check.
//!
//! A check tests a dependency once per interval; the host calls it all the time, and is the first
//! to notice a failure. An [`Observer`] of a check receives the result and duration of those calls,
//! and each call counts like a run of the check: in streaks and thresholds, in the histogram and
//! the counters, in availability, the history and the service level.
//!
//! ```
//! use std::time::Duration;
//! use vitalsign::{Health, Reason, every};
//!
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! # async fn find_orders() -> Result<Vec<u32>, std::io::Error> { Ok(vec![]) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder("orders")
//!     .check("database", every(Duration::from_secs(10)).spare_when_observed(true).from_fn(ping))
//!     .build()?;
//! let database = health.observe("database")?;
//!
//! // Where the application uses it anyway; an error that is an answer, such as "no row", is no
//! // failure of the dependency:
//! let orders = database.call(find_orders()).await?;
//! // Or with the reason of each error; `None` is an error that is not the dependency's.
//! let orders = database
//!     .call_with(find_orders(), |error| match error.kind() {
//!         std::io::ErrorKind::NotFound => None,
//!         _ => Some(Reason::of_io(error)),
//!     })
//!     .await;
//! # let _ = (orders, health);
//! # Ok(())
//! # }
//! ```
//!
//! # What a call costs
//!
//! A call that leaves the status alone takes the lock of its check for some ten nanoseconds,
//! looks at two clocks and adds to counters: a success allocates nothing and is sent to nobody but a
//! recorder, where the series go to [one](crate::telemetry::metrics::Exposition), at once and exactly. Once a
//! second the sinks (history, alerts) hear of all such calls together, as
//! [`Event::Observed`](crate::Event::Observed). A call that changes the status is sent at once.
//!
//! # Limits
//!
//! - "In a row" means in the order in which calls end. If only one kind of call fails while others
//!   succeed, failures are never consecutive, and the check does not go down unless the threshold
//!   is 1. Declare one check per kind of call.
//! - The check's timeout does not apply to calls, whose limits are the host's own;
//!   `degraded_after` does.
//! - A call that is dropped before its end, for example because a client disconnected, does not
//!   count. Put timeouts inside the observed call, so that they count as failures.
//! - Calls create no spans. If a call fails within a sampled span, its trace is the trace of that
//!   span.
//! - In the history, durations of calls have an error of at most 4 %, or 12 % for steps shorter
//!   than a minute. Calls of the last second before a process ends are not in it.

mod judge;
mod observation;
mod outgoing;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tracing::Span;

#[cfg(doc)]
use crate::engine::check::Failure;
use crate::engine::state::{Call, Entry, HealthState};
use crate::engine::traces;
use crate::health::Health;
use crate::model::{Outcome, Reason, redacted_text};

pub use judge::{CallError, judge};
pub use observation::Observation;
pub use outgoing::{BoxedErrors, ByStatus, Classify, Observe, ObserveLayer, Observing};

/// Why a check cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// No check has this name.
    #[error("there is no check `{check}` to observe; there are: {}", known.join(", "))]
    UnknownCheck {
        /// The name that no check has.
        check: String,
        /// The names of all checks, sorted.
        known: Vec<String>,
    },
    /// The host sets the status of this check, by a [`Manual`](crate::check::Manual).
    #[error("check `{0}` is not observed: its status is what the host sets; declare another one")]
    Manual(String),
}

impl Health {
    /// An observer of the check `name`, for the host to report its real calls with.
    ///
    /// It goes on being valid whatever becomes of the check: while a later
    /// [`set_checks`](Self::set_checks) has none of this name it counts nothing, and once there is
    /// one again it counts for that.
    ///
    /// # Errors
    /// [`ObserveError::UnknownCheck`] when the plan has no such check, [`ObserveError::Manual`] when
    /// the host sets its status.
    pub fn observe(&self, name: &str) -> Result<Observer, ObserveError> {
        let state = self.state();
        let plan = state.plan();
        let Some(entry) = plan.find(name) else {
            let known = plan.entries.iter().map(|entry| entry.info.name.to_string()).collect();
            return Err(ObserveError::UnknownCheck { check: name.to_owned(), known });
        };
        if self.sets(name) {
            return Err(ObserveError::Manual(name.to_owned()));
        }
        let (state, check) = (Arc::clone(state), Arc::clone(&entry.info.name));
        let entry = ArcSwap::new(Arc::clone(entry));
        Ok(Observer { shared: Arc::new(Shared { state, check, entry }) })
    }
}

/// Takes in the real calls to the dependency of one check; see the [module](self).
///
/// Cloning is cheap and shares it. It keeps no check running: that is up to [`Health`].
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Arc<HealthState>,
    check: Arc<str>,
    /// What the plan has under that name, as far as this observer has heard.
    entry: ArcSwap<Entry>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("check", &self.shared.check).finish_non_exhaustive()
    }
}

impl Observer {
    /// Name of the check.
    #[must_use]
    pub fn check(&self) -> &str {
        &self.shared.check
    }

    /// A call was answered as it should be after `duration`; a warning if that is longer than the
    /// check's `degraded_after`.
    pub fn success(&self, duration: Duration) {
        self.record(Observation::Success, duration);
    }

    /// A call was answered after `duration`, with a caveat for people to read.
    pub fn warning(&self, caveat: impl Into<String>, duration: Duration) {
        self.record(Observation::Warning(caveat.into()), duration);
    }

    /// A call failed for `reason` after `duration`; [`record`](Self::record) takes a text as well.
    pub fn failure(&self, reason: Reason, duration: Duration) {
        self.record(reason, duration);
    }

    /// A call ended after `duration`, and this is what it says: a [`Reason`], a [`Failure`], or any
    /// other [`Observation`].
    pub fn record(&self, observation: impl Into<Observation>, duration: Duration) {
        let (outcome, reason, message) = match observation.into() {
            Observation::Success => (Outcome::Success, None, None),
            Observation::Warning(caveat) => (Outcome::Warning, None, Some(redacted_text(caveat))),
            Observation::Failure(reason, message) => {
                (reason.outcome(), Some(reason), message.map(redacted_text))
            }
            Observation::Ignored => return,
        };
        let trace = match outcome {
            Outcome::Success => None,
            _ => traces::identify(&Span::current()).filter(|trace| trace.sampled),
        };
        let call = Call { outcome, duration, reason, message, trace };
        if let Err(call) = self.shared.state.observe(&self.shared.entry.load(), call) {
            self.record_anew(call);
        }
    }

    /// Counts a call for what the plan has under the name now, if anything.
    #[cold]
    fn record_anew(&self, call: Call) {
        let plan = self.shared.state.plan();
        if let Some(entry) = plan.find(&self.shared.check) {
            self.shared.entry.store(Arc::clone(entry));
            // Between two plans there is nobody to count it for.
            let _ = self.shared.state.observe(entry, call);
        }
    }

    /// Awaits `call` and counts how it ended, by [`judge`]: an error that is an answer, such as "no
    /// row", is a success, one that cannot be an answer a failure, and one that may be either counts
    /// nothing.
    ///
    /// It knows the errors of sqlx, redis, reqwest and tonic. A type of the host's own is judged by
    /// its chain of causes; [`call_with`](Self::call_with) takes another opinion. Dropped before its
    /// end, a call counts nothing.
    ///
    /// # Errors
    /// Those of `call`.
    pub async fn call<T, E, M>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: CallError<M>,
    {
        self.call_with(call, judge).await
    }

    /// Awaits `call` and counts how it ended: what an error says about the dependency is up to
    /// `judge`, which may return a [`Reason`], an `Option<Reason>`, a [`Failure`] or any other
    /// [`Observation`].
    ///
    /// # Errors
    /// Those of `call`.
    pub async fn call_with<T, E, O: Into<Observation>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        judge: impl FnOnce(&E) -> O,
    ) -> Result<T, E> {
        let started = Instant::now();
        let result = call.await;
        let duration = started.elapsed();
        let observation = result.as_ref().err().map_or(Observation::Success, |e| judge(e).into());
        self.record(observation, duration);
        result
    }

    /// Starts to time a call that is not a future with a result.
    ///
    /// ```
    /// # fn read(health: &vitalsign::Health) -> Result<(), vitalsign::ObserveError> {
    /// let timer = health.observe("database")?.start();
    /// match "rows" {
    ///     "" => timer.failure(vitalsign::Reason::UnexpectedBody),
    ///     _ => timer.success(),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(&self) -> Timer {
        Timer { observer: self.clone(), started: Instant::now() }
    }

    /// A layer that observes a client of HTTP: every [`tower::Service`] that takes an
    /// [`http::Request`](hyper::Request) and answers with a [`http::Response`](hyper::Response).
    ///
    /// See [`ObserveLayer`] for what counts as a failure.
    #[must_use]
    pub fn layer(&self) -> ObserveLayer {
        ObserveLayer::new(self.clone())
    }
}

/// A call that is being timed; see [`Observer::start`].
///
/// When it is dropped before the end of the call was reported, it counts nothing: a call that was given up says
/// nothing about the dependency.
#[derive(Debug)]
#[must_use = "a timer that is dropped counts nothing"]
pub struct Timer {
    observer: Observer,
    started: Instant,
}

impl Timer {
    /// The call was answered as it should be.
    pub fn success(self) {
        self.finish(Observation::Success);
    }

    /// The call was answered, with a caveat for people to read.
    pub fn warning(self, caveat: impl Into<String>) {
        self.finish(Observation::Warning(caveat.into()));
    }

    /// The call failed for `reason`.
    pub fn failure(self, reason: Reason) {
        self.finish(reason);
    }

    /// The call ended, and this is what it says.
    pub fn finish(self, observation: impl Into<Observation>) {
        self.observer.record(observation, self.started.elapsed());
    }
}
