//! For the tests of services that embed this crate: checks whose outcomes a test writes down, and
//! assertions that wait for a status.
//!
//! A test writes [`Step`]s and waits for the statuses that they add up to. Nothing here sleeps through real
//! time where a test need not: with tokio's paused clock, hours of a check pass at once.
//!
//! ```
//! use std::time::Duration;
//! use vitalsign::testing::{Step, eventually, scripted};
//! use vitalsign::{Health, Reason, Status, every};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // In a test: #[tokio::test(start_paused = true)]
//! let database = scripted([Step::Ok, Step::Fail(Reason::ConnectionRefused)]);
//! let health = Health::builder("orders")
//!     .check("database", every(Duration::from_secs(10)).check(database.clone()))
//!     .build()
//!     .unwrap();
//!
//! let down = eventually(&health, "database", Status::Down).await;
//! assert_eq!(down.consecutive_failures, 3);
//! assert_eq!(down.last_run.unwrap().reason, Some(Reason::ConnectionRefused));
//! assert!(!health.ready());
//!
//! database.then(Step::Ok);
//! eventually(&health, "database", Status::Up).await;
//! assert!(health.ready());
//! # }
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::pending;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::engine::check::{Check, Context, Detail, Failure};
use crate::engine::state::CheckView;
use crate::health::Health;
use crate::model::{Reason, Run, ServiceStatus, Status};

/// What one run of a [`Scripted`] check comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// It answers.
    Ok,
    /// It answers, with this caveat.
    Warn(String),
    /// It fails for this reason.
    Fail(Reason),
    /// It answers after so long: past the check's timeout, the run is a timeout.
    Slow(Duration),
    /// It never answers.
    Hang,
    /// It panics.
    Panic,
}

/// A check whose runs come to what a test says, one step a run; the last one is repeated.
///
/// Clones share the script, so that a test keeps one to go on writing it. Its kind is `scripted`.
#[derive(Debug, Clone)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    /// What is still to come.
    steps: VecDeque<Step>,
    /// What the last run came to, to be repeated when nothing is.
    last: Step,
    runs: usize,
}

/// A check whose runs come to `steps`; see [`Scripted::new`].
#[must_use]
pub fn scripted(steps: impl IntoIterator<Item = Step>) -> Scripted {
    Scripted::new(steps)
}

impl Scripted {
    /// A check whose runs come to `steps`, the last of them for good. Without any it answers.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        Self(Arc::new(Mutex::new(Script { steps, last: Step::Ok, runs: 0 })))
    }

    /// Adds a step, after those that no run has come to yet; it is what is repeated then.
    pub fn then(&self, step: Step) {
        self.script().steps.push_back(step);
    }

    /// Forgets the steps that are still to come: every run from the next one on comes to `step`.
    pub fn now(&self, step: Step) {
        self.script().steps = VecDeque::from([step]);
    }

    /// How many runs have started.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.script().runs
    }

    fn next(&self) -> Step {
        let mut script = self.script();
        script.runs += 1;
        if let Some(next) = script.steps.pop_front() {
            script.last = next;
        }
        script.last.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Check for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn run(&self, _: &Context) -> Result<Detail, Failure> {
        match self.next() {
            Step::Ok => Ok(Detail::ok()),
            Step::Warn(caveat) => Ok(Detail::warning(caveat)),
            Step::Fail(reason) => Err(Failure::new(reason, "the script says so")),
            Step::Slow(duration) => {
                sleep(duration).await;
                Ok(Detail::ok())
            }
            Step::Hang => pending().await,
            Step::Panic => panic!("the script says so"),
        }
    }
}

/// Waits until the check `name` has the status `wanted`, and returns it as it is then.
///
/// It looks at every status change, and gives up after a minute and the time that the check's
/// thresholds take; with tokio's clock paused that is no time. A test whose check does real I/O
/// leaves the clock alone: paused, it would run out while the network is at work.
///
/// # Panics
/// When the check does not get there, with what it is instead and its last runs; and when there is
/// no check of this name, with those that there are.
#[track_caller]
pub fn eventually<'a>(
    health: &'a Health,
    name: &'a str,
    wanted: Status,
) -> impl Future<Output = CheckView> + Send + use<'a> {
    let caller = Location::caller();
    async move {
        let mut seen = Runs::default();
        until(health, |waited| {
            let state = health.state();
            let Some(check) = state.check(name) else {
                let known: Vec<_> = state.checks().iter().map(|c| c.name.to_string()).collect();
                panic!("{caller}: there is no check `{name}`; there are {known:?}");
            };
            if check.status == wanted {
                return Some(check);
            }
            seen.note(&check);
            let thresholds = check.info.failure_threshold.max(check.info.success_threshold);
            let patience =
                PATIENCE + check.info.interval.saturating_mul(thresholds.saturating_add(1));
            let status = check.status;
            assert!(
                waited < patience,
                "{caller}: check `{name}` is {status} and not {wanted} after {waited:?}{seen}",
                seen = seen.tell()
            );
            None
        })
        .await
    }
}

/// Waits until the service has the status `wanted`.
///
/// It gives up after a minute; see [`eventually`] for how time passes.
///
/// # Panics
/// When the service does not get there, with what it and its checks are instead.
#[track_caller]
pub fn eventually_service(
    health: &Health,
    wanted: ServiceStatus,
) -> impl Future<Output = ()> + Send + use<'_> {
    let caller = Location::caller();
    async move {
        until(health, |waited| {
            let snapshot = health.state().snapshot();
            if snapshot.status == wanted {
                return Some(());
            }
            let checks: Vec<_> = snapshot.checks.iter().map(CheckView::verbose_line).collect();
            let (status, checks) = (snapshot.status, checks.join(", "));
            assert!(
                waited < PATIENCE,
                "{caller}: the service is {status} and not {wanted} after {waited:?}: {checks}"
            );
            None
        })
        .await;
    }
}

/// Longest that anything is waited for, beside what a check's own thresholds take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks while no status changes: runs are noted, and the time that is left.
const LOOK: Duration = Duration::from_millis(20);

/// Runs that were recorded.
const TOLD: usize = 5;

/// Asks `found` at once, and again whenever a status changes, until there is something.
async fn until<T>(health: &Health, mut found: impl FnMut(Duration) -> Option<T>) -> T {
    let mut changes = health.subscribe();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    loop {
        if let Some(found) = found(started.elapsed()) {
            return found;
        }
        tokio::select! {
            _ = changes.next() => {}
            _ = looks.tick() => {}
        }
    }
}

/// The last runs that were seen of a check.
#[derive(Default)]
struct Runs(VecDeque<Arc<Run>>);

impl Runs {
    fn note(&mut self, check: &CheckView) {
        let Some(run) = &check.last_run else { return };
        if self.0.back().is_some_and(|last| Arc::ptr_eq(last, run)) {
            return;
        }
        if self.0.len() == TOLD {
            self.0.pop_front();
        }
        self.0.push_back(Arc::clone(run));
    }

    /// A line each, oldest first.
    fn tell(&self) -> String {
        if self.0.is_empty() {
            return "; it has not run".to_owned();
        }
        let mut text = "; its last runs:".to_owned();
        for run in &self.0 {
            let _ = write!(text, "\n  {} after {:?}", run.outcome, run.duration);
            if let Some(reason) = run.reason {
                let _ = write!(text, ", {reason}");
            }
            if let Some(message) = &run.message {
                let _ = write!(text, ": {message}");
            }
        }
        text
    }
}
