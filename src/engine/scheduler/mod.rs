//! The scheduler: one task per check, which runs it at its own fixed deadlines.
//!
//! A new plan (the checks that should run) is applied as a difference to the current one. A task
//! runs its check inline, so two runs of one check never overlap.

mod runtime_ticker;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::engine::check::{Check, Heartbeat};
use crate::engine::run;
use crate::engine::run::Tracing;
use crate::engine::state::{Entry, HealthState, Planned};
use crate::model::{CheckInfo, SkipReason};
use runtime_ticker::RuntimeTicker;

/// All checks of a plan start within this time, one after the other.
const FIRST_RUNS: Duration = Duration::from_millis(900);

/// Small plans start their checks no further apart than this.
const FIRST_STEP: Duration = Duration::from_millis(1);

/// A digest of the whole declaration of a check, secrets included.
pub type Revision = [u8; 32];

/// A check of a plan.
#[derive(Clone)]
pub(crate) struct Scheduled {
    pub(crate) info: Arc<CheckInfo>,
    pub(crate) check: Arc<dyn Check>,
    /// Checks with equal revisions are the same check; without a revision only the same object is.
    pub(crate) revision: Option<Revision>,
    /// Whether observed calls replace its own runs.
    pub(crate) spare: bool,
}

impl Scheduled {
    fn is(&self, other: &Self) -> bool {
        self.info == other.info
            && self.spare == other.spare
            && match (self.revision, other.revision) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => Arc::ptr_eq(&self.check, &other.check),
            }
    }
}

/// The difference that a new plan made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Names that were new.
    pub added: usize,
    /// Known names with another declaration.
    pub changed: usize,
    /// Names that were removed.
    pub removed: usize,
    /// Number of unchanged checks.
    pub untouched: usize,
}

/// Runs the checks of the current plan until it is dropped.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    handle: Handle,
    running: Mutex<HashMap<Arc<str>, Running>>,
    liveness_task: AbortHandle,
}

/// Shared by the tasks of all checks.
struct Shared {
    state: Arc<HealthState>,
    limit: Semaphore,
    tracing: Tracing,
    /// The origin of all phases.
    epoch: Instant,
    /// Present only if checks share the runtime with the host.
    ticker: Option<RuntimeTicker>,
}

struct Running {
    scheduled: Scheduled,
    entry: Arc<Entry>,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// A scheduler without checks that runs at most `limit` at once on the runtime of `handle`;
    /// the current runtime watches that one.
    pub(crate) fn new(
        handle: Handle,
        state: Arc<HealthState>,
        limit: usize,
        tracing: Tracing,
    ) -> Self {
        state.runtime_is_alive();
        let liveness_task = tokio::spawn(beat(handle.clone(), Arc::clone(&state))).abort_handle();
        // From another runtime, the liveness task itself wakes a worker once a second.
        let at_home = Handle::current().id() == handle.id();
        let ticker = at_home.then(|| RuntimeTicker::start(handle.clone())).flatten();
        let limit = Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS));
        let shared = Arc::new(Shared { state, limit, tracing, epoch: Instant::now(), ticker });
        Self { shared, handle, running: Mutex::default(), liveness_task }
    }

    /// Makes `checks` the plan: unchanged checks continue, the others are started or stopped.
    pub(crate) fn apply(&self, checks: Vec<Scheduled>) -> Changes {
        self.apply_to(&mut self.running(), checks)
    }

    /// Makes what `change` makes of the current plan the plan. No other change comes in between.
    pub(crate) fn update<E>(
        &self,
        change: impl FnOnce(Vec<Scheduled>) -> Result<Vec<Scheduled>, E>,
    ) -> Result<Changes, E> {
        let mut running = self.running();
        let current = running.values().map(|running| running.scheduled.clone()).collect();
        Ok(self.apply_to(&mut running, change(current)?))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_to(
        &self,
        running: &mut HashMap<Arc<str>, Running>,
        checks: Vec<Scheduled>,
    ) -> Changes {
        let mut changes = Changes::default();
        let planned = checks
            .iter()
            .map(|new| match running.get(&new.info.name) {
                Some(old) if old.scheduled.is(new) => {
                    changes.untouched += 1;
                    Planned::Untouched(Arc::clone(&old.entry))
                }
                Some(old) => {
                    let old = old.scheduled.check.heartbeat();
                    if let (Some(new), Some(old)) = (new.check.heartbeat(), old) {
                        new.succeed(old);
                    }
                    changes.changed += 1;
                    Planned::Changed(Arc::clone(&new.info))
                }
                None => {
                    changes.added += 1;
                    Planned::New(Arc::clone(&new.info))
                }
            })
            .collect();
        let entries = self.shared.state.apply(planned);
        let mut old = std::mem::take(running);
        let goes_on = |old: &HashMap<Arc<str>, Running>, entry: &Arc<Entry>| {
            old.get(&entry.info.name).is_some_and(|r| Arc::ptr_eq(&r.entry, entry))
        };
        let starting = entries.iter().filter(|e| !goes_on(&old, e)).count();
        let step = FIRST_STEP.min(FIRST_RUNS / u32::try_from(starting.max(1)).unwrap_or(u32::MAX));
        let mut first = Instant::now();
        for (scheduled, entry) in checks.into_iter().zip(entries) {
            let name = Arc::clone(&entry.info.name);
            let goes_on = goes_on(&old, &entry);
            let before = match old.remove(&name) {
                Some(same) if goes_on => {
                    running.insert(name, same);
                    continue;
                }
                before => before.map(|changed| changed.task),
            };
            before.iter().for_each(JoinHandle::abort);
            let (check, spare) = (Arc::clone(&scheduled.check), scheduled.spare);
            let (shared, cell) = (Arc::clone(&self.shared), Arc::clone(&entry));
            if let Some(manual) = check.manual() {
                let (state, entry) = (Arc::downgrade(&shared.state), Arc::downgrade(&cell));
                manual.follow(move |set| {
                    let (state, entry) = (state.upgrade(), entry.upgrade());
                    state.zip(entry).is_some_and(|(state, entry)| state.set(&entry, set))
                });
            }
            let task = self.handle.spawn(async move {
                // The old task must end first: two runs of one check never overlap.
                if let Some(stopped) = before {
                    let _ = stopped.await;
                }
                if check.manual().is_none() {
                    keep_running(shared, check, spare, cell, first).await;
                }
            });
            running.insert(name, Running { scheduled, entry, task });
            first += step;
        }
        changes.removed = old.len();
        for stopped in old.into_values() {
            stopped.task.abort();
        }
        changes
    }
}

impl Scheduler {
    /// Whether the host sets the status of the check `name`.
    pub(crate) fn is_manual(&self, name: &str) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).is_some_and(|running| running.scheduled.check.manual().is_some())
    }

    /// The check `name`, if it is a heartbeat check.
    pub(crate) fn heartbeat(&self, name: &str) -> Option<Heartbeat> {
        self.running().get(name)?.scheduled.check.heartbeat().cloned()
    }

    /// Every heartbeat check of the plan.
    #[cfg(feature = "history")]
    pub(crate) fn heartbeats(&self) -> Vec<(Arc<str>, Heartbeat)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let heartbeat = |(name, running): (&Arc<str>, &Running)| {
            Some((Arc::clone(name), running.scheduled.check.heartbeat()?.clone()))
        };
        running.iter().filter_map(heartbeat).collect()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.liveness_task.abort();
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        for stopped in running.values() {
            stopped.task.abort();
        }
    }
}

/// Runs a task on the check runtime once a second, to see that it makes progress.
///
/// The task is spawned from this runtime: see [`runtime_ticker`] for why that wakes a worker.
async fn beat(checks_on: Handle, state: Arc<HealthState>) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let state = Arc::clone(&state);
        // The next task is spawned only after this one has run; on a runtime that is shutting down
        // it never runs.
        let _ = checks_on.spawn(async move { state.runtime_is_alive() }).await;
    }
}

async fn keep_running(
    shared: Arc<Shared>,
    check: Arc<dyn Check>,
    spare: bool,
    entry: Arc<Entry>,
    first: Instant,
) {
    let state = &*shared.state;
    let grid = Schedule::of(&entry.info, shared.epoch);
    let mut due = first;
    loop {
        match check.heartbeat() {
            None => sleep_until(due).await,
            // Boxed, so that tasks of other kinds do not reserve memory for it.
            Some(heartbeat) => Box::pin(until_due_or_heartbeat(due, heartbeat)).await,
        }
        let started = Instant::now();
        if !(spare && entry.spares(started)) {
            // A run that a heartbeat triggered starts before it is due, and has no delay.
            if let Some(delay) = started.checked_duration_since(due) {
                state.delayed(delay);
            }
            match shared.limit.try_acquire() {
                Ok(_permit) => {
                    let _going = shared.ticker.as_ref().map(RuntimeTicker::run_starts);
                    // Boxed while it runs, so that waiting tasks do not reserve memory for it.
                    Box::pin(run::run(&*check, &entry, state, &shared.tracing)).await;
                }
                Err(_) => state.skip(&entry, SkipReason::Limit),
            }
        }
        let now = Instant::now();
        // The first run is not at a deadline; the second follows at least a quarter of an interval
        // later.
        let earliest = if due == first { started + grid.interval / 4 } else { started };
        due = grid.next_after(earliest.max(now));
        for _ in 0..grid.deadlines_between(earliest, now) {
            state.skip(&entry, SkipReason::Overrun);
        }
    }
}

/// Waits until the next run is due, or until a heartbeat changes what is shown.
async fn until_due_or_heartbeat(due: Instant, heartbeat: &Heartbeat) {
    tokio::select! {
        () = sleep_until(due) => {}
        () = heartbeat.news() => {}
    }
}

/// The fixed deadlines of a check: its own phase, then every interval.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    origin: Instant,
    interval: Duration,
}

impl Schedule {
    /// The phase is derived from the name, so that the checks are spread in the same way after a
    /// reload or a restart.
    fn of(info: &CheckInfo, epoch: Instant) -> Self {
        let mut hasher = DefaultHasher::new();
        info.name.hash(&mut hasher);
        let nanos = u64::try_from(info.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let phase = Duration::from_nanos(hasher.finish() % nanos);
        Self { origin: epoch + phase, interval: info.interval }
    }

    /// Deadlines up to and including `at`, from the origin on.
    fn count(&self, at: Instant) -> u128 {
        match at.checked_duration_since(self.origin) {
            Some(passed) => passed.as_nanos() / self.interval.as_nanos().max(1) + 1,
            None => 0,
        }
    }

    fn next_after(&self, at: Instant) -> Instant {
        let nanos = self.interval.as_nanos().saturating_mul(self.count(at));
        self.origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX >> 1))
    }

    fn deadlines_between(&self, after: Instant, until: Instant) -> u128 {
        self.count(until).saturating_sub(self.count(after))
    }
}
